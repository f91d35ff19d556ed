//! What happens, as plain data, and who wants to know.
//!
//! A model says what happened through a [`Reporter`]; progress, logs and traces are made from that by an
//! [`Observer`]. What nobody has asked for costs one comparison.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::ops::BitOr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::counters::CloseReason;
use crate::error::{FetchFailure, Refusal};

/// A monotonic clock (S22): the time since an origin that its maker states. Clones read the same clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// A clock that reads `now`, which must never go back.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that stands at its origin, for what needs no time.
    pub fn stopped() -> Self {
        Self::new(|| Duration::ZERO)
    }

    /// The time since the origin.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves one poem (S1).
    PoemServer,
    /// Answers transform requests (S3).
    TransformServer,
    /// Fetches poems (S10).
    PoemClient,
    /// Has a fetched poem transformed (S13).
    TransformClient,
}

/// One thing that happened. It can be written down, read back, merged with those of another process, and joined
/// with those of the other end of the socket by its two addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, since the origin of the clock that the program was given.
    pub at: Duration,
    /// The model it happened in.
    pub model: Cow<'static, str>,
    /// The program it happened in.
    pub role: Role,
    /// Who did it, for whom, between which addresses.
    pub scene: Scene,
    /// What happened.
    pub kind: Kind,
}

/// Where something happens: who does it, for whom, between which addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scene {
    /// The reactor, arbiter, worker or thread, counted from 0.
    pub worker: u32,
    /// A client's request, counted from 0 in the order of the requests; a server's connection, in that of accepts.
    pub task: u64,
    /// The task this one serves: the fetch that a transform belongs to.
    pub parent: Option<u64>,
    /// This end of the socket.
    pub local: Option<SocketAddr>,
    /// The other end.
    pub peer: Option<SocketAddr>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A client begins to connect.
    Connecting,
    /// A client's connection is made.
    Connected,
    /// A server has a new connection.
    Accepted,
    /// Bytes came.
    Read {
        /// How many.
        bytes: u64,
    },
    /// Bytes were taken by the kernel.
    Wrote {
        /// How many.
        bytes: u64,
    },
    /// A server's replies, all of them taken by the kernel.
    Answered {
        /// How many.
        requests: u64,
    },
    /// A server refused a request, and closes (S4).
    Refused(Refusal),
    /// A handler panicked, with this message (S20).
    Panicked(String),
    /// A client has its poem, said as soon as that has arrived; or, in the role of the transform client, the
    /// transformed poem. A fetch that is cancelled during its transform has failed all the same: that is said in the
    /// role of the poem client, after its `Finished`.
    Finished {
        /// The poem's length.
        bytes: u64,
    },
    /// A client gave up, or its transform did and the original is kept (S13).
    Failed(FetchFailure),
    /// A connection is gone.
    Closed(CloseReason),
    /// A server could not accept, and pauses before it tries again (S17).
    AcceptFailed(String),
    /// A server has fewer threads than it has, or may have, connections: some wait (T1).
    ShortOfThreads(String),
}

impl Kind {
    /// The interest that this kind satisfies.
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
        }
    }
}

/// A set of kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u16);

impl Interest {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self(u16::MAX);
    /// [`Kind::Connecting`].
    pub const CONNECTING: Self = Self(1);
    /// [`Kind::Connected`].
    pub const CONNECTED: Self = Self(1 << 1);
    /// [`Kind::Accepted`].
    pub const ACCEPTED: Self = Self(1 << 2);
    /// [`Kind::Read`].
    pub const READ: Self = Self(1 << 3);
    /// [`Kind::Wrote`].
    pub const WROTE: Self = Self(1 << 4);
    /// [`Kind::Answered`].
    pub const ANSWERED: Self = Self(1 << 5);
    /// [`Kind::Refused`].
    pub const REFUSED: Self = Self(1 << 6);
    /// [`Kind::Panicked`].
    pub const PANICKED: Self = Self(1 << 7);
    /// [`Kind::Finished`].
    pub const FINISHED: Self = Self(1 << 8);
    /// [`Kind::Failed`].
    pub const FAILED: Self = Self(1 << 9);
    /// [`Kind::Closed`].
    pub const CLOSED: Self = Self(1 << 10);
    /// [`Kind::AcceptFailed`].
    pub const ACCEPT_FAILED: Self = Self(1 << 11);
    /// [`Kind::ShortOfThreads`].
    pub const SHORT_OF_THREADS: Self = Self(1 << 12);
    /// What a server's log is made of: nothing that happens on the hot path.
    pub const TROUBLE: Self =
        Self(Self::REFUSED.0 | Self::PANICKED.0 | Self::ACCEPT_FAILED.0 | Self::SHORT_OF_THREADS.0);

