//! The transform server (S3–S7): netstrings in, netstrings out, one-shot or keep-alive.
//!
//! Each connection has a thread, and the thread a loop: read, answer all that has come, write, and read again only when
//! the peer has taken the replies.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::netstring::Decoder;
use poetry::{CloseReason, Observer, Options, Refusal, Reporter, Role, TransformService, panics};

use crate::NAME;
use crate::connection::Connection;
use crate::deadlines::Wire;
use crate::ledger::Ledger;
use crate::net::Listener;
use crate::server::{Serve, Serving};

/// Answers the transform requests of everybody who connects to `listener`: with a thread for each, or
/// with as many threads as `pool` says.
///
/// # Errors
/// What the system refused.
pub fn serve_transforms(
    listener: Listener,
    service: TransformService,
    pool: Option<NonZeroUsize>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Serving<TransformService>> {
    let reporter = Reporter::new(NAME, Role::TransformServer, options.clock.clone(), observer);
    Serving::start(listener, service, pool, options.limits.clone(), reporter)
}

impl Serve for TransformService {
    const BEGINS_IN_FLIGHT: bool = false;
    const LONGEST_WRITE: Duration = Duration::MAX;

    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        let session = Session {
            service: self,
            decoder: Decoder::new(connection.limits.frame_bytes_max),
            replies: Vec::new(),
            deadline: Duration::ZERO,
        };
        session.run(connection)
    }
}

/// What is known of one connection's requests.
struct Session<'a> {
    service: &'a TransformService,
    decoder: Decoder,
    /// Replies that have not been written; empty whenever something is read.
    replies: Vec<u8>,
    /// When the request that has begun must be complete (S18).
    deadline: Duration,
}

/// What the requests of one read came to.
struct Answers {
    /// Replies to be written.
    count: u64,
    /// What happens after them.
    then: Then,
}

enum Then {
    /// Another read.
    Continue,
    /// The connection closes, for this reason.
    Close(CloseReason),
}

/// Memory for replies that an idle connection keeps; what long poems took is given back.
const REPLIES_KEPT: usize = 2 << 10;

impl Session<'_> {
    fn run<W: Wire>(mut self, connection: &mut Connection<'_, W>) -> CloseReason {
        loop {
            let length = match self.read(connection) {
                Ok(0) => return self.end(connection),
                Ok(length) => length,
                Err(reason) => return reason,
            };
            let Answers { count, then } = self.answer(length, connection);
            let idle = matches!(then, Then::Continue) && !self.decoder.is_mid_frame();
            if idle {
                // Before the write, for whoever has its reply may call this connection idle.
                connection.standing.rest();
            }
            if let Err(reason) = self.deliver(count, connection) {
                return reason;
            }
            match then {
                Then::Close(reason) => return connection.linger(reason),
                Then::Continue if idle && !connection.standing.rest() => {
                    return connection.linger(CloseReason::Done);
                }
                Then::Continue => {}
            }
        }
    }

    /// Reads for as long as there is time: the rest of that of the request that has begun, or the idle timeout.
    ///
    /// # Errors
    /// The connection is closed, for this reason.
    #[inline]
    fn read<W: Wire>(&self, connection: &mut Connection<'_, W>) -> Result<usize, CloseReason> {
        let Connection {
            wire,
            buffer,
            standing,
            limits,
            ..
        } = connection;
        let (read, late) = if self.decoder.is_mid_frame() {
            buffer.grow();
            let read = wire.read_until(buffer.space(), self.deadline);
            (read, CloseReason::Deadline)
        } else {
            buffer.shrink();
            let read = wire.read(buffer.space(), limits.idle_timeout);
            (read, CloseReason::Idle)
        };
        match read {
            Ok(0) if standing.is_cut() => Err(CloseReason::Cut),
            Ok(0) => Ok(0),
            Ok(length) => {
                connection.ledger.read(length);
                match standing.work() {
                    true => Ok(length),
                    false => Err(connection.linger(CloseReason::Done)),
                }
            }
            Err(stop) => Err(connection.why(&stop, late)),
        }
    }

    // ANCHOR: answer_requests
    /// Answers every request that the last `length` bytes completed, and says what happens then. Nothing is copied but
    /// the replies, and nothing is written yet.
    #[inline]
    fn answer<W: Wire>(&mut self, length: usize, connection: &mut Connection<'_, W>) -> Answers {
        let begun = self.decoder.is_mid_frame();
        let limit = connection.limits.frame_bytes_max;
        let ledger = &mut connection.ledger;
        let mut frames = self.decoder.feed(connection.buffer.filled(length));
        let mut count = 0;
        let then = loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break Then::Continue,
                Err(error) => break refuse_new(error.into(), ledger),
            };
            ledger.request();
            match panics::contain(|| self.service.answer(frame, limit, &mut self.replies)) {
                Ok(Ok(())) => count += 1,
                Ok(Err(refusal)) => break refuse(refusal, ledger),
                Err(message) => break panicked(message, ledger),
            }
            if !self.service.keep_alive {
                break Then::Close(CloseReason::Done);
            }
            if frames.rest().is_empty() {
                break Then::Continue;
            }
        };
        drop(frames);
        if self.decoder.is_mid_frame() && (!begun || count > 0) {
            self.deadline = connection.wire.now() + connection.limits.request_deadline;
        }
        Answers { count, then }
    }
    // ANCHOR_END: answer_requests

    /// Writes the replies with one write. Those that were not taken to their last byte have failed.
    #[inline]
    fn deliver<W: Wire>(
        &mut self,
        count: u64,
        connection: &mut Connection<'_, W>,
    ) -> Result<(), CloseReason> {
        if count == 0 {
            return Ok(());
        }
        if let Err((taken, reason)) = connection.write_all(&self.replies, false) {
            connection
                .ledger
                .answered(whole_replies(&self.replies[..taken]));
            return Err(reason);
        }
        connection.ledger.answered(count);
        self.replies.clear();
        if self.replies.capacity() > REPLIES_KEPT {
            self.replies = Vec::new();
        }
        Ok(())
    }

    /// The peer has finished sending: between two requests, or too early.
    fn end<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        if !self.decoder.is_mid_frame() {
            return CloseReason::Done;
        }
        refuse_new(Refusal::Truncated, &mut connection.ledger);
        connection.linger(CloseReason::Refused)
    }
}

