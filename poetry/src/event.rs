//! Events as plain data, and the observers they are reported to.
//!
//! A model reports events through a [`Reporter`]; an [`Observer`] turns them into progress, logs and traces. An event that
//! the observer has not asked for costs one comparison.

mod interest;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counters::CloseReason;
use crate::error::{FetchFailure, Refusal};
pub use interest::Interest;

/// A monotonic clock (S22): the time since an origin that its creator chooses. Clones read the same clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// Creates a clock that reads `now`, which must never go back.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Creates a clock that always shows its origin, for code that needs no time.
    pub fn stopped() -> Self {
        Self::new(|| Duration::ZERO)
    }

    /// Returns the time since the origin.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// Which program an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves one poem (S1).
    PoemServer,
    /// Answers transform requests (S3).
    TransformServer,
    /// Serves poems by name (S8).
    LibraryServer,
    /// Serves the cached poem of another server (S9). The events of its fetches are those of a poem client, whose tasks
    /// are counted from 0.
    Proxy,
    /// Fetches poems (S10).
    PoemClient,
    /// Has a fetched poem transformed (S13).
    TransformClient,
}

/// One event. Events can be serialised, merged with those of another process, and joined with those of the other end of
/// the socket by the two addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, since the origin of the program's clock.
    pub at: Duration,
    /// The model it happened in.
    pub model: Cow<'static, str>,
    /// The program it happened in.
    pub role: Role,
    /// The worker, task and addresses it concerns.
    pub scene: Scene,
    /// What happened.
    pub kind: Kind,
}

/// The place of an event: worker, task and addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scene {
    /// The reactor, arbiter, worker or thread, counted from 0.
    pub worker: u32,
    /// A client's request, counted from 0 in request order; a server's connection, counted from 0 in accept order.
    pub task: u64,
    /// The task that this one belongs to: for a transform, the fetch.
    pub parent: Option<u64>,
    /// The address of this end of the socket.
    pub local: Option<SocketAddr>,
    /// The address of the other end.
    pub peer: Option<SocketAddr>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A client starts to connect.
    Connecting,
    /// A client's connection is established.
    Connected,
    /// A server accepted a connection.
    Accepted,
    /// Bytes were read from the peer.
    Read {
        /// The number of bytes.
        bytes: u64,
    },
    /// The kernel took bytes to send to the peer.
    Wrote {
        /// The number of bytes.
        bytes: u64,
    },
    /// The kernel took a server's replies to their last byte.
    Answered {
        /// The number of replies.
        requests: u64,
    },
    /// A server refused a request and closes the connection (S4).
    Refused(Refusal),
    /// A handler panicked with this message (S20).
    Panicked(String),
    /// In the role of the poem client: a poem has arrived. In the role of the transform client: the transformed poem has
    /// arrived. A fetch that is cancelled during its transform reports `Failed` in the role of the poem client after its
    /// `Finished`.
    Finished {
        /// The poem's length in bytes.
        bytes: u64,
    },
    /// A fetch failed, a proxy's too; or, in the role of the transform client, a transform failed and the original is kept
    /// (S13).
    Failed(FetchFailure),
    /// A server's connection is closed.
    Closed(CloseReason),
    /// A server could not accept a connection and pauses before it tries again (S17).
    AcceptFailed(String),
    /// A server cannot start a thread that it needs, so connections wait (T1).
    ShortOfThreads(String),
    /// The worker runs the task, up to its next [`Waiting`](Self::Waiting) or its end.
    Running,
    /// The task waits and the worker does not run it: the worker runs other tasks, or sleeps.
    Waiting(Wait),
}

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The kernel to establish its connection.
    Connect,
    /// Bytes from the peer.
    Read,
    /// The kernel to take bytes for the peer.
    Write,
    /// The time of the next piece of a slow poem (S1).
    Pace,
    /// Its next turn; the worker runs others meanwhile (S24).
    Turn,
    /// Room below a limit: a connection, a fetch or a thread that ends.
    Permit,
    /// Another task: the transform of a fetch, the fetch of a proxy, a heavy request that is computed elsewhere (S25).
    Task,
}