    /// Whether any kind is in both sets.
    #[inline]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Somebody who wants to know what happens.
///
/// It is called in the thread where it happens, by any number of threads, and must not block (S22): a sink that
/// cannot keep up loses what it is told, and counts what it lost.
pub trait Observer: Send + Sync {
    /// The kinds it is told; asked once, when the program starts.
    fn interest(&self) -> Interest;

    /// Something of that interest happened.
    fn observe(&self, event: &Event);
}

/// Wants to know nothing: the observer of timed figures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn interest(&self) -> Interest {
        Interest::NONE
    }

    fn observe(&self, _: &Event) {}
}

/// What a model reports through: an observer, the clock that stamps, and the program's name. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    interest: Interest,
    model: &'static str,
    role: Role,
    clock: Clock,
    observer: Arc<dyn Observer>,
}

impl Reporter {
    /// Reports what happens in `role` of `model` to `observer`, stamped by `clock`.
    pub fn new(model: &'static str, role: Role, clock: Clock, observer: Arc<dyn Observer>) -> Self {
        Self {
            interest: observer.interest(),
            model,
            role,
            clock,
            observer,
        }
    }

    /// The same reporter for another role.
    #[must_use]
    pub fn for_role(&self, role: Role) -> Self {
        Self {
            role,
            ..self.clone()
        }
    }

    /// The clock that stamps the events.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether anybody wants to know of `interest`: to be asked before an event that is dear to make.
    #[inline]
    pub fn wants(&self, interest: Interest) -> bool {
        self.interest.meets(interest)
    }

    /// Says that `kind` happened in `scene`, if somebody wants to know.
    #[inline]
    pub fn report(&self, scene: Scene, kind: Kind) {
        if self.wants(kind.interest()) {
            self.tell(scene, kind);
        }
    }

    #[cold]
    fn tell(&self, scene: Scene, kind: Kind) {
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
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Listens(Interest, Mutex<Vec<Event>>);

    impl Observer for Listens {
        fn interest(&self) -> Interest {
            self.0
        }

        fn observe(&self, event: &Event) {
            self.1.lock().unwrap().push(event.clone());
        }
    }

    #[test]
    fn an_observer_hears_what_it_asked_for_and_no_more() {
        let listens = Arc::new(Listens(Interest::READ | Interest::CLOSED, Mutex::default()));
        let reporter = Reporter::new(
            "callbacks",
            Role::PoemClient,
            Clock::stopped(),
            listens.clone(),
        );
        reporter.report(Scene::default(), Kind::Connecting);
        reporter.report(
            Scene {
                task: 3,
                ..Scene::default()
            },
            Kind::Read { bytes: 10 },
        );
        let heard = listens.1.lock().unwrap();
        assert_eq!(heard.len(), 1);
        assert_eq!(
            (heard[0].scene.task, &heard[0].kind),
            (3, &Kind::Read { bytes: 10 })
        );
    }

    #[test]
    fn events_can_be_written_down_and_read_back() {
        let event = Event {
            at: Duration::from_millis(5),
            model: "actors".into(),
            role: Role::TransformServer,
            scene: Scene {
                peer: Some(([127, 0, 0, 1], 9).into()),
                ..Scene::default()
            },
            kind: Kind::Refused(Refusal::UnknownTransform { name: "x".into() }),
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