/// Refuses what is not even a request.
#[cold]
fn refuse_new(refusal: Refusal, ledger: &mut Ledger<'_>) -> Then {
    ledger.request();
    refuse(refusal, ledger)
}

#[cold]
fn refuse(refusal: Refusal, ledger: &mut Ledger<'_>) -> Then {
    ledger.refused(refusal);
    Then::Close(CloseReason::Refused)
}

#[cold]
fn panicked(message: String, ledger: &mut Ledger<'_>) -> Then {
    ledger.panicked(message);
    Then::Close(CloseReason::Panic)
}

/// How many replies are complete in the beginning of some.
#[cold]
fn whole_replies(taken: &[u8]) -> u64 {
    let mut decoder = Decoder::new(usize::MAX);
    let mut replies = decoder.feed(taken);
    let mut count = 0;
    while let Ok(Some(_)) = replies.next() {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Act::*;
    use crate::memory::{Act, Happened, Peer, ms, serve};
    use poetry::{Counts, Limits};

    const KEEP_ALIVE: TransformService = TransformService {
        keep_alive: true,
        lab: None,
    };
    const ONE_SHOT: TransformService = TransformService {
        keep_alive: false,
        lab: None,
    };
    const SHOUT: &[u8] = b"8:shout.ab,";
    const REPLY: &str = "2:AB,";

    fn sends(bytes: &[u8]) -> Act {
        Sends(bytes.to_vec())
    }

    fn keep_alive(peer: &Peer) -> (CloseReason, Counts) {
        serve(&KEEP_ALIVE, &Limits::default(), peer)
    }

    #[test]
    fn s18_a_peer_that_trickles_is_closed_by_the_deadline() {
        let trickle = (0..90).map(|second| (5_000 + second * 1_000, sends(b"0")));
        let peer = Peer::new([(5_000, sends(b"90:"))].into_iter().chain(trickle));
        let (reason, counts) = keep_alive(&peer);
        assert_eq!((reason, peer.now()), (CloseReason::Deadline, ms(35_000)));
        assert_eq!((counts.requests, peer.received().as_str()), (0, ""));
    }

    #[test]
    fn s18_each_request_has_a_deadline_of_its_own() {
        let begin_anew = |second: u64| (second * 1_000, sends(b",8:shout.ab"));
        let script = [(0, sends(b"8:shout.ab")), begin_anew(29), begin_anew(58)];
        let peer = Peer::new(script);
        assert_eq!(keep_alive(&peer).0, CloseReason::Deadline);
        assert_eq!((peer.now(), peer.received().len()), (ms(88_000), 10));
    }

    #[test]
    fn s18_data_refreshes_the_idle_timeout() {
        let peer = Peer::new([(59_000, sends(SHOUT)), (118_000, sends(SHOUT))]);
        assert_eq!(keep_alive(&peer).0, CloseReason::Idle);
        assert_eq!((peer.now(), peer.received().len()), (ms(178_000), 10));
    }

    #[test]
    fn s18_a_peer_that_takes_nothing_is_closed_by_the_write_timeout() {
        let peer = Peer::new([(0, sends(SHOUT))]).that_takes(0);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!((reason, peer.now()), (CloseReason::Write, ms(30_000)));
        assert_eq!((counts.requests, counts.failed), (1, 1));
    }

    #[test]
    fn s18_a_peer_that_takes_slowly_gets_everything() {
        let takes = (1..5).map(|index| (index * 29_000, Takes(3)));
        let peer = Peer::new([(0, sends(&SHOUT.repeat(2)))].into_iter().chain(takes)).that_takes(1);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!((reason, counts.answered), (CloseReason::Idle, 2));
        assert_eq!(peer.received(), REPLY.repeat(2));
    }

    #[test]
    fn s23_replies_taken_to_their_last_byte_are_answered_and_the_others_failed() {
        let peer = Peer::new([(0, sends(&SHOUT.repeat(4))), (1, Resets)]).that_takes(14);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!(reason, CloseReason::Reset);
        assert_eq!((counts.requests, counts.answered, counts.failed), (4, 2, 2));
        assert_eq!(counts.bytes_out, 14);
    }

    #[test]
    fn s6_a_half_closed_peer_gets_every_reply() {
        let peer = Peer::new([(0, sends(&SHOUT.repeat(3))), (0, Finishes)]);
        assert_eq!(keep_alive(&peer).0, CloseReason::Done);
        assert_eq!(peer.received(), REPLY.repeat(3));
    }

    #[test]
    fn s4_a_peer_that_finishes_in_mid_request_is_refused_after_its_replies() {
        let peer = Peer::new([(0, sends(b"8:shout.ab,8:sho")), (0, Finishes)]);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!(
            (reason, counts.refused.truncated),
            (CloseReason::Refused, 1)
        );
        assert_eq!((counts.requests, peer.received().as_str()), (2, REPLY));
    }

    #[test]
    fn s7_a_reply_survives_unread_input() {
        let more = b"8:shout.cd,".repeat(10_000);
        let peer = Peer::new([(0, sends(SHOUT)), (0, sends(&more)), (7, Finishes)]);
        let (reason, counts) = serve(&ONE_SHOT, &Limits::default(), &peer);
        assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
        assert_eq!(counts.bytes_in, (SHOUT.len() + more.len()) as u64);
        let (wrote, finished) = (REPLY.as_bytes().to_vec(), Happened::Finished(ms(0)));
        assert_eq!(peer.happened(), [Happened::Wrote(ms(0), wrote), finished]);
        assert_eq!(peer.now(), ms(7));
    }

    #[test]
    fn s7_lingering_is_bounded_in_time_and_in_bytes() {
        let limits = Limits::default();
        let tick = |index: u64| (index * 100, sends(b"x"));
        let peer = Peer::new(
            [(0, sends(SHOUT))]
                .into_iter()
                .chain((0..).map(tick).take(90)),
        );
        assert_eq!(serve(&ONE_SHOT, &limits, &peer).0, CloseReason::Done);
        assert_eq!(peer.now(), limits.linger_timeout);

        let flood = sends(&vec![b'x'; 3 * limits.linger_bytes_max]);
        let peer = Peer::new([(0, sends(SHOUT)), (0, flood)]);
        let (_, counts) = serve(&ONE_SHOT, &limits, &peer);
        assert!(counts.bytes_in < 2 * limits.linger_bytes_max as u64);
    }

    #[test]
    fn s21_a_request_that_has_begun_is_answered_and_is_the_last() {
        let script = [
            (0, sends(b"8:sho")),
            (1, ShutdownBegins),
            (2, sends(b"ut.ab,")),
            (3, Finishes),
        ];
        let peer = Peer::new(script);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!((reason, counts.answered), (CloseReason::Done, 1));
        assert_eq!(peer.happened().last(), Some(&Happened::Finished(ms(2))));
    }

    #[test]
    fn s21_an_idle_connection_is_closed_at_once() {
        let peer = Peer::new([(0, sends(SHOUT)), (5, ShutdownBegins)]);
        assert_eq!(keep_alive(&peer).0, CloseReason::Done);
        assert_eq!(peer.now(), ms(5));
    }

    #[test]
    fn s21_a_request_that_outlasts_the_grace_is_cut() {
        let peer = Peer::new([(0, sends(b"8:")), (1, ShutdownBegins), (9, GraceIsOver)]);
        let (reason, counts) = keep_alive(&peer);
        assert_eq!((reason, peer.now()), (CloseReason::Cut, ms(9)));
        assert_eq!(counts.refused.truncated, 0);
    }

    #[test]
    fn a_request_without_haste_sets_no_timeout_of_its_own() {
        let script = (0..100).map(|index| (index, sends(SHOUT)));
        let peer = Peer::new(script.chain([(100, Finishes)]));
        assert_eq!(keep_alive(&peer).1.answered, 100);
        assert_eq!(peer.timeouts_set(), 1);
    }

    #[test]
    fn a_long_request_is_read_with_a_whole_read_buffer() {
        let poem = "A".repeat(90_000);
        let mut request = Vec::new();
        poetry::request::encode("cummingsify", &poem, &mut request);
        let peer = Peer::new([(0, sends(&request)), (0, Finishes)]);
        assert_eq!(keep_alive(&peer).1.answered, 1);
        assert_eq!(peer.received(), format!("90000:{},", poem.to_lowercase()));
    }
}
