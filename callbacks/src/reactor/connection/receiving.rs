//! A connection's input: what is read, and what is kept for the next turn.

use std::io;
use std::mem;

use super::{Input, Phase, Transport};

impl Transport {
    pub(super) fn input_announced(&self, ended: bool) {
        let input = &self.0.input;
        match input.get() {
            Input::Ended => {}
            _ if ended => input.set(Input::Ending),
            Input::Drained => input.set(Input::Readable),
            Input::Readable | Input::Ending => {}
        }
    }

    // ANCHOR: read_socket
    /// Reads once and calls the protocol. A full buffer means that there may be more, for the next turn; a short read has
    /// emptied the socket, and the kernel announces the next byte, or FIN.
    pub(super) fn read(&self, buffer: &mut [u8]) {
        while self.may_read() {
            match self.receive(buffer) {
                Ok(0) if self.0.output_lost.get() && self.has_error() => {
                    self.advance_to(Phase::Aborted);
                }
                Ok(0) => {
                    self.0.input.set(Input::Ended);
                    self.call(|protocol, transport| protocol.read_connection_lost(transport));
                }
                Ok(count) => {
                    let full = count == buffer.len();
                    if !full && self.0.input.get() == Input::Readable {
                        self.0.input.set(Input::Drained);
                    }
                    self.call(|protocol, transport| {
                        protocol.data_received(transport, &buffer[..count]);
                    });
                    if self.0.keeps_bytes.get() {
                        return self.keep(&buffer[..count]);
                    }
                    if full {
                        return self.queue();
                    }
                    if self.0.input.get() == Input::Drained {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.0.input.set(Input::Drained);
                }
                Err(error) => self.break_down(error),
            }
        }
    }
    // ANCHOR_END: read_socket

    #[inline]
    fn may_read(&self) -> bool {
        matches!(
            self.phase(),
            Phase::Open | Phase::FinPending | Phase::FinSent
        ) && !self.0.paused.get()
            && self.0.input.get() != Input::Ended
    }

    fn has_error(&self) -> bool {
        self.with_extra(|extra| extra.error.is_some())
    }

    #[inline(always)] // On the hot path once; measured.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(mut socket) = self.0.socket.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let received = loop {
            match socket.receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        self.0.socket.set(Some(socket));
        received
    }

    /// Keeps the part of `data` that the protocol has not consumed.
    #[cold]
    fn keep(&self, data: &[u8]) {
        self.with_extra(|extra| {
            extra.kept = data[extra.kept_from.min(data.len())..].to_vec();
            extra.kept_from = 0;
        });
        self.queue_kept();
    }

    /// The next turn of a connection that keeps bytes: the protocol gets them before anything else is read.
    pub(super) fn handle_kept(&self) {
        if !self.may_read() {
            return;
        }
        let (kept, from) = self.with_extra(|extra| (mem::take(&mut extra.kept), extra.kept_from));
        self.0.keeps_bytes.set(false);
        if from < kept.len() {
            self.call(|protocol, transport| protocol.next_turn(transport, &kept[from..]));
        }
        if self.0.keeps_bytes.get() {
            self.with_extra(|extra| {
                extra.kept_from = (extra.kept_from + from).min(kept.len());
                extra.kept = kept;
            });
            self.queue_kept();
        } else {
            self.drop_idle_extra();
            if self.0.input.get() != Input::Drained {
                self.queue();
            }
        }
    }

    /// A paused connection asks for its turn when it resumes.
    fn queue_kept(&self) {
        if !self.0.paused.get() {
            self.queue();
        }
    }
}
