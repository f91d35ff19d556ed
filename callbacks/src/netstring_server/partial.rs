//! A request that arrives in pieces: its decoder and its deadline, kept only while it is incomplete; and the timeouts of
//! the connection (S18). A heavy request is kept in the same place, so that an idle connection has room for one of the two.

use std::mem;
use std::time::Duration;

use poetry::netstring::Decoder;
use poetry::{CloseReason, Heavy};

use super::offloading::Reply;
use super::{NetstringProtocol, Service};
use crate::deferred::Deferred;
use crate::reactor::Transport;

/// A request that has begun and not ended.
pub(super) enum Begun<R> {
    /// It is incomplete.
    Partial {
        decoder: Decoder,
        /// When it must be complete (S18).
        due: Duration,
    },
    /// It is heavy, and waits until the kernel has taken the replies to those before it (S25).
    Heavy(Heavy<R>),
    /// It is heavy, and a thread has been asked for its reply (S25).
    Offloaded(Deferred<Reply<R>>),
}

impl<S: Service> NetstringProtocol<S> {
    /// Returns the decoder of the request that has begun, with the request's deadline, or a new one.
    #[inline]
    pub(super) fn take_decoder(&mut self) -> (Decoder, Option<Duration>) {
        match self.begun.take().map(|begun| *begun) {
            Some(Begun::Partial { decoder, due }) => (decoder, Some(due)),
            Some(Begun::Heavy(_) | Begun::Offloaded(_)) | None => {
                let limit = self.guard.state.limits.frame_bytes_max;
                (Decoder::at(limit, self.position), None)
            }
        }
    }

    /// Waits for the next request, or for the rest of the one in `decoder`.
    #[inline]
    pub(super) fn await_request(
        &mut self,
        transport: &Transport,
        decoder: &mut Decoder,
        due: Option<Duration>,
        answered: u32,
    ) {
        if decoder.is_mid_frame() {
            self.keep_partial(transport, decoder, due.filter(|_| answered == 0));
        } else if answered > 0 && self.guard.state.is_shutting_down() {
            return self.finish(transport, CloseReason::Done);
        }
        self.set_timeout(transport);
    }

    /// Keeps the decoder of a request that has begun. Bytes of the same request do not extend its deadline.
    #[cold]
    fn keep_partial(
        &mut self,
        transport: &Transport,
        decoder: &mut Decoder,
        due: Option<Duration>,
    ) {
        let due = due.unwrap_or_else(|| {
            let deadline = self.guard.state.limits.request_deadline;
            transport.now().saturating_add(deadline)
        });
        let decoder = mem::replace(decoder, Decoder::new(0));
        self.begun = Some(Box::new(Begun::Partial { decoder, due }));
    }

    /// Bounds the wait for what comes next.
    pub(super) fn set_timeout(&self, transport: &Transport) {
        let limits = &self.guard.state.limits;
        let time = if transport.is_blocked() {
            limits.write_timeout
        } else if let Some(Begun::Partial { due, .. }) = self.begun.as_deref() {
            due.saturating_sub(transport.now())
        } else {
            limits.idle_timeout
        };
        transport.set_timeout(Some(time));
    }
}
