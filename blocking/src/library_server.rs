//! The library server (S8): a poem's name in, the poem out, both as netstrings, one-shot or keep-alive.
//!
//! The loop is that of the transform server but for the replies: these are the library's own bytes, which any number of
//! connections share. So a connection keeps a list of poems where that server has a buffer, and writes them where they are.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::library::FramedPoem;
use poetry::{CloseReason, LibraryService, Observer, Options, Reporter, Role};

use crate::connection::Connection;
use crate::deadlines::{PIECES_AT_ONCE, Wire};
use crate::requests::{Requests, Then, refuse, refuse_framing};
use crate::server::RunningServer;
use crate::server_state::ServeConnection;
use crate::{NAME, default_options};

/// Serves a library to every connection of `listener`, with a thread for each connection, within the default limits.
///
/// # Errors
/// Fails if the system refuses a resource, such as a thread.
pub fn serve_library(listener: TcpListener, service: LibraryService) -> io::Result<RunningServer> {
    let options = default_options();
    serve_library_with(listener, service, None, &options, Arc::new(Unobserved))
}

/// As [`serve_library`], within the limits of `options`, with its events reported to `observer`. If `pool` is set, that many
/// threads serve the connections, as [`Blocking::pool`](crate::Blocking::pool) says.
///
/// # Errors
/// As [`serve_library`]; also if `pool` is more than the threads that a process may have.
pub fn serve_library_with(
    listener: TcpListener,
    service: LibraryService,
    pool: Option<NonZeroUsize>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let reporter = Reporter::new(NAME, Role::LibraryServer, options.clock.clone(), observer);
    RunningServer::start(listener, service, pool, options.limits.clone(), reporter)
}

impl ServeConnection for LibraryService {
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
    service: &'a LibraryService,
    requests: Requests,
    /// Replies not yet written, at most [`PIECES_AT_ONCE`]; empty before every read.
    replies: Vec<FramedPoem>,
}

impl Session<'_> {
    fn run<W: Wire>(mut self, connection: &mut Connection<'_, W>) -> CloseReason {
        loop {
            let mut unanswered = match self.requests.read(connection) {
                Ok(0) => return self.requests.end(connection),
                Ok(length) => 0..length,
                Err(reason) => return reason,
            };
            while !unanswered.is_empty() {
                let then = self.find(&mut unanswered, connection);
                let all_answered = unanswered.is_empty() && !self.requests.decoder.is_mid_frame();
                let idle = matches!(then, Then::Continue) && all_answered;
                let stays_open = match self.write(idle, connection) {
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
    }

    // ANCHOR: find_poem
    /// Finds the poems that the bytes of `unanswered` name, up to as many as one write takes. Writes nothing to the peer yet.
    /// `unanswered` is a part of what the last read has brought, and shrinks to the rest.
    fn find<W: Wire>(
        &mut self,
        unanswered: &mut Range<usize>,
        connection: &mut Connection<'_, W>,
    ) -> Then {
        let begun = self.requests.decoder.is_mid_frame();
        let limit = connection.limits.frame_bytes_max;
        let ledger = &mut connection.ledger;
        let read = &connection.buffer.filled(unanswered.end)[unanswered.start..];
        let mut names = self.requests.decoder.feed(read);
        let then = loop {
            if self.replies.len() == PIECES_AT_ONCE {
                break Then::Continue;
            }
            let name = match names.next() {
                Ok(Some(name)) => name,
                Ok(None) => break Then::Continue,
                Err(error) => break refuse_framing(error.into(), ledger),
            };
            ledger.request();
            match self.service.answer(name, limit) {
                Ok(poem) => self.replies.push(poem),
                Err(refusal) => break refuse(refusal, ledger),
            }
            if !self.service.keep_alive {
                break Then::Close(CloseReason::Done);
            }
        };
        unanswered.start = unanswered.end - names.rest().len();
        drop(names);
        if self.requests.decoder.is_mid_frame() && (!begun || !self.replies.is_empty()) {
            self.requests.start_deadline(connection);
        }
        then
    }
    // ANCHOR_END: find_poem

    /// Writes the replies with one write, from the library's own bytes; with `then_idle`, nothing is in flight after them.
    /// Returns whether the connection stays open for more requests.
    ///
    /// # Errors
    /// Returns the reason to close. The requests whose replies the kernel did not take whole then fail.
    fn write<W: Wire>(
        &mut self,
        then_idle: bool,
        connection: &mut Connection<'_, W>,
    ) -> Result<bool, CloseReason> {
        if self.replies.is_empty() {
            return Ok(true);
        }
        let pieces = self.replies.iter().map(FramedPoem::as_bytes);
        let written = connection.write_replies(then_idle, |connection| match &*self.replies {
            [reply] => connection.write_all(reply.as_bytes(), false),
            _ => connection.write_all_pieces(pieces),
        });
        let answered = match written {
            Ok(_) => self.replies.len(),
            Err((taken, _)) => self.whole_within(taken),
        };
        connection.ledger.answered(answered as u64);
        // A poem that the library has replaced is not kept for an idle connection.
        self.replies.clear();
        written.map_err(|(_, reason)| reason)
    }

    /// Counts the replies that end within the first `taken` bytes of all.
    fn whole_within(&self, taken: usize) -> usize {
        let ends = self.replies.iter().scan(0, |end, reply| {
            *end += reply.as_bytes().len();
            Some(*end)
        });
        ends.take_while(|end| *end <= taken).count()
    }
}

#[cfg(test)]
mod tests;
