//! A task: the limits and the deadline of one fetch, and its number in events; and the failures of S11 that a fetch ends with.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::Timeout;
use poetry::event::{Interest, Scene, Unobserved, Wait};
use poetry::{FetchFailure, Kind, Limits, Poem, Reporter, Role};

use crate::deferred::Deferred;
use crate::failure::{Cancelled, Failure, TimedOut};
use crate::protocol::Lost;
use crate::reactor::{Reactor, SelfConnected, Transport};

/// One fetch or transform: its limits, its deadline, and its number, under which events report it (`Task 1: got 10 bytes
/// of poetry`).
///
/// ```
/// use callbacks::event::{Clock, Event, Interest, Kind};
/// use callbacks::{Limits, MemoryReactor, Observer, Peer, Reporter, Role, Task, get_poetry_with};
/// use std::sync::{Arc, Mutex};
///
/// /// Keeps the number of bytes of each read.
/// struct Reads(Mutex<Vec<u64>>);
///
/// impl Observer for Reads {
///     fn interest(&self) -> Interest {
///         Interest::READ
///     }
///
///     fn observe(&self, event: &Event) {
///         if let Kind::Read { bytes } = event.kind {
///             self.0.lock().unwrap().push(bytes);
///         }
///     }
/// }
///
/// let reactor = MemoryReactor::new();
/// let limits = Limits { poem_bytes_max: 5, ..Limits::default() };
/// let reads = Arc::new(Reads(Mutex::default()));
/// // Events are stamped by a clock of their own; this one always shows zero.
/// let reporter = Reporter::new("callbacks", Role::PoemClient, Clock::stopped(), reads.clone());
///
/// let task = Task::new(&reactor, limits, &reporter);
/// let poem = get_poetry_with(&reactor, "10001".parse::<Peer>()?, &task);
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// for bytes in ["Ahoy", "there"] {
///     server.send(bytes.as_bytes());
///     reactor.settle();
/// }
/// let failure = poem.take_result().unwrap().unwrap_err();
/// assert_eq!(failure.to_string(), "too long: over the limit of 5 bytes");
/// assert_eq!(*reads.0.lock().unwrap(), [4, 5]);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct Task {
    pub(crate) limits: Rc<Limits>,
    reporter: Reporter,
    scene: Cell<Scene>,
    /// When the poem and its transform must have arrived, on the reactor's clock.
    deadline: Option<Duration>,
    received: Cell<u64>,
    /// Whether the fetch or the transform has its result. Its connection may be closed later.
    ended: Cell<bool>,
}

impl Task {
    /// Begins a task with the observer of `reporter`. Its deadline, if `limits` has one, counts from now. Its number is 0.
    pub fn new(reactor: &Reactor, limits: Limits, reporter: &Reporter) -> Rc<Self> {
        Self::begin(reactor, &Rc::new(limits), reporter, 0, 0)
    }

    /// Begins the task of request `number`, fetched by reactor `worker` of a client.
    pub(crate) fn begin(
        reactor: &Reactor,
        limits: &Rc<Limits>,
        reporter: &Reporter,
        worker: u32,
        number: u64,
    ) -> Rc<Self> {
        let now = reactor.clock().now();
        Rc::new(Self {
            limits: Rc::clone(limits),
            reporter: reporter.clone(),
            scene: Cell::new(Scene {
                worker,
                task: number,
                ..Scene::default()
            }),
            deadline: limits.total_deadline.map(|total| now.saturating_add(total)),
            received: Cell::new(0),
            ended: Cell::new(false),
        })
    }

    /// Begins a task with the default limits and without an observer.
    pub(crate) fn unobserved(reactor: &Reactor, role: Role) -> Rc<Self> {
        let clock = poetry::Clock::stopped();
        let reporter = Reporter::new("callbacks", role, clock, Arc::new(Unobserved));
        Self::new(reactor, Limits::default(), &reporter)
    }

