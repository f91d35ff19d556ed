//! A connection's output: what the kernel does not take at once is kept, and the kernel announces room for it.

use std::io::{self, IoSlice};

use super::{Phase, Transport};
use crate::reactor::system::Socket;

/// Unsent bytes above which a registered producer is paused: one read buffer.
const UNSENT_BYTES_HIGH: usize = 64 << 10;

impl Transport {
    /// Offers `bytes` to the kernel and returns how many it took; none if the connection broke.
    #[inline]
    pub(super) fn send(&self, bytes: &[u8]) -> usize {
        let with_fin = self.0.sends_with_fin.get();
        self.send_with(|socket| socket.send(bytes, with_fin))
    }

    /// As [`send`](Self::send), for pieces that follow one another.
    pub(super) fn send_all(&self, pieces: &[IoSlice<'_>]) -> usize {
        let with_fin = self.0.sends_with_fin.get();
        self.send_with(|socket| socket.send_all(pieces, with_fin))
    }

    #[inline]
    fn send_with(&self, send: impl Fn(&mut Socket) -> io::Result<usize>) -> usize {
        let Some(mut socket) = self.0.socket.take() else {
            return 0;
        };
        let sent = loop {
            match send(&mut socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        self.0.socket.set(Some(socket));
        match sent {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.output_failed(error);
                0
            }
        }
    }

    /// Writing has failed. A server that this end has connected to may have answered before: what has arrived is read first
    /// (S11). A connection that was accepted ends at once.
    #[cold]
    fn output_failed(&self, error: io::Error) {
        if self.0.accepted {
            return self.break_down(error);
        }
        self.0.output_lost.set(true);
        self.0.blocked.set(false);
        // This error says that the peer had finished before the connection broke, so that reading ends in order.
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.with_extra(|extra| extra.error = Some(error));
        }
        self.input_announced(true);
        self.queue();
    }

    #[cold]
    pub(super) fn keep_unsent(&self, bytes: &[u8]) {
        let producer = self.with_extra(|extra| {
            extra.unsent.extend_from_slice(bytes);
            let high = extra.unsent.len() - extra.sent > UNSENT_BYTES_HIGH;
            let pauses = high && !extra.producer_paused && extra.producer.is_some();
            extra.producer_paused |= pauses;
            extra.producer.clone().filter(|_| pauses)
        });
        self.block();
        if let Some(producer) = producer {
            producer.pause_producing();
        }
    }

    /// Waits for room in the kernel. Most connections never do, so room is watched only from now on.
    pub(super) fn block(&self) {
        self.0.blocked.set(true);
        if self.0.watches_room.replace(true) {
            return;
        }
        let Some(mut socket) = self.0.socket.take() else {
            return;
        };
        let watched = self.0.core.driver.watch_room(&mut socket, self.0.token);
        self.0.socket.set(Some(socket));
        if let Err(error) = watched {
            self.break_down(error);
        }
    }

    /// There may be room: sends what is unsent, and calls the protocol if the kernel took any of it.
    pub(super) fn flush(&self) {
        let Some(mut extra) = self.0.extra.take() else {
            return self.resume_protocol();
        };
        if extra.unsent.is_empty() {
            self.0.extra.set(Some(extra));
            return self.unblock();
        }
        let taken = self.send(&extra.unsent[extra.sent..]);
        extra.sent += taken;
        if self.0.output_lost.get() {
            extra.unsent = Vec::new();
            extra.sent = 0;
            extra.error = self.0.extra.take().and_then(|newer| newer.error);
            return self.0.extra.set(Some(extra));
        }
        let all = extra.sent == extra.unsent.len();
        if all {
            extra.unsent = Vec::new();
            extra.sent = 0;
        } else if extra.sent > extra.unsent.len() / 2 {
            extra.unsent.drain(..extra.sent);
            extra.sent = 0;
        }
        if let Some(error) = self.0.extra.take().and_then(|newer| newer.error) {
            extra.error = Some(error);
        }
        self.0.extra.set(Some(extra));
        if taken > 0 {
            self.0.made_progress.set(true);
            self.call(|protocol, transport| protocol.data_sent(transport, taken));
        }
        if all && self.phase() < Phase::Aborted {
            self.unblock();
        }
    }

    /// Everything unsent has been taken.
    fn unblock(&self) {
        // The call to `data_sent` may have written more.
        if self.with_extra(|extra| extra.unsent.len()) > 0 {
            return;
        }
        let paused = self.with_extra(|extra| {
            let paused = std::mem::take(&mut extra.producer_paused);
            extra.producer.clone().filter(|_| paused)
        });
        if let Some(producer) = paused {
            producer.resume_producing();
        }
        self.drop_idle_extra();
        self.resume_protocol();
    }

    fn resume_protocol(&self) {
        self.0.blocked.set(false);
        self.call(|protocol, transport| protocol.resume_producing(transport));
    }

    pub(super) fn send_fin(&self) {
        let Some(socket) = self.0.socket.take() else {
            return;
        };
        let finished = socket.finish();
        self.0.socket.set(Some(socket));
        if let Err(error) = finished {
            self.break_down(error);
        }
    }
}
