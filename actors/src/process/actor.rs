//! A process as an actix actor: it handles its mail and, in its turns, its port and its deadline. Every handler of the
//! behaviour is called from here, with panics contained.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, ActorContext, Addr, Handler, Message};
use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::panics::contain;
use tokio::sync::oneshot;

use super::context::ProcessContext;
use super::control::{Control, Ready};
use super::info::ProcessInfo;
use super::local::Local;
use super::me::Me;
use super::name::Name;
use super::pid::{Mail, Mailbox, Pid};
use super::process_ref::{AnyMailbox, Record, Signal};
use super::{MAILBOX_CAPACITY, Next, Process, Received, Turn, watch};
use crate::monitor::Reason;
use crate::port::Port;

/// Events of its port a process handles in one turn.
const EVENTS_PER_TURN: usize = 8;

/// Waits and deferred mail that a process handles before it gives way to the others of its arbiter. It could postpone one
/// message again and again.
const LATER_PER_TURN: usize = 2 * MAILBOX_CAPACITY;

/// A process's mailbox: actix's queue, and the record that bounds it.
struct ActixMailbox<P: Process> {
    record: Record,
    addr: Addr<ProcessActor<P>>,
}

impl<P: Process> AnyMailbox for ActixMailbox<P> {
    fn record(&self) -> &Record {
        &self.record
    }

    fn signal(&self, signal: Signal) {
        self.record.urgent.announce(&signal, self.record.id);
        self.addr.do_send(Mail::Signal(signal));
    }
}

impl<P: Process> Mailbox<P::Message> for ActixMailbox<P> {
    /// `do_send` ignores actix's own capacity; the sender's permit bounds the queue.
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

/// The receiving end of a mailbox.
pub(super) type Inbox<P> = AddressReceiver<ProcessActor<P>>;

/// Creates a mailbox, reached by the returned pid.
pub(super) fn mailbox<P: Process>(name: Name) -> (Pid<P::Message>, Inbox<P>) {
    let (sender, inbox) = channel(0);
    let mailbox = ActixMailbox {
        record: Record::new(name, P::MAILBOX),
        addr: Addr::new(sender),
    };
    (Pid(Arc::new(mailbox)), inbox)
}

/// One process.
pub(super) struct ProcessActor<P: Process> {
    /// `None` once the process has ended.
    life: Option<Life<P>>,
    control: Control<P>,
}

struct Life<P: Process> {
    state: P,
    port: P::Port,
}

impl<P: Process> ProcessActor<P> {
    pub(super) fn new(pid: Pid<P::Message>, local: Rc<Local>, (state, port): (P, P::Port)) -> Self {
        Self {
            life: Some(Life { state, port }),
            control: Control::new(pid, local),
        }
    }

    // ANCHOR: contain_crash
    /// Runs one handler of the behaviour.
    #[inline]
    fn run(&mut self, handler: impl FnOnce(&mut P, &mut P::Port, &mut Control<P>) -> Next) {
        let Some(life) = &mut self.life else { return };
        let control = &mut self.control;
        let worker = control.local.worker;
        let handled = contain(|| {
            life.state.trace(Turn::In, worker);
            let next = handler(&mut life.state, &mut life.port, control);
            if matches!(next, Next::Receive) {
                life.state.trace(Turn::Out, worker);
            }
            next
        });
        match handled {
            Ok(Next::Receive) => {}
            Ok(Next::Exit(reason)) => self.end_with(reason),
            Err(message) => self.crash(message),
        }
    }
    // ANCHOR_END: contain_crash

    #[inline]
    fn receive(&mut self, received: Received<'_, P>) {
        self.run(|state, port, control| state.receive(received, &mut Me { port, control }));
    }

    /// A handler panicked: the process receives nothing more and exits as soon as the messages it sent have arrived.
    #[cold]
    fn crash(&mut self, message: String) {
        if !P::REPORTS_CRASHES {
            let name = self.control.pid.record().name;
            // The hook calls the observer, which may be what panics.
            let _ = contain(|| self.control.local.node.crashed(name, &message));
        }
        self.control.keep_sends();
        self.end_with(Reason::crash(message));
    }

    /// Ends the process as soon as it no longer waits for anything.
    fn end_with(&mut self, reason: Reason) {
        if self.control.waits() {
            self.control.wait_state_mut().ending.get_or_insert(reason);
        } else {
            self.end(reason);
        }
    }

    /// Ends the process now: releases its state and its port, then notifies the processes that watch it (O2).
    fn end(&mut self, reason: Reason) {
        let Some(mut life) = self.life.take() else {
            return;
        };
        let (port, control) = (&mut life.port, &mut self.control);
        let _ = contain(|| life.state.terminate(&reason, &mut Me { port, control }));
        let _ = contain(move || drop(life));
        self.control.disarm();
        let record = self.control.pid.record();
        let Some(state) = self.control.wait_state.take() else {
            return record.end(&reason, None);
        };
        // What it watched lives on, and must not keep a place for each watcher that has ended.
        for (monitor, watched) in state.monitors {
            watched.record().demonitor(monitor);
        }
        record.end(&reason, state.heir);
        drop(state.ends);
    }

