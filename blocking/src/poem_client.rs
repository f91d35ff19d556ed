//! The poem client (S10–S15): each poem is fetched by a thread of its own, with calls that block.
//!
//! [`get_poetry`] is the whole of it for one poem; [`PoemClient::fetch_all`] runs many at once in scoped threads, and
//! has each transformed when it has arrived.

use std::panic;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use poetry::error::decode_poem;
use poetry::{
    Cancel, Client, Clock, FetchError, FetchFailure, FetchRequest, Observer, Options, Outcome,
    Peer, Reporter, Role, event::Scene,
};

use crate::NAME;
use crate::buffers::{Buffers, ReadBuffer};
use crate::context::{Context, Sockets};
use crate::deadlines::{Timed, Wire};
use crate::net;
use crate::transform_client::transform_or_keep;
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
    /// one of them: where there may be no more, it fetches one poem after another.
    pub fn fetch_all(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let Options { limits, clock, .. } = &self.options;
        let reporter = Reporter::new(NAME, Role::PoemClient, clock.clone(), observer);
        let sockets = Arc::new(Sockets::new(requests.len()));
        let hooks = Arc::clone(&sockets);
        let _subscription = cancel.subscribe(move |target| hooks.hang_up(target));

        let context = |index: usize| {
            let scene = Scene {
                task: index as u64,
                ..Scene::default()
            };
            let reporter = reporter.clone();
            let now = net::now();
            Context::new(
                scene,
                now,
                limits,
                &self.buffers,
                reporter,
                cancel,
                &sockets,
            )
        };
        let context = |index| (context(index), clock.now());
        let wanted = limits.fetches_max.max(1).min(requests.len());
        let begun: Vec<_> = (0..wanted)
            .map(|index| {
                let (mut context, now) = context(index);
                begin(index, &requests[index], &mut context);
                (context, now)
            })
            .collect();
        let tasks = begun
            .into_iter()
            .chain((wanted..requests.len()).map(context));
        let tasks = Mutex::new(tasks.enumerate());
        let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();

        let outcomes: Vec<OnceLock<Outcome>> = requests.iter().map(|_| OnceLock::new()).collect();
        let work = &|worker| {
            while let Some((index, (context, begun))) = next() {
                let context = context.in_thread(worker);
                let fetch = || fetch(&requests[index], context, begun, clock);
                outcomes[index].get_or_init(fetch);
            }
        };
        thread::scope(|scope| {
            // Where no more threads can be had, those that there are do the work.
            let spawn = |worker| workers::spawn_scoped(scope, move || work(worker)).ok();
            let threads: Vec<_> = (1..wanted as u32).map_while(spawn).collect();
            work(0);
            for thread in threads {
                thread
                    .join()
                    .unwrap_or_else(|panic| panic::resume_unwind(panic));
            }
        });
        outcomes
            .into_iter()
            .filter_map(OnceLock::into_inner)
            .collect()
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

/// Connections that are begun in a row. A server that shares our core must accept some before there are more: its
/// backlog is bounded, and what does not fit waits for a second.
const BEGUN_IN_A_ROW: usize = 256;

/// Begins to connect before there is a thread to wait for it: so the kernel connects while threads are made, and what
/// the first of many poems send meanwhile is read at once.
fn begin(index: usize, request: &FetchRequest, context: &mut Context<'_>) {
    context.begin(&request.peer);
    if (index + 1).is_multiple_of(BEGUN_IN_A_ROW) {
        thread::yield_now();
    }
}

/// Fetches one poem, a fetch that has `begun` by `clock`, and has it transformed, if that is asked for.
fn fetch(
    request: &FetchRequest,
    mut context: Context<'_>,
    begun: Duration,
    clock: &Clock,
) -> Outcome {
    let fetched = get_poetry(&request.peer, &mut context);
    context.tell(&fetched);
    let transformed = fetched.and_then(|poem| match &request.via {
        Some(via) => transform_or_keep(poem, via, context.for_transform())
            .inspect_err(|failure| context.tell(&Err(failure.clone()))),
        None => Ok((poem, None)),
    });
    let (poem, transform_failure) = match transformed {
        Ok((poem, failure)) => (Ok(poem), failure),
        Err(failure) => (Err(FetchError::new(&request.peer, failure)), None),
    };
    Outcome {
        poem,
        transform_failure,
        bytes: context.received(),
        elapsed: clock.now().saturating_sub(begun),
    }
}
