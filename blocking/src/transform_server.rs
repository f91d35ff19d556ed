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
use crate::yielding::Yielding;

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
            yielding: Yielding::default(),
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
    yielding: Yielding,
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
                Then::Continue if count > 0 => self.yielding.before_read(&mut connection.wire),
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
                // Before it is counted, for whoever sees the bytes may call this connection in flight.
                let welcome = standing.work();
                connection.ledger.read(length);
                match welcome {
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
            let now = connection.wire.now();
            self.deadline = now.saturating_add(connection.limits.request_deadline);
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
mod tests;
