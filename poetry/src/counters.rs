//! What every server counts (S23).
//!
//! A server has one [`Counters`] for each of its workers, so that no two cores share a cache line on the hot path;
//! [`Counts::of`] reads them all as one.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// Why a server's connection is gone. Each is closed for exactly one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Everything owed was delivered, or the peer closed between requests.
    Done,
    /// A request was refused; the reason is that of [`Refusal::reason`].
    Refused,
    /// The peer reset the connection, or the network broke it.
    Reset,
    /// No request for the idle timeout.
    Idle,
    /// A request was not complete by its deadline.
    Deadline,
    /// The peer took no byte for the write timeout.
    Write,
    /// The server was told to stop, and the grace was over while something was in flight. Connections with nothing in
    /// flight are closed at once, and done (S21).
    Cut,
    /// A handler panicked.
    Panic,
}

const REASONS: usize = 8;
/// How often counts are read until nothing ends meanwhile. A reading takes a microsecond, so a few do even on a busy
/// server; one where they do not is shown with what ended during the last as still open.
const READINGS_MAX: usize = 64;

/// The numbers of one worker, updated without locks.
///
/// A connection is counted in the worker that serves it, by `accepted` and then exactly one `closed`. A request is
/// counted when its frame is complete, or when its bytes turn out not to be a frame, by `requests` and then
/// exactly one of `answered`, `refused` and `failed`; between the two it is in flight. A poem server counts every
/// connection as one request.
#[derive(Debug, Default)]
#[repr(align(128))] // Two cache lines: processors fetch them in pairs.
pub struct Counters {
    accepted: AtomicU64,
    closed: [AtomicU64; REASONS],
    requests: AtomicU64,
    answered: AtomicU64,
    refused: [AtomicU64; Refusal::REASONS.len()],
    failed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Counters {
    /// A connection was accepted, and is open.
    #[inline]
    pub fn accepted(&self) {
        add(&self.accepted, 1);
    }

    /// An open connection is gone.
    #[inline]
    pub fn closed(&self, reason: CloseReason) {
        add(&self.closed[reason as usize], 1);
    }

    /// `count` requests are in flight.
    #[inline]
    pub fn requests(&self, count: u64) {
        add(&self.requests, count);
    }

    /// The replies to `count` requests in flight were taken by the kernel, to the last byte.
    #[inline]
    pub fn answered(&self, count: u64) {
        add(&self.answered, count);
    }

    /// A request in flight was refused.
    #[inline]
    pub fn refused(&self, refusal: &Refusal) {
        add(&self.refused[refusal.index()], 1);
    }

    /// `count` requests in flight will not be answered: their connection is gone, or a handler panicked.
    #[inline]
    pub fn failed(&self, count: u64) {
        add(&self.failed, count);
    }

    /// Bytes were read from a peer.
    #[inline]
    pub fn read(&self, bytes: u64) {
        add(&self.bytes_in, bytes);
    }

    /// Bytes were taken by the kernel for a peer.
    #[inline]
    pub fn wrote(&self, bytes: u64) {
        add(&self.bytes_out, bytes);
    }
}

/// Ends are counted after beginnings and read before them ([`Counts::of`]), so an end is never seen without its
/// beginning: hence release here and acquire there.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Release);
}

/// What a server has counted, at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections open now, those that linger too.
    pub open: u64,
    /// Connections closed, by reason.
    pub closed: Closed,
    /// Requests begun to be answered since the start.
    pub requests: u64,
    /// Requests whose replies were delivered to the kernel.
    pub answered: u64,
    /// Requests refused, by reason (S4).
    pub refused: Refused,
    /// Requests that nobody will answer.
    pub failed: u64,
    /// Requests neither answered, nor refused, nor failed yet.
    pub in_flight: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
}

/// Connections closed, by [`CloseReason`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each is the reason of the same name.
pub struct Closed {
    pub done: u64,
    pub refused: u64,
    pub reset: u64,
    pub idle: u64,
    pub deadline: u64,
    pub write: u64,
    pub cut: u64,
    pub panic: u64,
}

/// Requests refused, by [`Refusal::reason`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each is the reason of the same name.
pub struct Refused {
    pub no_dot: u64,
    pub unknown_transform: u64,
    pub not_utf8: u64,
    pub transform_failed: u64,
    pub reply_too_long: u64,
    pub framing: u64,
    pub truncated: u64,
}

impl Closed {
    /// Connections closed, for whatever reason.
    pub fn total(&self) -> u64 {
        let Self {
            done,
            refused,
            reset,
            idle,
            deadline,
            write,
            cut,
            panic,
        } = *self;
        [done, refused, reset, idle, deadline, write, cut, panic]
            .iter()
            .sum()
    }
}

impl Refused {
    /// Requests refused, for whatever reason.
    pub fn total(&self) -> u64 {
        let Self {
            no_dot,
            unknown_transform,
            not_utf8,
            transform_failed,
            reply_too_long,
            framing,
            truncated,
        } = *self;
        [
            no_dot,
            unknown_transform,
            not_utf8,
            transform_failed,
            reply_too_long,
            framing,
            truncated,
        ]
        .iter()
        .sum()
    }
}

