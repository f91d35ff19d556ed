//! Processes: isolated state, a bounded mailbox, one message at a time, and an exit that other processes can observe
//! (O1–O4, O7–O11). Start with the trait [`Process`] below, then `me` (what a process can do) and `actor` (how actix runs it).
//!
//! Each file uses only this trait and the files after it in this list: `test_clock`, `start`, `spawn`, `task`, `actor`,
//! `context`, `inspect`, `later`, `me`, `control`, `timer`, `call`, `local`, `rounds`, `node`, `registry`, `pid`, `watch`,
//! `process_ref`, `urgent`, `info`, `by_id`, `name`.

mod actor;
mod by_id;
mod call;
mod context;
mod control;
mod info;
mod inspect;
mod later;
mod local;
mod me;
mod name;
mod node;
mod pid;
mod process_ref;
mod registry;
mod rounds;
mod spawn;
mod start;
mod task;
mod test_clock;
mod timer;
mod urgent;
mod watch;

pub(crate) use by_id::ById;
pub use call::{Answer, CallError, Reply};
pub use info::{ProcessInfo, WaitsFor};
pub(crate) use local::timeout;
pub use me::Me;
pub use name::Name;
pub use node::Node;
pub use pid::{Pid, SendError};
pub use process_ref::ProcessRef;
pub use registry::RegisterError;
pub use spawn::Arbiter;
#[cfg(test)]
pub(crate) use task::bytes as task_bytes;
pub use test_clock::TestClock;
#[cfg(test)]
pub(crate) use test_clock::{advance_here, virtual_now};
pub use timer::TIMERS_MAX;

use poetry::Kind;
use poetry::event::Wait;

use crate::monitor::{Down, Exit, Reason};
use crate::port::Port;

/// The default capacity of a mailbox: a burst from a few processes fits, and no message waits behind many.
pub const MAILBOX_CAPACITY: usize = 64;

