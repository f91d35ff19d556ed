//! The specification of a supervisor's child: how it is started, when it is restarted, and how it is stopped.

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

use super::{Supervisor, ToSupervisor};
use crate::monitor::Reason;
use crate::port::NoPort;
use crate::process::{Me, Name, Pid, Process, ProcessRef, Reply};
use crate::tree::{Children, WhichChildren};

/// How long a worker may take to stop by default, as in OTP.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The specification of a child.
///
/// ```erlang
/// #{id => poem, start => {poem, start_link, []}, restart => transient, shutdown => 1000}
/// ```
///
/// ```
/// # use actors::{Me, Next, NoPort, Process, Received, Restart, Shutdown, Spec};
/// # use std::time::Duration;
/// # #[derive(Default)]
/// # struct Poem;
/// # impl Process for Poem {
/// #     type Message = ();
/// #     type Port = NoPort;
/// #     fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
/// #         Next::Receive
/// #     }
/// # }
/// Spec::worker("poem", Poem::default)
///     .restart(Restart::Transient)
///     .shutdown(Shutdown::After(Duration::from_secs(1)));
/// ```
pub struct Spec {
    pub(super) name: Name,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) significant: bool,
    pub(super) start: Start,
}

/// The function that starts a child.
type Start = Box<dyn FnMut(&mut Me<'_, Supervisor>) -> io::Result<Started> + Send>;

impl Spec {
    /// Returns the specification of a process without a port, which `make` creates at every start. It is
    /// [permanent](Restart::Permanent) and has five seconds to stop, as in OTP.
    pub fn worker<P: Process<Port = NoPort>>(
        name: impl Into<Name>,
        mut make: impl FnMut() -> P + Send + 'static,
    ) -> Self {
        let name = name.into();
        Self::new(name, move |me| {
            Ok(me.spawn_link(name, make(), NoPort).into())
        })
    }

    /// As [`Spec::worker`], registered under its name, by which [`Node::whereis`](crate::Node::whereis) finds it also after
    /// a restart (O9): `gen_server:start_link({local, Name}, …)`. It does not start while another process has the name.
    pub fn registered<P: Process<Port = NoPort>>(
        name: impl Into<Name>,
        mut make: impl FnMut() -> P + Send + 'static,
    ) -> Self {
        let name = name.into();
        Self::new(name, move |me| {
            Ok(me.spawn_link_registered(name, make(), NoPort)?.into())
        })
    }

    /// Returns the specification of a supervisor, which `make` creates at every start. It is
    /// [permanent](Restart::Permanent) and stops without a limit, as in OTP.
    pub fn supervisor(
        name: impl Into<Name>,
        make: impl FnMut() -> Supervisor + Send + 'static,
    ) -> Self {
        Self::worker(name, make).shutdown(Shutdown::Infinity)
    }

    /// Returns the specification of a child that `start` starts, linked to the supervisor that calls it and notices the end
    /// of a child by its link. It is called again for every restart. The child is [permanent](Restart::Permanent) and has
    /// five seconds to stop, as in OTP.
    ///
    /// An error or a panic of `start` is a failed start.
    pub fn new(
        name: impl Into<Name>,
        start: impl FnMut(&mut Me<'_, Supervisor>) -> io::Result<Started> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            restart: Restart::Permanent,
            shutdown: Shutdown::After(STOP_TIMEOUT),
            significant: false,
            start: Box::new(start),
        }
    }

    /// Sets the exits after which it is restarted.
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Makes it significant: its supervisor may exit when it has ended and is not restarted
    /// ([`Supervisor::auto_shutdown`]). It must be [transient](Restart::Transient) or [temporary](Restart::Temporary).
    #[must_use]
    pub fn significant(self) -> Self {
        Self {
            significant: true,
            ..self
        }
    }

    /// Sets how it is stopped.
    #[must_use]
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Spec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .finish_non_exhaustive()
    }
}

/// The exits after which a child is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// After any exit.
    Permanent,
    /// After an abnormal exit, such as a kill or a crash.
    Transient,
    /// Never; the child is removed.
    Temporary,
}

impl Restart {
    pub(super) fn restarts_after(self, reason: &Reason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// Whether a supervisor exits when significant children have ended by themselves and are not restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoShutdown {
    /// It has no significant children.
    Never,
    /// It exits when one has ended.
    AnySignificant,
    /// It exits when all have ended.
    AllSignificant,
}

impl Supervisor {
    /// Says what is wrong with a significant child, if it is one.
    pub(super) fn flaw(&self, spec: &Spec) -> Option<String> {
        let name = spec.name;
        match (spec.significant, spec.restart, self.auto_shutdown) {
            (true, Restart::Permanent, _) => Some(format!(
                "{name} is significant and permanent, so it never ends; make it transient or temporary"
            )),
            (true, _, AutoShutdown::Never) => Some(format!(
                "{name} is significant; set the supervisor's auto_shutdown"
            )),
            _ => None,
        }
    }
}

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It is asked to exit, and killed if that takes longer than this.
    After(Duration),
    /// It is killed at once.
    Kill,
    /// It is asked to exit, and the supervisor waits without a limit, also for its start. For children that are
    /// supervisors: their own children bound the time. A worker that traps exits may make the supervisor wait for ever.
    Infinity,
}

/// A started child.
pub struct Started {
    /// Its process.
    pub process: ProcessRef,
    /// How to ask it for its own children, if it is a supervisor.
    pub which_children: Option<WhichChildren>,
}

impl Started {
    /// Returns a child that is a supervisor of the program's own, and lists its children in reply to the message that `ask`
    /// builds.
    pub fn supervisor<M: Send + 'static>(pid: Pid<M>, ask: fn(Reply<Children>) -> M) -> Self {
        Self {
            process: pid.process(),
            which_children: Some(WhichChildren::new(pid, ask)),
        }
    }
}

impl From<ProcessRef> for Started {
    fn from(process: ProcessRef) -> Self {
        Self {
            process,
            which_children: None,
        }
    }
}

/// A [`Supervisor`] is known by its messages and lists its children.
impl<M: Send + 'static> From<Pid<M>> for Started {
    fn from(pid: Pid<M>) -> Self {
        match (&pid as &dyn Any).downcast_ref::<Pid<ToSupervisor>>() {
            Some(supervisor) => Self::supervisor(supervisor.clone(), ToSupervisor::WhichChildren),
            None => pid.process().into(),
        }
    }
}
