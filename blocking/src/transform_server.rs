//! The transform server (S3–S7): netstrings in, netstrings out, one-shot or keep-alive.
//!
//! Each connection has a thread, and the thread runs a loop: read, answer every request that has arrived, write, and read
//! again only when the peer has taken the replies. So turns (S24) need no code: a thread serves one connection, and
//! the kernel shares the cores among threads. Nor does a heavy request (S25): the thread itself is the remedy.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::netstring::frames_within;
use poetry::{CloseReason, Observer, Options, Refusal, Reporter, Role, TransformService, panics};

use crate::connection::Connection;
use crate::deadlines::Wire;
use crate::ledger::Ledger;
use crate::requests::{Requests, Then, refuse, refuse_framing};
use crate::server::RunningServer;
use crate::server_state::ServeConnection;
use crate::{NAME, default_options};

/// Serves transforms to every connection of `listener`, with a thread for each connection, within the default limits.
///
/// # Errors
/// Fails if the system refuses a resource, such as a thread.
pub fn serve_transforms(
    listener: TcpListener,
    service: TransformService,
) -> io::Result<RunningServer> {
    let options = default_options();
    serve_transforms_with(listener, service, None, &options, Arc::new(Unobserved))
}

/// As [`serve_transforms`], within the limits of `options`, with its events reported to `observer`. If `pool` is set, that
/// many threads serve the connections, as [`Blocking::pool`](crate::Blocking::pool) says.
///
/// # Errors
/// As [`serve_transforms`]; also if `pool` is more than the threads that a process may have.
pub fn serve_transforms_with(
    listener: TcpListener,
    service: TransformService,
    pool: Option<NonZeroUsize>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let reporter = Reporter::new(NAME, Role::TransformServer, options.clock.clone(), observer);
    RunningServer::start(listener, service, pool, options.limits.clone(), reporter)
}

impl ServeConnection for TransformService {
    const BEGINS_IN_FLIGHT: bool = false;

    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        if !self.keep_alive {
            connection.wire.wire().send_with_fin();
        }
        let session = Session {
            service: self,
            requests: Requests::new(connection.limits.frame_bytes_max),
            replies: Vec::new(),
        };
        session.run(connection)
    }
}

/// One connection, with its requests and replies.
struct Session<'a> {
    service: &'a TransformService,
    requests: Requests,
    /// Replies not yet written; empty before every read.
    replies: Vec<u8>,
}

/// The answers to the requests of one read.
struct Answers {
    /// How many replies there are to write.
    count: u64,
    /// What happens after they are written.
    then: Then,
}

/// Bytes of memory for replies that an idle connection keeps. The memory that longer replies took is freed.
const REPLIES_KEPT: usize = 2 << 10;

impl Session<'_> {
    fn run<W: Wire>(mut self, connection: &mut Connection<'_, W>) -> CloseReason {
        loop {
            let length = match self.requests.read(connection) {
                Ok(0) => return self.requests.end(connection),
                Ok(length) => length,
                Err(reason) => return reason,
            };
            let Answers { count, then } = self.answer(length, connection);
            let idle = matches!(then, Then::Continue) && !self.requests.decoder.is_mid_frame();
            let stays_open = match self.write(count, idle, connection) {
                Ok(stays_open) => stays_open,
                Err(reason) => return reason,
            };
            match then {
                Then::Close(reason) => return connection.linger(reason),
                Then::Continue if !stays_open => return connection.linger(CloseReason::Done),
                Then::Continue => {}
            }
        }
    }

    // ANCHOR: answer_requests
    /// Answers every request that the last `length` bytes completed, into `replies`. Writes nothing to the peer yet.
    #[inline]
    fn answer<W: Wire>(&mut self, length: usize, connection: &mut Connection<'_, W>) -> Answers {
        let begun = self.requests.decoder.is_mid_frame();
        let limit = connection.limits.frame_bytes_max;
        let ledger = &mut connection.ledger;
        let mut frames = self.requests.decoder.feed(connection.buffer.filled(length));
        let mut count = 0;
        let then = loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break Then::Continue,
                Err(error) => break refuse_framing(error.into(), ledger),
            };
            ledger.request();
            match answer_request(self.service, frame, limit, &mut self.replies) {
                Ok(Ok(())) => count += 1,
                Ok(Err(refusal)) => break refuse(refusal, ledger),
                Err(message) => break handler_panicked(message, ledger),
            }
            if !self.service.keep_alive {
                break Then::Close(CloseReason::Done);
            }
            if frames.rest().is_empty() {
                break Then::Continue;
            }
        };
        drop(frames);
        if self.requests.decoder.is_mid_frame() && (!begun || count > 0) {
            self.requests.start_deadline(connection);
        }
        Answers { count, then }
    }
    // ANCHOR_END: answer_requests

    /// Writes the `count` replies with one write; with `then_idle`, nothing is in flight after them. Returns whether the
    /// connection stays open for more requests.
    ///
    /// # Errors
    /// Returns the reason to close. The requests whose replies the kernel did not take whole then fail.
    #[inline]
    fn write<W: Wire>(
        &mut self,
        count: u64,
        then_idle: bool,
        connection: &mut Connection<'_, W>,
    ) -> Result<bool, CloseReason> {
        if count == 0 {
            return Ok(true);
        }
        let replies = &self.replies;
        let written =
            connection.write_replies(then_idle, |connection| connection.write_all(replies, false));
        let stays_open = written.map_err(|(taken, reason)| {
            let answered = frames_within(&self.replies, taken).frames;
            connection.ledger.answered(answered);
            reason
        })?;
        connection.ledger.answered(count);
        self.replies.clear();
        if self.replies.capacity() > REPLIES_KEPT {
            self.replies = Vec::new();
        }
        Ok(stays_open)
    }
}

// ANCHOR: offload
/// Answers one request in the connection's own thread, a heavy one too, whether or not the service offloads those (S25): while
/// it computes, the kernel runs the threads of the other connections.
#[inline]
fn answer_request(
    service: &TransformService,
    frame: &[u8],
    frame_bytes_max: usize,
    replies: &mut Vec<u8>,
) -> Result<Result<(), Refusal>, String> {
    panics::contain(|| service.answer(frame, frame_bytes_max, replies))
}
// ANCHOR_END: offload

#[cold]
fn handler_panicked(message: String, ledger: &mut Ledger<'_>) -> Then {
    ledger.handler_panicked(message);
    Then::Close(CloseReason::Panic)
}

#[cfg(test)]
mod tests;