    /// Lets the behaviour receive one message or signal.
    fn receive_mail(&mut self, mail: Mail<P::Message>) {
        match mail {
            Mail::Message(message) => {
                self.control.pid.record().room.add_permits(1);
                self.receive(Received::Message(message));
            }
            Mail::Again(message) => self.receive(Received::Message(message)),
            Mail::Signal(Signal::Exit(exit)) => self.receive(Received::Exit(exit)),
            Mail::Signal(Signal::Down(down)) => {
                if self.control.monitors().remove(&down.monitor).is_some() {
                    self.receive(Received::Down(down));
                }
            }
            Mail::Signal(Signal::Timer(timer)) => {
                if let Some((_, message)) = self.control.take_timer(timer) {
                    self.receive(Received::Message(message));
                }
            }
            Mail::Signal(Signal::Info(asked)) => self.tell(asked),
            Mail::Signal(Signal::Kill) => self.end(Reason::Killed),
            Mail::Signal(Signal::TellStart(start)) => {
                let _ = start.send(());
            }
            Mail::Signal(Signal::HoldUntilEnd(end)) => self.control.wait_state_mut().ends.push(end),
        }
    }

    /// The supervisor asks whether the process has started. While it waits it has not.
    fn tell_start(&mut self, start: watch::Start) {
        self.control.pid.record().urgent.start_is_out();
        if self.control.waits() {
            let asked = Mail::Signal(Signal::TellStart(start));
            self.control.wait_state_mut().later.push_front(asked);
        } else if self.life.is_some() {
            let _ = start.send(());
        }
    }

    /// Answers a question about this process (O10).
    fn tell(&self, asked: oneshot::Sender<ProcessInfo>) {
        let _ = asked.send(self.control.info());
    }

    /// Polls the futures that the process waits for, then receives the mail that arrived meanwhile. Returns whether the
    /// process is free to receive more.
    #[inline]
    fn resume(&mut self, turn: &mut task::Context<'_>) -> bool {
        let mut left = LATER_PER_TURN;
        while self.control.wait_state.is_some() {
            if left == 0 || self.control.is_urgent() {
                turn.waker().wake_by_ref();
                return false;
            }
            left -= 1;
            let state = self.control.wait_state_mut();
            if let Some(wait) = state.waits.front_mut() {
                let resume = match &mut wait.ready {
                    Ready::Sent(sent) => sent.as_mut().poll(turn).map(|()| None),
                    Ready::Then(ready) => ready.as_mut().poll(turn).map(Some),
                };
                let Poll::Ready(resume) = resume else {
                    return false;
                };
                state.waits.pop_front();
                if let Some(resume) = resume {
                    self.run(resume);
                }
            } else if let Some(reason) = state.ending.take() {
                self.end(reason);
            } else {
                // What a start waited for has come.
                let mail = state.later.pop_front();
                self.control.pid.record().set_started();
                match mail {
                    Some(mail) => self.receive_mail(mail),
                    None => break,
                }
            }
        }
        self.life.is_some()
    }

    /// One turn: if the process is free to receive, its deadline first, then its port.
    #[inline]
    pub(super) fn turn(&mut self, context: &mut ProcessContext, turn: &mut task::Context<'_>) {
        if self.resume(turn)
            && self
                .control
                .entry
                .is_some_and(|entry| self.control.local.timers.has_fired(entry))
        {
            self.time_out();
        }
        if self.control.has_turn() {
            self.receive_from_port(turn);
        }
        self.control.now = None;
        match self.life {
            Some(_) => self.control.arm(turn),
            None => context.stop(),
        }
    }

    #[cold]
    fn time_out(&mut self) {
        self.control.disarm();
        let fired = self.control.local.timers.fired();
        if self.control.due.take_if(|due| *due <= fired).is_some() {
            self.receive(Received::Timeout);
        }
    }

    #[inline]
    fn receive_from_port(&mut self, turn: &mut task::Context<'_>) {
        let local = Rc::clone(&self.control.local);
        let mut buffer = local.read_buffer.borrow_mut();
        self.control.turn_left = REQUESTS_PER_TURN_MAX;
        for _ in 0..EVENTS_PER_TURN {
            if !self.resume(turn) {
                return;
            }
            let Some(life) = &mut self.life else { return };
            let Poll::Ready(event) = life.port.poll(turn, &mut buffer) else {
                return;
            };
            self.receive(Received::Port(event));
            if self.control.turn_left == 0 {
                break;
            }
        }
        self.control.give_way(turn);
    }
}

impl<P: Process> Actor for ProcessActor<P> {
    type Context = ProcessContext;

    fn started(&mut self, _: &mut ProcessContext) {
        self.run(|state, port, control| state.started(&mut Me { port, control }));
        if self.life.is_some() && !self.control.waits() {
            self.control.pid.record().set_started();
        }
    }

    /// Called also when the arbiter stops while the process is alive.
    fn stopped(&mut self, _: &mut ProcessContext) {
        self.end(Reason::Killed);
    }
}

/// No field is pinned.
impl<P: Process> Unpin for ProcessActor<P> {}

impl<P: Process> Handler<Mail<P::Message>> for ProcessActor<P> {
    type Result = ();

    fn handle(&mut self, mail: Mail<P::Message>, context: &mut ProcessContext) {
        if let Mail::Signal(Signal::Exit(_)) = mail {
            self.control.pid.record().urgent.exit_is_out();
        }
        match mail {
            Mail::Signal(Signal::Kill) => self.end(Reason::Killed),
            Mail::Signal(Signal::Info(asked)) => self.tell(asked),
            Mail::Signal(Signal::Exit(exit)) if !self.control.traps_exits => {
                if exit.is_fatal(self.control.pid.record().id) {
                    self.end(exit.reason);
                }
            }
            Mail::Signal(Signal::TellStart(start)) => self.tell_start(start),
            mail if self.control.defers() => self.control.wait_state_mut().later.push_back(mail),
            mail => self.receive_mail(mail),
        }
        if self.life.is_none() {
            context.stop();
        }
    }
}
