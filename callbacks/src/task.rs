//! A task: what one fetch carries with it, which is its bounds, its place in the events, its deadline. And the words for
//! how it fails.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::Timeout;
use poetry::event::{Interest, Scene, Unobserved};
use poetry::{FetchFailure, Kind, Limits, Reporter, Role};

use crate::deferred::Deferred;
use crate::failure::{Cancelled, Failure, TimedOut};
use crate::protocol::Lost;
use crate::reactor::{Reactor, Transport};

/// One fetch, or the transform after it: what its steps have in common. Events call it by its number, and so does the
/// tutorial (`Task 1: got 10 bytes of poetry`).
#[derive(Debug)]
pub struct Task {
    /// The bounds.
    pub limits: Rc<Limits>,
    reporter: Reporter,
    /// Its number, between which ends.
    scene: Cell<Scene>,
    /// When the poem, and its transform, must be there, on the reactor's clock.
    deadline: Option<Duration>,
    received: Cell<u64>,
}

impl Task {
    /// The task of fetching the request of this number, which begins now.
    pub fn begin(
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
        })
    }

    /// A task with the default bounds that nobody is told about: enough to fetch a poem.
    pub fn quiet(reactor: &Reactor) -> Rc<Self> {
        let clock = poetry::Clock::stopped();
        let reporter = Reporter::new("callbacks", Role::PoemClient, clock, Arc::new(Unobserved));
        Self::begin(reactor, &Rc::new(Limits::default()), &reporter, 0, 0)
    }

    /// The task of having this one's poem transformed: the same deadline, a role of its own.
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
        })
    }

    /// Bytes of the poem received so far.
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    pub(crate) fn connecting(&self, peer: SocketAddr) {
        self.scene.set(Scene {
            local: None,
            peer: Some(peer),
            ..self.scene.get()
        });
        self.report(Kind::Connecting);
    }

    pub(crate) fn connected(&self, transport: &Transport) {
        if self.reporter.wants(Interest::ALL) {
            self.scene.set(Scene {
                local: transport.host(),
                ..self.scene.get()
            });
            self.report(Kind::Connected);
        }
    }

    pub(crate) fn read(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.received.set(self.received.get() + bytes);
        self.report(Kind::Read { bytes });
    }

    pub(crate) fn report(&self, kind: Kind) {
        self.reporter.report(self.scene.get(), kind);
    }

    /// Bounds `fetch` by the deadline, says when its poem is there, and puts its failures into the words of S11.
    pub(crate) fn bound(
        self: &Rc<Self>,
        reactor: &Reactor,
        fetch: Deferred<String>,
    ) -> Deferred<String> {
        let clock = reactor.clock();
        let fetch = match self.deadline {
            Some(deadline) => fetch.timeout(deadline.saturating_sub(clock.now()), clock),
            None => fetch,
        };
        let task = Rc::clone(self);
        fetch.add_callbacks(
            move |poem| {
                let bytes = poem.len() as u64;
                task.report(Kind::Finished { bytes });
                Ok(poem)
            },
            |failure| Err(fetch_failure(failure).into()),
        )
    }
}

/// A failure in the words of S11.
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

/// There is nowhere to connect to.
pub(crate) fn no_address() -> FetchFailure {
    FetchFailure::ConnectionFailed {
        cause: "no address".to_owned(),
    }
}

/// Whether another address may do better.
pub(crate) fn is_connection_failed(failure: &Failure) -> bool {
    matches!(
        failure.downcast_ref(),
        Some(FetchFailure::ConnectionFailed { .. })
    )
}

/// A connection that was never made.
pub(crate) fn connection_failed(error: &io::Error) -> FetchFailure {
    if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
        FetchFailure::connect_timed_out()
    } else {
        FetchFailure::connection_failed(error)
    }
}

/// A connection that ended before its time.
pub(crate) fn connection_lost(lost: Lost) -> FetchFailure {
    match lost {
        Lost::Broken(error) => FetchFailure::connection_lost(&error),
        Lost::Done | Lost::Aborted => FetchFailure::ConnectionLost {
            cause: "closed at this end".to_owned(),
        },
    }
}