    /// Returns the task of transforming this task's poem: it has the same deadline, and a role of its own.
    pub(crate) fn for_transform(&self) -> Rc<Self> {
        Rc::new(Self {
            limits: Rc::clone(&self.limits),
            reporter: self.reporter.for_role(Role::TransformClient),
            scene: Cell::new(Scene {
                parent: Some(self.scene.get().task),
                local: None,
                peer: None,
                ..self.scene.get()
            }),
            deadline: self.deadline,
            received: Cell::new(0),
            ended: Cell::new(false),
        })
    }

    /// Returns the bytes of the poem received so far.
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    pub(crate) fn on_connecting(&self, peer: SocketAddr) {
        self.scene.set(Scene {
            local: None,
            peer: Some(peer),
            ..self.scene.get()
        });
        self.report(Kind::Running);
        self.report(Kind::Connecting);
        self.report(Kind::Waiting(Wait::Connect));
    }

    /// Asks the system for the local address only if an observer wants the event.
    pub(crate) fn on_connected(&self, transport: &Transport) {
        if self.reporter.wants(Interest::ALL) {
            self.scene.set(Scene {
                local: transport.host(),
                ..self.scene.get()
            });
            self.report(Kind::Connected);
        }
    }

    pub(crate) fn on_bytes_read(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.received.set(self.received.get() + bytes);
        self.report(Kind::Read { bytes });
    }

    pub(crate) fn wants(&self, interest: Interest) -> bool {
        self.reporter.wants(interest)
    }

    pub(crate) fn report(&self, kind: Kind) {
        self.reporter.report(self.scene.get(), kind);
    }

    /// Reports that the task runs or waits, which it does until it has its result.
    pub(crate) fn report_turn(&self, turn: Kind) {
        if !self.ended.get() {
            self.report(turn);
        }
    }

    /// Bounds `fetch` by the deadline, reports its poem, and turns its failures into those of S11.
    pub(crate) fn bound(
        self: &Rc<Self>,
        reactor: &Reactor,
        fetch: Deferred<Poem>,
    ) -> Deferred<Poem> {
        let clock = reactor.clock();
        let fetch = match self.deadline {
            Some(deadline) => fetch.timeout(deadline.saturating_sub(clock.now()), clock),
            None => fetch,
        };
        let task = Rc::clone(self);
        fetch.add_both(move |result| {
            task.ended.set(true);
            let poem = result.map_err(fetch_failure)?;
            let bytes = poem.as_bytes().len() as u64;
            task.report(Kind::Finished { bytes });
            Ok(poem)
        })
    }
}

/// Turns a failure into one of S11.
pub(crate) fn fetch_failure(failure: Failure) -> FetchFailure {
    if failure.is::<Cancelled>() {
        return FetchFailure::Cancelled;
    }
    if failure.is::<TimedOut>() {
        return FetchFailure::TimedOut(Timeout::Total);
    }
    failure
        .trap::<FetchFailure>()
        .unwrap_or_else(|other| FetchFailure::ConnectionLost {
            cause: format!("given up at this end: {other}"),
        })
}

/// The failure of a peer without addresses.
pub(crate) fn no_address() -> FetchFailure {
    FetchFailure::ConnectionFailed {
        cause: "no address".to_owned(),
    }
}

/// Returns whether the peer's next address should be tried.
pub(crate) fn is_connection_failed(failure: &Failure) -> bool {
    matches!(
        failure.downcast_ref(),
        Some(FetchFailure::ConnectionFailed { .. })
    )
}

/// The failure of a connection that was never established.
pub(crate) fn connection_failed(error: &io::Error) -> FetchFailure {
    let cause = error.get_ref();
    if cause.is_some_and(|cause| cause.is::<SelfConnected>()) {
        FetchFailure::self_connected()
    } else if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
        FetchFailure::connect_timed_out()
    } else {
        FetchFailure::connection_failed(error)
    }
}

/// The failure of a connection that ended early.
pub(crate) fn connection_lost(lost: Lost) -> FetchFailure {
    match lost {
        Lost::Broken(error) => FetchFailure::connection_lost(&error),
        Lost::Done | Lost::Aborted => FetchFailure::ConnectionLost {
            cause: "closed at this end".to_owned(),
        },
    }
}