impl Counts {
    /// The counts of all of a server's workers, taken together; the equation of S23 holds in what is returned.
    ///
    /// What is open and what is in flight is what has begun and not ended: all ends are read first, then all
    /// beginnings, so neither can come out negative while workers go on counting. Nor too high: where something ended
    /// in between, all is read again, a bounded number of times.
    pub fn of<'c>(workers: impl Iterator<Item = &'c Counters> + Clone) -> Self {
        let mut counts = Self::read(workers.clone());
        for _ in 1..READINGS_MAX {
            let again = Self::read(workers.clone());
            if again.ends() == counts.ends() {
                break;
            }
            counts = again;
        }
        counts
    }

    fn ends(&self) -> (u64, u64) {
        let requests = self.answered + self.refused.total() + self.failed;
        (self.closed.total(), requests)
    }

    fn read<'c>(workers: impl Iterator<Item = &'c Counters> + Clone) -> Self {
        let sum = |of: &dyn Fn(&Counters) -> &AtomicU64| -> u64 {
            workers
                .clone()
                .map(|worker| of(worker).load(Ordering::Acquire))
                .sum()
        };
        let closed = |reason: CloseReason| sum(&|worker| &worker.closed[reason as usize]);
        let closed = Closed {
            done: closed(CloseReason::Done),
            refused: closed(CloseReason::Refused),
            reset: closed(CloseReason::Reset),
            idle: closed(CloseReason::Idle),
            deadline: closed(CloseReason::Deadline),
            write: closed(CloseReason::Write),
            cut: closed(CloseReason::Cut),
            panic: closed(CloseReason::Panic),
        };
        let refused = |index: usize| sum(&|worker| &worker.refused[index]);
        let [
            no_dot,
            unknown_transform,
            not_utf8,
            transform_failed,
            reply_too_long,
            framing,
            truncated,
        ] = std::array::from_fn(refused);
        let refused = Refused {
            no_dot,
            unknown_transform,
            not_utf8,
            transform_failed,
            reply_too_long,
            framing,
            truncated,
        };
        let answered = sum(&|worker| &worker.answered);
        let failed = sum(&|worker| &worker.failed);
        let requests = sum(&|worker| &worker.requests);
        let accepted = sum(&|worker| &worker.accepted);
        Self {
            open: accepted - closed.total(),
            in_flight: requests - answered - failed - refused.total(),
            accepted,
            closed,
            requests,
            answered,
            refused,
            failed,
            bytes_in: sum(&|worker| &worker.bytes_in),
            bytes_out: sum(&|worker| &worker.bytes_out),
        }
    }

    /// Why the equation of S23 does not hold, if it does not: for counts that came from somebody else.
    ///
    /// # Errors
    /// The equation, with its numbers.
    pub fn check(&self) -> Result<(), String> {
        let connections = self.open + self.closed.total();
        if self.accepted != connections {
            return Err(format!(
                "accepted {} ≠ open {} + closed {}",
                self.accepted,
                self.open,
                self.closed.total()
            ));
        }
        let requests = self.answered + self.refused.total() + self.failed + self.in_flight;
        if self.requests != requests {
            let Self {
                requests,
                answered,
                failed,
                in_flight,
                refused,
                ..
            } = self;
            let refused = refused.total();
            return Err(format!(
                "requests {requests} ≠ answered {answered} + refused {refused} + failed {failed} + in flight {in_flight}"
            ));
        }
        Ok(())
    }
}

impl From<&Counters> for Counts {
    fn from(counters: &Counters) -> Self {
        Self::of(iter::once(counters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn s23_the_equation_holds_and_each_reason_is_kept_apart() {
        let workers = [Counters::default(), Counters::default()];
        for worker in &workers {
            for _ in 0..3 {
                worker.accepted();
            }
            worker.closed(CloseReason::Deadline);
            worker.requests(4);
            worker.answered(1);
            worker.refused(&Refusal::NoDot);
            worker.failed(1);
            worker.read(10);
            worker.wrote(7);
        }
        let counts = Counts::of(workers.iter());
        assert_eq!(
            (
                counts.accepted,
                counts.open,
                counts.closed.deadline,
                counts.closed.total()
            ),
            (6, 4, 2, 2)
        );
        assert_eq!(
            (counts.requests, counts.in_flight, counts.refused.no_dot),
            (8, 2, 2)
        );
        assert_eq!((counts.bytes_in, counts.bytes_out), (20, 14));
        assert_eq!(counts.check(), Ok(()));
    }

    #[test]
    fn s23_the_equation_holds_at_every_instant_while_workers_count() {
        const CONNECTIONS: u64 = 20_000;
        let workers = [Counters::default(), Counters::default()];
        thread::scope(|scope| {
            for worker in &workers {
                scope.spawn(|| {
                    for _ in 0..CONNECTIONS {
                        worker.accepted();
                        worker.requests(2);
                        worker.answered(2);
                        worker.closed(CloseReason::Done);
                    }
                });
            }
            loop {
                let counts = Counts::of(workers.iter());
                assert_eq!(counts.check(), Ok(()));
                if counts.closed.done == 2 * CONNECTIONS {
                    break;
                }
            }
        });
    }

    #[test]
    fn counts_that_do_not_add_up_are_told() {
        let counts = Counts {
            accepted: 2,
            open: 1,
            ..Counts::default()
        };
        assert_eq!(
            counts.check(),
            Err("accepted 2 ≠ open 1 + closed 0".to_owned())
        );
        let counts = Counts {
            requests: 2,
            answered: 1,
            ..Counts::default()
        };
        assert!(counts.check().unwrap_err().starts_with("requests 2"));
    }

    #[test]
    fn refusals_are_counted_under_their_own_words() {
        let json = serde_json::to_value(Refused::default()).unwrap();
        let mut words: Vec<&str> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut reasons = Refusal::REASONS.to_vec();
        words.sort_unstable();
        reasons.sort_unstable();
        assert_eq!(words, reasons);
    }
}