impl Kind {
    /// Returns the interest that contains this kind.
    pub const fn interest(&self) -> Interest {
        match self {
            Self::Connecting => Interest::CONNECTING,
            Self::Connected => Interest::CONNECTED,
            Self::Accepted => Interest::ACCEPTED,
            Self::Read { .. } => Interest::READ,
            Self::Wrote { .. } => Interest::WROTE,
            Self::Answered { .. } => Interest::ANSWERED,
            Self::Refused(_) => Interest::REFUSED,
            Self::Panicked(_) => Interest::PANICKED,
            Self::Finished { .. } => Interest::FINISHED,
            Self::Failed(_) => Interest::FAILED,
            Self::Closed(_) => Interest::CLOSED,
            Self::AcceptFailed(_) => Interest::ACCEPT_FAILED,
            Self::ShortOfThreads(_) => Interest::SHORT_OF_THREADS,
            Self::Running | Self::Waiting(_) => Interest::TURNS,
        }
    }
}

/// Receives events.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use poetry::event::{Event, Interest, Kind, Observer};
///
/// /// Counts the poems that arrive and the fetches that fail.
/// #[derive(Default)]
/// struct Tally {
///     arrived: AtomicU64,
///     failed: AtomicU64,
/// }
///
/// impl Observer for Tally {
///     fn interest(&self) -> Interest {
///         Interest::FINISHED | Interest::FAILED
///     }
///
///     fn observe(&self, event: &Event) {
///         match event.kind {
///             Kind::Finished { .. } => self.arrived.fetch_add(1, Ordering::Relaxed),
///             _ => self.failed.fetch_add(1, Ordering::Relaxed),
///         };
///     }
/// }
/// ```
///
/// It is called in the thread where the event happens, by any number of threads, and must not block (S22): a sink that
/// cannot keep up drops events and counts the drops.
pub trait Observer: Send + Sync {
    /// Returns the kinds to observe; called once, when a server or a fetch starts.
    fn interest(&self) -> Interest;

    /// Receives one event, of a kind in [`interest`](Self::interest).
    fn observe(&self, event: &Event);
}

/// Observes nothing. Speed is measured with this observer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn interest(&self) -> Interest {
        Interest::NONE
    }

    fn observe(&self, _: &Event) {}
}

/// Reports a program's events to its observer, stamped by a clock. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    interest: Interest,
    model: &'static str,
    role: Role,
    clock: Clock,
    observer: Arc<dyn Observer>,
}

impl Reporter {
    /// Creates a reporter for the program `role` of `model`.
    pub fn new(model: &'static str, role: Role, clock: Clock, observer: Arc<dyn Observer>) -> Self {
        Self {
            interest: observer.interest(),
            model,
            role,
            clock,
            observer,
        }
    }

    /// Returns the same reporter for another role.
    #[must_use]
    pub fn for_role(&self, role: Role) -> Self {
        Self {
            role,
            ..self.clone()
        }
    }

    /// Returns the clock that stamps the events.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns whether the observer wants any kind of `interest`. Ask this before building an event that is expensive.
    #[inline]
    pub fn wants(&self, interest: Interest) -> bool {
        self.interest.meets(interest)
    }

    /// Reports that `kind` happened in `scene`, if the observer wants it.
    #[inline]
    pub fn report(&self, scene: Scene, kind: Kind) {
        if self.wants(kind.interest()) {
            self.observe(scene, kind);
        }
    }

    #[cold]
    fn observe(&self, scene: Scene, kind: Kind) {
        let model = Cow::Borrowed(self.model);
        self.observer.observe(&Event {
            at: self.clock.now(),
            model,
            role: self.role,
            scene,
            kind,
        });
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Reporter");
        out.field("model", &self.model)
            .field("role", &self.role)
            .field("interest", &self.interest);
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
