//! A heavy request (S25): a thread of the pool answers it, while the reactor serves other connections. Its own connection
//! reads nothing meanwhile, so that its replies stay in order.

use poetry::{CloseReason, Heavy, Refusal};

use super::partial::Begun;
use super::{NetstringProtocol, Service, State};
use crate::failure::{Failure, Panicked};
use crate::protocol::Producer;
use crate::reactor::Transport;
use crate::threads::defer_to_thread_pool;

/// The reply or the refusal, unless the transform has panicked or there is no thread.
pub(super) type Reply<R> = Result<Result<R, Refusal>, Failure>;

impl<S: Service> NetstringProtocol<S> {
    // ANCHOR: offload
    /// Has `heavy` answered in another thread as soon as the replies before it are delivered.
    #[cold]
    pub(super) fn offload(&mut self, transport: &Transport, heavy: Heavy<S::Replies>) {
        self.guard.on_requests(1);
        transport.pause_producing();
        self.state = State::Offloading;
        self.begun = Some(Box::new(Begun::Heavy(heavy)));
        if !transport.is_blocked() {
            self.defer_heavy(transport);
        }
    }

    // ANCHOR: defer_heavy
    /// Gives the request to the thread pool. The Deferred fires in the reactor, and wakes this connection.
    pub(super) fn defer_heavy(&mut self, transport: &Transport) {
        let waits = (self.begun).take_if(|begun| matches!(**begun, Begun::Heavy(_)));
        if let Some(Begun::Heavy(heavy)) = waits.map(|begun| *begun) {
            transport.set_timeout(None);
            let (reactor, waiting) = (transport.reactor(), transport.clone());
            let reply = defer_to_thread_pool(&reactor, &self.guard.state.pool, heavy);
            let reply = reply.add_both(move |reply| {
                waiting.wake();
                Ok(reply)
            });
            self.begun = Some(Box::new(Begun::Offloaded(reply)));
        }
    }
    // ANCHOR_END: defer_heavy

    /// The reply has come: sends it and reads on.
    pub(super) fn send_offloaded(&mut self, transport: &Transport) {
        let Some(reply) = self.take_reply() else {
            return;
        };
        self.state = State::Serving;
        match reply {
            Ok(Ok(mut replies)) => {
                self.send(transport, &mut replies, 1);
                if !self.factory.service.keep_alive() {
                    self.finish(transport, CloseReason::Done);
                } else if !transport.is_blocked() {
                    self.read_on(transport);
                }
            }
            Ok(Err(refusal)) => self.refuse(transport, refusal),
            Err(failure) => {
                let panicked = failure.trap::<Panicked>().map(|panicked| panicked.0);
                let message = panicked.unwrap_or_else(|failure| failure.to_string());
                self.handler_panicked(transport, message);
            }
        }
    }
    // ANCHOR_END: offload

    fn take_reply(&mut self) -> Option<Reply<S::Replies>> {
        let came = |begun: &mut Box<_>| match &**begun {
            Begun::Offloaded(reply) => reply.is_settled(),
            Begun::Partial { .. } | Begun::Heavy(_) => false,
        };
        match *self.begun.take_if(came)? {
            Begun::Offloaded(reply) => reply.take_result().ok()?.ok(),
            Begun::Partial { .. } | Begun::Heavy(_) => None,
        }
    }

    /// The connection has ended. A request that waits for a thread is dropped; the reply to one that has a thread will be.
    pub(super) fn forget_offloaded(&mut self) {
        if let Some(Begun::Offloaded(reply)) = self.begun.as_deref() {
            reply.cancel();
        }
    }
}
