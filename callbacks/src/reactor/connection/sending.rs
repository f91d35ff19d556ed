//! The way out of a connection: what the kernel does not take at once is kept, and the room for it is watched.

use std::io;

use super::{ABORTED, BLOCKED, PRODUCER_WAITS, TAKEN, Transport, UNSENT_BYTES_HIGH, WATCHES_ROOM};

impl Transport {
    /// What the kernel takes of `bytes`; nothing if the connection broke.
    #[inline]
    pub(super) fn send(&self, bytes: &[u8]) -> usize {
        let Some(mut socket) = self.0.socket.take() else {
            return 0;
        };
        let sent = loop {
            match socket.send(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        self.0.socket.set(Some(socket));
        match sent {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.break_down(error);
                0
            }
        }
    }

    #[cold]
    pub(super) fn keep(&self, bytes: &[u8]) {
        let producer = self.with_extra(|extra| {
            extra.unsent.extend_from_slice(bytes);
            let high = extra.unsent.len() - extra.sent > UNSENT_BYTES_HIGH;
            extra.producer.clone().filter(|_| high)
        });
        self.block();
        if let Some(producer) = producer.filter(|_| !self.is(PRODUCER_WAITS)) {
            self.set(PRODUCER_WAITS);
            producer.pause_producing();
        }
    }

    /// Waits for room in the kernel. Most connections never do, so it is only now that this is watched.
    pub(super) fn block(&self) {
        self.set(BLOCKED);
        if self.is(WATCHES_ROOM) {
            return;
        }
        self.set(WATCHES_ROOM);
        let Some(mut socket) = self.0.socket.take() else {
            return;
        };
        let watched = self.0.core.driver.want_room(&mut socket, self.0.token);
        self.0.socket.set(Some(socket));
        if let Err(error) = watched {
            self.break_down(error);
        }
    }

    /// There may be room: sends what waits, and says so.
    pub(super) fn flush(&self) {
        let Some(mut extra) = self.0.extra.take() else {
            return self.unblocked();
        };
        let taken = self.send(&extra.unsent[extra.sent..]);
        extra.sent += taken;
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
            self.set(TAKEN);
            self.call(|protocol, transport| protocol.data_sent(transport, taken));
        }
        if all && !self.is(ABORTED) {
            self.unblocked();
        }
    }

    pub(super) fn unblocked(&self) {
        // The call to `data_sent` may have written more.
        if self.with_extra(|extra| extra.unsent.len()) > 0 {
            return;
        }
        self.clear(BLOCKED);
        if self.is(PRODUCER_WAITS) {
            self.clear(PRODUCER_WAITS);
            let producer = self.with_extra(|extra| extra.producer.clone());
            if let Some(producer) = producer {
                producer.resume_producing();
            }
        }
        self.drop_idle_extra();
        self.call(|protocol, transport| protocol.resume_producing(transport));
    }

    pub(super) fn finish_writing(&self) {
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
