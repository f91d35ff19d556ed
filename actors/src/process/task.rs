//! The task of a process, in the place of actix's `ContextFut`: it starts the process and, whenever that is woken, handles
//! its mail and gives it a turn.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};

use actix::dev::{EnvelopeProxy, Stream};
use actix::{Actor, ActorContext, ActorState};

use super::actor::{Inbox, ProcessActor};
use super::context::ProcessContext;
use super::local::Local;
use super::pid::Pid;
use super::{MAILBOX_CAPACITY, Process};

/// Messages and signals a process handles before it gives way to the others of its arbiter. Senders in other threads could
/// refill its mailbox for ever.
const MAIL_PER_TURN: usize = 2 * MAILBOX_CAPACITY;

/// Runs a process in this arbiter.
pub(super) fn launch<P: Process>(
    local: Rc<Local>,
    (pid, inbox): (Pid<P::Message>, Inbox<P>),
    created: (P, P::Port),
) {
    actix::spawn(Running {
        actor: ProcessActor::new(pid, local, created),
        context: ProcessContext::new(),
        inbox,
    });
}

/// A process and what runs it.
struct Running<P: Process> {
    actor: ProcessActor<P>,
    context: ProcessContext,
    inbox: Inbox<P>,
}

/// The bytes of a process in its task, besides what tokio adds.
#[cfg(test)]
pub(crate) const fn bytes<P: Process>() -> usize {
    size_of::<Running<P>>()
}

impl<P: Process> Running<P> {
    #[inline]
    fn start(&mut self) {
        if self.context.start() {
            self.actor.started(&mut self.context);
        }
    }

    /// Handles the mail that has arrived. Returns whether there may be more.
    #[inline]
    fn handle_mail(&mut self, turn: &mut task::Context<'_>) -> bool {
        for _ in 0..MAIL_PER_TURN {
            if !self.context.state().alive() {
                return false;
            }
            match Pin::new(&mut self.inbox).poll_next(turn) {
                Poll::Ready(Some(mut mail)) => mail.handle(&mut self.actor, &mut self.context),
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        true
    }
}

// ANCHOR: process_loop
impl<P: Process> Future for Running<P> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, turn: &mut task::Context<'_>) -> Poll<()> {
        self.start();
        let has_mail = self.handle_mail(turn);
        let Self { actor, context, .. } = &mut *self;
        if context.state().alive() {
            actor.turn(context, turn);
        }
        if context.state().stopping() {
            context.terminate();
            actor.stopped(context);
            return Poll::Ready(());
        }
        if has_mail {
            turn.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
// ANCHOR_END: process_loop

/// The arbiter stops while the process is alive.
impl<P: Process> Drop for Running<P> {
    fn drop(&mut self) {
        if self.context.state() != ActorState::Stopped {
            self.start();
            self.context.terminate();
            self.actor.stopped(&mut self.context);
        }
    }
}
