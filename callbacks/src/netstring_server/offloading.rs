//! A heavy request (S25): a thread of the pool answers it, while the reactor serves other connections. Its own connection
//! reads nothing meanwhile, so that its replies stay in order.

use poetry::{CloseReason, Heavy, Refusal};

use super::partial::Begun;
use super::{NetstringProtocol, Service, State};
use crate::deferred::Deferred;
use crate::failure::{Failure, Panicked};
use crate::protocol::Producer;
use crate::reactor::Transport;
use crate::threads::defer_to_thread_pool;

/// A heavy request under way.
pub(super) struct Offloaded<R> {
    /// The request, until the kernel has taken the replies to those before it.
    heavy: Option<Heavy<R>>,
    /// Its reply, once a thread has been asked for it.
    reply: Option<Deferred<Reply<R>>>,
}

/// The reply or the refusal, unless the transform has panicked or there is no thread.
type Reply<R> = Result<Result<R, Refusal>, Failure>;

impl<S: Service> NetstringProtocol<S> {
    // ANCHOR: offload
    /// Has `heavy` answered in another thread as soon as the replies before it are delivered.
    #[cold]
    pub(super) fn offload(&mut self, transport: &Transport, heavy: Heavy<S::Replies>) {
        self.guard.on_requests(1);
        transport.pause_producing();
        self.state = State::Offloading;
        self.begun = Some(Box::new(Begun::Offloaded(Offloaded {
            heavy: Some(heavy),
            reply: None,
        })));
        if !transport.is_blocked() {
            self.defer_heavy(transport);
        }
    }

    /// Gives the request to the thread pool. The Deferred fires in the reactor, and wakes this connection.
    pub(super) fn defer_heavy(&mut self, transport: &Transport) {
        let Some(Begun::Offloaded(offloaded)) = self.begun.as_deref_mut() else {
            return;
        };
        if let Some(heavy) = offloaded.heavy.take() {
            transport.set_timeout(None);
            let (reactor, waiting) = (transport.reactor(), transport.clone());
            let reply = defer_to_thread_pool(&reactor, &self.guard.state.pool, heavy);
            offloaded.reply = Some(reply.add_both(move |reply| {
                waiting.wake();
                Ok(reply)
            }));
        }
    }

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
        let Some(Begun::Offloaded(offloaded)) = self.begun.as_deref_mut() else {
            return None;
        };
        match offloaded.reply.take()?.take_result() {
            Ok(reply) => {
                self.begun = None;
                reply.ok()
            }
            Err(unsettled) => {
                offloaded.reply = Some(unsettled);
                None
            }
        }
    }

    /// The connection has ended. A request that waits for a thread is dropped; the reply to one that has a thread will be.
    pub(super) fn forget_offloaded(&mut self) {
        if let Some(Begun::Offloaded(offloaded)) = self.begun.as_deref()
            && let Some(reply) = &offloaded.reply
        {
            reply.cancel();
        }
    }
}