/// The behaviour of a process. Its state is `self`, which no other process can reach.
///
/// In Erlang a process is a loop around `receive`. Here the runtime owns the loop and calls [`Process::receive`]:
///
/// ```text
/// loop(Lines) ->                                        impl Process for Poem {
///     receive                                             fn receive(&mut self, received, me) -> Next {
///         {line, Line} -> loop(Lines ++ [Line]);            match received {
///         {recite, From} ->                                   Message(Line(line)) => self.lines.push(line),
///             From ! {poem, Lines}, loop(Lines);              Message(Recite(reply)) => reply.send(self.text()),
///         stop -> ok                                          Message(Stop) => return Next::Exit(Reason::Normal),
///     end.                                                  }
///                                                           Next::Receive
///                                                         }
///                                                       }
/// ```
///
/// | Erlang | here | rule |
/// |---|---|---|
/// | `spawn(fun () -> … end)` | [`Me::spawn`], [`Node::spawn`], [`Arbiter::spawn`] | O1 |
/// | `Pid ! Message` | [`Me::send`]; waits while the mailbox is full | O1 |
/// | `gen_server:call(Pid, Question, 5000)` | [`Me::call`], from outside [`Node::call`] | O7 |
/// | `gen_server:reply(From, Answer)` | [`Reply::send`] | O7 |
/// | `gen_server:send_request(Pid, Question)`, `gen_server:wait_response(Id, 5000)` | from outside [`Node::ask`], then [`Answer::wait`] | O7 |
/// | `receive … after 5000 -> …` | [`Me::after`], then [`Received::Timeout`] | |
/// | selective `receive`, `postpone` of `gen_statem` | [`Me::postpone`], [`Me::receive_postponed`]; one reply of one process: [`Me::call`] | O11 |
/// | `erlang:send_after(5000, self(), Message)`, `erlang:cancel_timer(Timer)` | [`Me::send_after`], [`Me::cancel_timer`]; at most [`TIMERS_MAX`] | O8 |
/// | `monitor(process, Pid)`, `{'DOWN', Ref, process, Pid, Reason}` | [`Me::monitor`], [`Received::Down`] | O2 |
/// | `spawn_monitor(…)` | [`Me::spawn`], then [`Me::monitor`] in the same handler, which nothing can interrupt; across arbiters the reason may be [`NoProcess`](Reason::NoProcess) | O2 |
/// | `spawn_link`, `process_flag(trap_exit, true)`, `{'EXIT', Pid, Reason}` | [`Me::spawn_link`], [`Me::trap_exits`], [`Received::Exit`] | O3 |
/// | `process_flag(trap_exit, false)` | [`Me::set_trap_exits`], which returns the old value, too | O3 |
/// | `exit(Reason)`, `exit(Pid, shutdown)`, `exit(Pid, kill)` | [`Next::Exit`], [`Me::exit`], [`ProcessRef::kill`]; from outside [`ProcessRef::exit`] | O4 |
/// | `exit({shutdown, upgrade})`, `exit({poem, Poem})` | [`Reason::shutdown_with`], [`Reason::other`]; the value by [`Reason::value`] | O4 |
/// | `terminate(Reason, State)` | [`Process::terminate`] | O4 |
/// | `gen_tcp:controlling_process(Socket, Heir)` in `terminate` | [`Me::hand_over`] | S20 |
/// | 4,000 reductions, then another process runs | [`Me::use_turn`] | S24 |
/// | `register(poem, Pid)`, `register(poem, self())`, `unregister(poem)`, `whereis(poem)` | [`Node::register`], [`Me::register`], [`Node::unregister`], [`Node::whereis`] | O9 |
/// | `gen_server:start_link({local, poem}, …)` | [`Me::spawn_link_registered`] | O9 |
/// | `poem ! Message`, `gen_server:call(poem, Question)` | [`Node::whereis`], then [`Me::send`] or [`Me::call`]: at each use, since a restart gives the name to another pid | O9 |
/// | `process_info(Pid)`: `message_queue_len`, `links`, `monitors`, `monitored_by`, `status` | [`Me::process_info`], from outside [`Node::process_info`]; not its memory, its reductions or its stack | O10 |
/// | `process_info(Pid, message_queue_len)`, `process_info(self(), links)` | [`ProcessRef::mailbox`], [`Me::links`], without waiting for an answer | |
/// | `{active, once}` | the [`Port`], which is asked for its next event after each handler | |
/// | `erlang:trace(Pid, true, [running])` | [`Process::trace`], written into the process, not switched on from outside | |
/// | `#{id => poem, start => {poem, start_link, []}, shutdown => 1000}` | [`Spec::worker("poem", Poem::default)`](crate::Spec::worker), then [`shutdown`](crate::Spec::shutdown); [`Spec::registered`](crate::Spec::registered), [`Spec::supervisor`](crate::Spec::supervisor) | O5 |
/// | `#{strategy => rest_for_one, intensity => 1, period => 5}` | [`Strategy`](crate::Strategy), [`Intensity`](crate::Intensity) | O5 |
/// | `supervisor:start_child`, `terminate_child`, `restart_child`, `delete_child` | [`ToSupervisor`](crate::ToSupervisor) | O5 |
/// | `#{auto_shutdown => any_significant}`, `#{significant => true}` | [`Supervisor::auto_shutdown`](crate::Supervisor::auto_shutdown), [`Spec::significant`](crate::Spec::significant) | O5 |
/// | `simple_one_for_one` | none; [`ToSupervisor::Start`](crate::ToSupervisor::Start), or a process that traps exits and calls [`Me::spawn_link`], as `listener/connections.rs` | O5 |
/// | `supervisor:which_children(Sup)` | [`ToSupervisor::WhichChildren`](crate::ToSupervisor::WhichChildren), drawn by [`draw_tree`](crate::draw_tree) | O6 |
/// | `observer` | `quatrain serve --observe`; SIGUSR1; in a program of your own [`draw_tree`](crate::draw_tree) | |
///
/// # Differences from Erlang
///
/// - Mailboxes are bounded. A sender to a full mailbox waits its turn; in Erlang `!` never waits.
/// - A mailbox takes one type of message and delivers in order. In place of a selective `receive`, a process postpones what it
///   cannot handle yet, as in `gen_statem`.
/// - No handler blocks. [`Me::call`] returns at once, and its last argument handles the reply after the handler has
///   returned. Until then the process receives nothing; only a kill, or an exit that it does not trap, takes effect.
/// - A timeout that [`Me::after`] sets stays set while messages arrive. In Erlang each `receive` starts its `after` anew.
/// - [`Me::send_after`] sends to the process itself; in Erlang a timer can send to any process. Once
///   [`Me::cancel_timer`] has returned, the message does not come, so there is none to flush from the mailbox.
/// - A [`Reason`] of the program's own is a value of one type, and its receiver asks for that type, where Erlang matches any
///   term.
/// - [`Next::Exit`] ends a process after its handler; `exit(Reason)` leaves a function in the middle.
/// - A thread that is no process can ask a process to exit, with [`ProcessRef::exit`]: the [`Exit`] has no sender then.
/// - Nothing is pre-empted. A handler that computes for 10 ms delays its arbiter by 10 ms, and a kill takes effect
///   after the handler. A supervisor abandons a child that cannot be stopped and lists it in the tree.
/// - [`Process::terminate`] also runs after a kill, and after an exit that is not trapped, so that the counters stay exact
///   (S23).
/// - A process that is told to exit before it has run runs [`Process::started`] first.
///
/// Section 5 of SEMANTICS.md lists them, and what is not there, with their reasons.
pub trait Process: Sized + 'static {
    /// The type of its messages.
    type Message: Send + 'static;
    /// The type of its connection to the outside world, or [`NoPort`](crate::NoPort).
    type Port: Port;
    /// The capacity of its mailbox, in messages.
    const MAILBOX: usize = MAILBOX_CAPACITY;
    /// Whether it reports its own crashes, in [`Process::terminate`]. By default the hook set by [`Node::on_crash`] does.
    const REPORTS_CRASHES: bool = false;

    /// Called once, before anything is received: `init`. A supervisor waits until this has returned and until what it waits
    /// for, by [`Me::call`] or [`Me::wait`], has come. A process that ends before has failed to start, unless the reason is
    /// [`Reason::Normal`], which is `ignore` in OTP (O5).
    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        let _ = me;
        Next::Receive
    }

    /// Handles one message, event or signal. A panic here is a crash: nothing is received after it.
    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next;

    /// Called before and after each handler, for timelines; not after one that returns [`Next::Exit`] or panics. `worker` is
    /// the index of the arbiter. Erlang has this as a trace: `erlang:trace(Pid, true, [running])`.
    #[inline]
    fn trace(&self, turn: Turn, worker: u32) {
        let _ = (turn, worker);
    }

    /// Called once, last, however the process ends. Afterwards its state and port are dropped, then the processes that
    /// are linked to it or monitor it are notified.
    ///
    /// After a crash the state is as the panic left it, and the process cannot receive again. To deliver what it still
    /// owes, it can hand its port over to a fresh process ([`Me::hand_over`]).
    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        let _ = (reason, me);
    }
}

/// The beginning or the end of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The process runs: `in`, in Erlang.
    In,
    /// It waits for what it will receive next: `out`.
    Out,
}

impl Turn {
    /// Returns what is reported of it, if the process waits for `wait` after it.
    pub(crate) fn kind(self, wait: impl FnOnce() -> Wait) -> Kind {
        match self {
            Self::In => Kind::Running,
            Self::Out => Kind::Waiting(wait()),
        }
    }
}

/// What a process does after a handler returns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Receives again.
    Receive,
    /// Exits as soon as the messages it sent are in their mailboxes.
    Exit(Reason),
}

/// What a process receives.
pub enum Received<'a, P: Process> {
    /// A message from its mailbox.
    Message(P::Message),
    /// An event of its port.
    Port(<P::Port as Port>::Event<'a>),
    /// A linked process ended, or this one is asked to exit ([`Me::exit`], [`ProcessRef::exit`]). Received only by a process that traps exits.
    Exit(Exit),
    /// A monitored process ended.
    Down(Down),
    /// The time set by [`Me::after`] or [`Me::until`] has come.
    Timeout,
}
