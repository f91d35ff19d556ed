//! The poem server (S1): each connection is sent the poem, at once or slowly, and then FIN.
//!
//! Every connection has a thread, which waits in `recv` until the next chunk is due. So it discards what the client sends
//! meanwhile, and a reset ends the wait at once. After the client's FIN, which does not end the poem, `recv` no longer
//! waits: the thread sleeps instead, and meets a reset at its next write.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::{Unobserved, Wait};
use poetry::{CloseReason, Observer, Options, Pace, Poem, PoemService, Reporter, Role};

use crate::connection::Connection;
use crate::deadlines::Wire;
use crate::server::RunningServer;
use crate::server_state::ServeConnection;
use crate::{NAME, default_options};

// ANCHOR: serve_poem
/// Serves a poem to every connection of `listener`, with a thread for each connection, within the default limits.
///
/// # Errors
/// Fails if the system refuses a resource, such as a thread.
pub fn serve_poem(listener: TcpListener, service: PoemService) -> io::Result<RunningServer> {
    let options = default_options();
    serve_poem_with(listener, service, None, &options, Arc::new(Unobserved))
}

/// As [`serve_poem`], within the limits of `options`, with its events reported to `observer`. If `pool` is set, that many
/// threads serve the connections, as [`Blocking::pool`](crate::Blocking::pool) says.
///
/// # Errors
/// As [`serve_poem`]; also if `pool` is more than the threads that a process may have.
pub fn serve_poem_with(
    listener: TcpListener,
    service: PoemService,
    pool: Option<NonZeroUsize>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let reporter = Reporter::new(NAME, Role::PoemServer, options.clock.clone(), observer);
    RunningServer::start(listener, service, pool, options.limits.clone(), reporter)
}

impl ServeConnection for PoemService {
    const BEGINS_IN_FLIGHT: bool = true;

    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        connection.ledger.request();
        send_poem(&self.poem, self.pace, connection)
    }
}

/// Sends `poem`, the answer to the request that has been counted, and closes without losing it.
pub(crate) fn send_poem<W: Wire>(
    poem: &Poem,
    pace: Pace,
    connection: &mut Connection<'_, W>,
) -> CloseReason {
    match write_poem(poem, pace, connection) {
        Ok(()) => connection.linger(CloseReason::Done),
        Err(reason) => reason,
    }
}

// ANCHOR: send_due
/// Writes every chunk of the poem when it is due, and then waits until FIN is due.
fn write_poem<W: Wire>(
    poem: &Poem,
    pace: Pace,
    connection: &mut Connection<'_, W>,
) -> Result<(), CloseReason> {
    let accepted = connection.wire.now();
    let text = poem.as_bytes();
    let mut client_sends = true;
    for index in 0..pace.chunks(text.len()) {
        let due = accepted.saturating_add(pace.due(index));
        wait_until(due, &mut client_sends, connection)?;
        let chunk = pace.chunk(index, text.len()).unwrap_or_default();
        connection
            .write_all(&text[chunk], client_sends)
            .map_err(|(_, reason)| reason)?;
    }
    connection.ledger.answered(1);
    let fin_due = accepted.saturating_add(pace.duration(text.len()));
    wait_until(fin_due, &mut client_sends, connection)
}
// ANCHOR_END: send_due
// ANCHOR_END: serve_poem

/// Waits until `due`, discarding what the client sends. A client that has finished sending still gets its poem.
fn wait_until<W: Wire>(
    due: Duration,
    client_sends: &mut bool,
    connection: &mut Connection<'_, W>,
) -> Result<(), CloseReason> {
    connection.ledger.waits(Wait::Pace);
    if *client_sends && connection.discard_until(due)? {
        *client_sends = false;
    }
    loop {
        let left = due.saturating_sub(connection.wire.now());
        if connection.state.is_cut() {
            return Err(CloseReason::Cut);
        }
        if left.is_zero() {
            connection.ledger.runs();
            return Ok(());
        }
        connection.wire.wire().pause(left);
    }
}

#[cfg(test)]
mod tests;
