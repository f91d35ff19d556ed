//! A process as actix runs it: an actor that handles its mail and, through one future of its context, hears its
//! port and its deadline. Every function of the behaviour is called from here, with panics contained.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};

use actix::dev::channel::AddressReceiver;
use actix::{Actor, ActorContext, ActorFuture, Addr, AsyncContext, Context, Handler, Message};
use poetry::panics::contain;

use super::context::Core;
use super::me::Me;
use super::node::Local;
use super::pid::{Door, Entry, Mail, Signal};
use super::record::Record;
use super::{MAILBOX_CAPACITY, Next, Process, Received};
use crate::monitor::Reason;
use crate::port::Port;

/// Messages of one mailbox before the others in the arbiter have their turn: senders in other threads could refill it
/// for ever.
const MAIL_PER_TURN: usize = 2 * MAILBOX_CAPACITY;
/// Events of one port before the others in the arbiter have their turn.
const EVENTS_PER_TURN: usize = 8;

/// The way in, shared by all pids.
pub(super) struct Inbox<P: Process> {
    pub(super) record: Record,
    pub(super) addr: Addr<Cell<P>>,
}

impl<P: Process> Entry for Inbox<P> {
    fn record(&self) -> &Record {
        &self.record
    }

    fn signal(&self, signal: Signal) {
        self.addr.do_send(Mail::Signal(signal));
    }
}

impl<P: Process> Door<P::Message> for Inbox<P> {
    /// Room was made sure of by a permit, which actix's own capacity would not be: `do_send` ignores it.
    fn put(&self, message: P::Message) -> Result<(), P::Message> {
        if self.addr.connected() {
            self.addr.do_send(Mail::Message(message));
            Ok(())
        } else {
            Err(message)
        }
    }
}

impl<M: Send + 'static> Message for Mail<M> {
    type Result = ();
}

/// One process.
pub(super) struct Cell<P: Process> {
    /// `None` once the process has ended.
    life: Option<Life<P>>,
    core: Core<P>,
}

struct Life<P: Process> {
    state: P,
    port: P::Port,
}

impl<P: Process> Cell<P> {
    /// Calls one function of the behaviour.
    #[inline]
    fn call(&mut self, function: impl FnOnce(&mut P, &mut Me<'_, P>) -> Next) {
        let Some(life) = &mut self.life else { return };
        let (port, core) = (&mut life.port, &mut self.core);
        match contain(|| function(&mut life.state, &mut Me { port, core })) {
            Ok(Next::Receive) => {}
            Ok(Next::Exit(reason)) => self.end_with(reason),
            Err(message) => self.crash(message),
        }
    }

    #[cold]
    fn crash(&mut self, message: String) {
        let Some(life) = &mut self.life else { return };
        if !P::REPORTS_CRASHES {
            let name = self.core.inbox.record.name;
            self.core.local.node.crashed(name, &message);
        }
        let (port, core) = (&mut life.port, &mut self.core);
        match contain(|| life.state.crashed(&message, &mut Me { port, core })) {
            Ok(Next::Receive) => {}
            Ok(Next::Exit(reason)) => self.end_with(reason),
            Err(_) => self.finish(Reason::crash(message)),
        }
    }

    fn end_with(&mut self, reason: Reason) {
        if self.core.waits() {
            self.core.ending.get_or_insert(reason);
        } else {
            self.finish(reason);
        }
    }

    /// Ends the process now: state and port are released, then those who watch are told (O2).
    fn finish(&mut self, reason: Reason) {
        let Some(mut life) = self.life.take() else {
            return;
        };
        let (port, core) = (&mut life.port, &mut self.core);
        let _ = contain(|| life.state.terminate(&reason, &mut Me { port, core }));
        let _ = contain(move || drop(life));
        self.core.disarm();
        self.core.rare = None;
        self.core.inbox.record.end(&reason);
    }

    #[inline]
    fn receive(&mut self, received: Received<'_, P>) {
        self.call(|state, me| state.receive(received, me));
    }

    fn take(&mut self, mail: Mail<P::Message>) {
        match mail {
            Mail::Message(message) => {
                self.core.inbox.record.room.add_permits(1);
                self.receive(Received::Message(message));
            }
            Mail::Signal(Signal::Exit(exit)) => self.receive(Received::Exit(exit)),
            Mail::Signal(Signal::Down(down)) => {
                if self.core.monitors().remove(&down.monitor) {
                    self.receive(Received::Down(down));
                }
            }
            Mail::Signal(Signal::Kill) => self.finish(Reason::Killed),
        }
    }

    /// Lets what the process waits for go on, then hands out what came meanwhile. Whether it is free to receive.
    #[inline]
    fn resume(&mut self, turn: &mut task::Context<'_>) -> bool {
        while let Some(rare) = &mut self.core.rare {
            if let Some(wait) = rare.waits.front_mut() {
                let Poll::Ready(resume) = wait.as_mut().poll(turn) else {
                    return false;
                };
                rare.waits.pop_front();
                if let Some(resume) = resume {
                    self.call(resume);
                }
            } else if let Some(reason) = self.core.ending.take() {
                self.finish(reason);
            } else if let Some(mail) = rare.later.pop_front() {
                self.take(mail);
            } else {
                break;
            }
        }
        self.life.is_some()
    }

    /// One turn: the deadline, then the port, as far as the process is free to receive.
    #[inline]
    fn turn(&mut self, turn: &mut task::Context<'_>) {
        if self.resume(turn)
            && self
                .core
                .entry
                .is_some_and(|entry| self.core.local.timers.has_fired(entry))
        {
            self.timeout();
        }
        self.hear_port(turn);
        if self.life.is_some() {
            self.core.arm(turn);
        }
        self.core.now = None;
        self.core.mail = 0;
    }

    #[cold]
    fn timeout(&mut self) {
        self.core.disarm();
        let fired = self.core.local.timers.fired();
        if self.core.due.take_if(|due| *due <= fired).is_some() {
            self.receive(Received::Timeout);
        }
    }

    #[inline]
    fn hear_port(&mut self, turn: &mut task::Context<'_>) {
        let local = Rc::clone(&self.core.local);
        let mut buffer = local.read_buffer.borrow_mut();
        for _ in 0..EVENTS_PER_TURN {
            if !self.resume(turn) {
                return;
            }
            let Some(life) = &mut self.life else { return };
            let Poll::Ready(event) = life.port.poll(turn, &mut buffer) else {
                return;
            };
            self.receive(Received::Port(event));
        }
        turn.waker().wake_by_ref();
    }
}

impl<P: Process> Actor for Cell<P> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.call(|state, me| state.started(me));
        ctx.spawn(Drive);
    }

    /// Also when the arbiter stops under a living process.
    fn stopped(&mut self, _: &mut Self::Context) {
        self.finish(Reason::Killed);
    }
}

