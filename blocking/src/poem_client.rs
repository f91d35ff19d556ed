//! The poem client (S10–S15): each poem is fetched by a thread of its own, with calls that block.
//!
//! [`get_poetry`] is the whole of it for one poem; [`PoemClient::fetch_all`] runs many at once in scoped threads, and
//! has each transformed when it has arrived.

use std::panic;
use std::sync::Arc;
use std::thread;

use poetry::error::decode_poem;
use poetry::{
    Cancel, Client, FetchFailure, FetchRequest, Observer, Options, Outcome, Peer, Reporter, Role,
};

use crate::NAME;
use crate::buffers::{Buffers, ReadBuffer};
use crate::context::{Context, Sockets};
use crate::deadlines::{Timed, Wire};
use crate::fetching::{Call, Fetches};
use crate::net;
use crate::workers;

// ANCHOR: get_poetry
/// Fetches one poem: connects, reads until FIN, and gives back the text.
///
/// # Errors
/// What went wrong first, one of S11.
pub fn get_poetry(peer: &Peer, context: &mut Context<'_>) -> Result<String, FetchFailure> {
    let mut wire = context.connect(peer)?;
    read_poem(&mut wire, context).and_then(decode_poem)
}

/// Reads until FIN, which is the end of a poem (S1).
pub(crate) fn read_poem<W: Wire>(
    wire: &mut Timed<W>,
    context: &mut Context<'_>,
) -> Result<Vec<u8>, FetchFailure> {
    let limit = context.limits.poem_bytes_max;
    let mut buffer = ReadBuffer::new(context.buffers);
    let mut poem = Vec::new();
    loop {
        let length = context.read(wire, &mut buffer)?;
        if length == 0 {
            return Ok(poem);
        }
        if poem.len() + length > limit {
            let limit = limit as u64;
            return Err(FetchFailure::TooLong { limit });
        }
        poem.extend_from_slice(buffer.filled(length));
        buffer.adapt(length);
    }
}
// ANCHOR_END: get_poetry

/// A client: fetches poems, each in a thread.
#[derive(Debug)]
pub struct PoemClient {
    options: Options,
    buffers: Buffers,
}

impl PoemClient {
    /// A client within the bounds of `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            buffers: Buffers::default(),
        }
    }

    // ANCHOR: fetch_all
    /// Fetches all poems at once, each in a thread, as far as there may be threads (S10, S15). The calling thread is
    /// one of them: where there may be no more, it fetches one poem after another. Beyond the first
    /// [`AT_ONCE`](crate::pace::AT_ONCE) threads the others come at a [pace](crate::pace); until then the kernel keeps what arrives.
    pub fn fetch_all(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let Options { limits, clock, .. } = &self.options;
        let sockets = Arc::new(Sockets::new(requests.len()));
        let hooks = Arc::clone(&sockets);
        let _subscription = cancel.subscribe(move |target| hooks.hang_up(target));
        let fetches = Fetches::begin(Call {
            requests,
            limits,
            clock,
            buffers: &self.buffers,
            reporter: Reporter::new(NAME, Role::PoemClient, clock.clone(), observer),
            cancel,
            sockets: &sockets,
        });
        let fetching = &fetches;
        thread::scope(|scope| {
            let since = net::now();
            // Where no more threads can be had, those that there are do the work.
            let spawn = |worker| workers::spawn_scoped(scope, move || fetching.work(worker)).ok();
            let threads: Vec<_> = (1..fetching.at_once())
                .take_while(|&worker| fetching.wants_thread(worker, since))
                .map_while(spawn)
                .collect();
            fetching.work(0);
            for thread in threads {
                thread
                    .join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic));
            }
        });
        fetches.outcomes()
    }
    // ANCHOR_END: fetch_all
}

impl Client for PoemClient {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        self.fetch_all(requests, observer, cancel)
    }
}
