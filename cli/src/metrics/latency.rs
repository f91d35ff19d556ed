//! The latencies of a server's replies, from its events.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poetry::event::Interest;
use poetry::{Event, Kind, Observer, Role};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// The upper bound of the first bucket, in seconds: less than a request takes over the loopback interface.
const FIRST_BUCKET: f64 = 10e-6;
/// Buckets, each twice as wide as the one before: up to 168 s, more than the slowest poem of this repository takes.
const BUCKETS: u16 = 25;
/// Parts of the connections with a lock each, so that workers seldom wait for each other.
const PARTS: usize = 16;

/// Returns an empty histogram of seconds.
pub(super) fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(FIRST_BUCKET, 2.0, BUCKETS))
}

/// Observes how long replies take.
///
/// The latency of a transform and of a library's poem is from reading the first bytes after the replies before it until the kernel
/// has taken the last byte of the reply; of a poem, from accepting the connection.
pub(crate) struct Latencies {
    role: Role,
    histogram: Histogram,
    /// When the requests of each open connection began, in parts by its number.
    begun: [Mutex<HashMap<u64, Begun, RandomState>>; PARTS],
}

/// When the requests of a connection began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    at: Duration,
    /// Whether a reply was delivered since. Further replies may belong to what was read with its request.
    answered: bool,
}

impl Latencies {
    /// Creates the observer of a server in `role`.
    pub(crate) fn new(role: Role, histogram: Histogram) -> Self {
        Self {
            role,
            histogram,
            begun: Default::default(),
        }
    }

    /// Returns what begins a request.
    fn beginning(&self) -> Interest {
        match self.role {
            Role::TransformServer | Role::LibraryServer => Interest::READ,
            _ => Interest::ACCEPTED,
        }
    }
}

impl Observer for Latencies {
    fn interest(&self) -> Interest {
        self.beginning() | Interest::ANSWERED | Interest::CLOSED
    }

    fn observe(&self, event: &Event) {
        // A proxy also reports its fetches.
        if event.role != self.role {
            return;
        }
        let task = event.scene.task;
        let part = &self.begun[task as usize % PARTS];
        let mut begun = part.lock().unwrap_or_else(PoisonError::into_inner);
        match event.kind {
            Kind::Answered { requests } => {
                let Some(begun) = begun.get_mut(&task) else {
                    return;
                };
                begun.answered = true;
                let latency = event.at.saturating_sub(begun.at).as_secs_f64();
                for _ in 0..requests {
                    self.histogram.observe(latency);
                }
            }
            Kind::Closed(_) => {
                begun.remove(&task);
            }
            ref kind if kind.interest().meets(self.beginning()) => {
                let now = Begun {
                    at: event.at,
                    answered: false,
                };
                let entry = begun.entry(task).or_insert(now);
                if entry.answered {
                    *entry = now;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use poetry::CloseReason;
    use poetry::event::Scene;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    /// Returns what `Latencies` of `role` record of events, each at a number of milliseconds and of a connection: how many, and
    /// their sum in milliseconds.
    fn recorded(role: Role, events: &[(u64, u64, Kind)]) -> (u64, f64) {
        let histogram = histogram();
        let latencies = Latencies::new(role, histogram.clone());
        for (at, task, kind) in events {
            latencies.observe(&Event {
                at: Duration::from_millis(*at),
                model: Cow::Borrowed("streams"),
                role,
                scene: Scene {
                    task: *task,
                    ..Scene::default()
                },
                kind: kind.clone(),
            });
        }
        assert!(
            latencies
                .begun
                .iter()
                .all(|part| part.lock().unwrap().is_empty())
        );
        sum_of(histogram)
    }

    /// Returns how many latencies there are, and their sum in milliseconds, as scrapers see them.
    fn sum_of(histogram: Histogram) -> (u64, f64) {
        let mut registry = Registry::default();
        registry.register("latency", "a help", histogram);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let number = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        let sum = number("latency_sum ") * 1e3;
        (number("latency_count ") as u64, sum.round())
    }

    const CLOSED: Kind = Kind::Closed(CloseReason::Done);

    fn read() -> Kind {
        Kind::Read { bytes: 9 }
    }

    fn answered(requests: u64) -> Kind {
        Kind::Answered { requests }
    }

    #[test]
    fn a_reply_is_timed_from_the_first_bytes_of_its_request() {
        let events = [
            (10, 1, read()),
            (12, 1, read()), // The rest of the request.
            (15, 1, answered(1)),
            (90, 1, read()),
            (92, 1, answered(1)),
            (99, 1, CLOSED),
        ];
        assert_eq!(recorded(Role::TransformServer, &events), (2, 7.0));
    }

    #[test]
    fn replies_in_turns_are_timed_from_the_read_of_all() {
        let events = [
            (10, 1, read()),
            (11, 2, read()),
            (20, 1, answered(64)),
            (30, 1, answered(2)),
            (31, 2, answered(1)),
            (40, 1, CLOSED),
            (40, 2, CLOSED),
        ];
        assert_eq!(
            recorded(Role::TransformServer, &events),
            (67, 64.0 * 10.0 + 2.0 * 20.0 + 20.0)
        );
    }

    #[test]
    fn a_poem_is_timed_from_the_start_of_its_connection() {
        let events = [
            (10, 1, Kind::Accepted),
            (500, 1, answered(1)),
            (501, 1, CLOSED),
        ];
        assert_eq!(recorded(Role::PoemServer, &events), (1, 490.0));
    }

    #[test]
    fn a_connection_without_a_reply_has_no_latency() {
        let events = [(10, 1, read()), (30, 1, CLOSED)];
        assert_eq!(recorded(Role::LibraryServer, &events), (0, 0.0));
    }
}