/// Nothing in it is pinned.
impl<P: Process> Unpin for Cell<P> {}

impl<P: Process> Handler<Mail<P::Message>> for Cell<P> {
    type Result = ();

    fn handle(&mut self, mail: Mail<P::Message>, ctx: &mut Self::Context) {
        match mail {
            Mail::Signal(Signal::Kill) => self.finish(Reason::Killed),
            Mail::Signal(Signal::Exit(exit)) if !self.core.traps_exits => {
                if exit.reason != Reason::Normal {
                    self.finish(exit.reason);
                }
            }
            mail if self.core.waits() => self.core.rare().later.push_back(mail),
            mail => self.take(mail),
        }
        self.core.mail += 1;
        if self.life.is_none() {
            ctx.stop();
        } else if self.core.mail >= MAIL_PER_TURN {
            self.core.mail = 0;
            ctx.wait(GiveWay { gave: false });
        }
    }
}

/// Ends the turn of a process that has handled enough.
struct GiveWay {
    gave: bool,
}

impl<P: Process> ActorFuture<Cell<P>> for GiveWay {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        _: &mut Cell<P>,
        _: &mut Context<Cell<P>>,
        turn: &mut task::Context<'_>,
    ) -> Poll<()> {
        if std::mem::replace(&mut self.gave, true) {
            return Poll::Ready(());
        }
        turn.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The future in a process's context: its turn comes whenever the process is woken.
struct Drive;

impl<P: Process> ActorFuture<Cell<P>> for Drive {
    type Output = ();

    #[inline]
    fn poll(
        self: Pin<&mut Self>,
        cell: &mut Cell<P>,
        ctx: &mut Context<Cell<P>>,
        turn: &mut task::Context<'_>,
    ) -> Poll<()> {
        cell.turn(turn);
        if cell.life.is_none() {
            ctx.stop();
        }
        Poll::Pending
    }
}

/// Runs a process in this arbiter.
pub(super) fn launch<P: Process>(
    local: Rc<Local>,
    inbox: Arc<Inbox<P>>,
    mail: AddressReceiver<Cell<P>>,
    (state, port): (P, P::Port),
) {
    let cell = Cell {
        life: Some(Life { state, port }),
        core: Core::new(inbox, local),
    };
    // Not `run`, which would make an address only to throw it away.
    actix::spawn(Context::with_receiver(mail).into_future(cell));
}
