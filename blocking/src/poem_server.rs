//! The poem server (S1): who connects gets the poem, at once or slowly, and then FIN.
//!
//! All are served at once, each by a thread of its own that waits in `recv` until the next chunk is due: so the wait
//! reads and discards what the client sends, and ends at once when the client is gone.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::{CloseReason, Observer, Options, PoemService, Reporter, Role};

use crate::NAME;
use crate::connection::Connection;
use crate::deadlines::Wire;
use crate::net::Listener;
use crate::server::{Serve, Serving};

/// How long one blocking write lasts at most. A thread that writes does not read: while the peer takes nothing, what
/// it sends is discarded this often, since it may itself wait for that.
const DEAF_MAX: Duration = Duration::from_millis(250);

// ANCHOR: serve_poem
/// Serves a poem to everybody who connects to `listener`: with a thread for each, or
/// with as many threads as `pool` says.
///
/// # Errors
/// What the system refused.
pub fn serve_poem(
    listener: Listener,
    service: PoemService,
    pool: Option<NonZeroUsize>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Serving<PoemService>> {
    let reporter = Reporter::new(NAME, Role::PoemServer, options.clock.clone(), observer);
    Serving::start(listener, service, pool, options.limits.clone(), reporter)
}

impl Serve for PoemService {
    const BEGINS_IN_FLIGHT: bool = true;
    const LONGEST_WRITE: Duration = DEAF_MAX;

    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        match recite(self, connection) {
            Ok(()) => connection.linger(CloseReason::Done),
            Err(reason) => reason,
        }
    }
}

/// Writes the poem, every chunk when it is due, and waits until FIN is due.
fn recite<W: Wire>(
    PoemService { poem, pace }: &PoemService,
    connection: &mut Connection<'_, W>,
) -> Result<(), CloseReason> {
    let accepted = connection.wire.now();
    let text = poem.as_bytes();
    let mut hears = true;
    connection.ledger.request();
    for index in 0..pace.chunks(text.len()) {
        wait_until(
            accepted.saturating_add(pace.due(index)),
            &mut hears,
            connection,
        )?;
        let chunk = pace.chunk(index, text.len()).unwrap_or_default();
        connection
            .write_all(&text[chunk], hears)
            .map_err(|(_, reason)| reason)?;
    }
    connection.ledger.answered(1);
    wait_until(
        accepted.saturating_add(pace.duration(text.len())),
        &mut hears,
        connection,
    )
}
// ANCHOR_END: serve_poem

/// Waits until `due`, reading and discarding; a client that has finished sending still gets its poem.
fn wait_until<W: Wire>(
    due: Duration,
    hears: &mut bool,
    connection: &mut Connection<'_, W>,
) -> Result<(), CloseReason> {
    while *hears && connection.discard_until(due)? {
        *hears = false;
    }
    loop {
        let left = due.saturating_sub(connection.wire.now());
        if connection.standing.is_cut() {
            return Err(CloseReason::Cut);
        }
        if left.is_zero() {
            return Ok(());
        }
        connection.wire.wire().pause(left);
    }
}

#[cfg(test)]
mod tests;
