//! The poem client (S10–S15): each poem is fetched by a thread of its own, with calls that block.
//!
//! [`get_poetry`] is the whole of it for one poem; [`PoemClient::fetch_all`] runs many at once in scoped threads, and
//! has each transformed when it has arrived.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use poetry::error::decode_poem;
use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Observer, Options, Outcome, Peer,
    Reporter, Role,
};

use crate::NAME;
use crate::buffers::{Buffers, ReadBuffer};
use crate::deadlines::{Timed, Wire};
use crate::errand::{Errand, Sockets};
use crate::net;
use crate::transform_client::transform_or_keep;
use crate::workers;

// ANCHOR: get_poetry
/// Fetches one poem: connects, reads until FIN, and gives back the text.
///
/// # Errors
/// What went wrong first, one of S11.
pub fn get_poetry(peer: &Peer, errand: &mut Errand<'_>) -> Result<String, FetchFailure> {
    let mut wire = errand.connect(peer)?;
    read_poem(&mut wire, errand).and_then(decode_poem)
}

/// Reads until FIN, which is the end of a poem (S1).
pub(crate) fn read_poem<W: Wire>(
    wire: &mut Timed<W>,
    errand: &mut Errand<'_>,
) -> Result<Vec<u8>, FetchFailure> {
    let limit = errand.limits.poem_bytes_max;
    let mut buffer = ReadBuffer::new(errand.buffers);
    let mut poem = Vec::new();
    loop {
        let length = errand.read(wire, &mut buffer)?;
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
    turns: Turns,
}

impl PoemClient {
    /// A client within the bounds of `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            buffers: Buffers::default(),
            turns: Turns::new(options.limits.fetches_max),
        }
    }

    // ANCHOR: fetch_all
    /// Fetches all poems at once, each in a thread, as far as there may be threads (S10, S15). The calling thread is
    /// one of them: where there may be no more, it fetches one poem after another. While others have all this client's
    /// turns, it waits for one.
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

        let outcomes: Vec<OnceLock<Outcome>> = requests.iter().map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let index = next.fetch_add(1, Ordering::Relaxed)
                && let Some(request) = requests.get(index)
            {
                let reporter = reporter.clone();
                let now = net::now();
                let errand = Errand::new(
                    index,
                    now,
                    limits,
                    &self.buffers,
                    reporter,
                    cancel,
                    &sockets,
                );
                outcomes[index].get_or_init(|| fetch(request, errand, &self.options));
            }
        };
        let turns = self.turns.take(requests.len());
        thread::scope(|scope| {
            // Where no more threads can be had, those that there are do the work.
            let hire = |_| workers::spawn_scoped(scope, work).ok();
            let threads: Vec<_> = (1..turns.count).map_while(hire).collect();
            work();
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

/// The fetches that a client may still begin, whoever calls it (S15).
#[derive(Debug)]
struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Some turns; dropping it gives them back.
#[derive(Debug)]
struct Taken<'t> {
    turns: &'t Turns,
    count: usize,
}

impl Turns {
    fn new(fetches_max: usize) -> Self {
        Self {
            free: Mutex::new(fetches_max.max(1)),
            freed: Condvar::new(),
        }
    }

    /// Waits for a turn, and takes as many as there are up to `wanted`.
    fn take(&self, wanted: usize) -> Taken<'_> {
        // A number is whole at any time, so a lock poisoned elsewhere is no harm.
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 && wanted > 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let count = wanted.min(*free);
        *free -= count;
        Taken { turns: self, count }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let free = self.turns.free.lock();
        *free.unwrap_or_else(PoisonError::into_inner) += self.count;
        self.turns.freed.notify_all();
    }
}

/// Fetches one poem and has it transformed, if that is asked for.
fn fetch(request: &FetchRequest, mut errand: Errand<'_>, options: &Options) -> Outcome {
    let begun = options.clock.now();
    let fetched = get_poetry(&request.peer, &mut errand);
    errand.tell(&fetched);
    let transformed = fetched.and_then(|poem| match &request.via {
        Some(via) => transform_or_keep(poem, via, errand.on_to_transform()),
        None => Ok((poem, None)),
    });
    let (poem, transform_failure) = match transformed {
        Ok((poem, failure)) => (Ok(poem), failure),
        Err(failure) => (Err(FetchError::new(&request.peer, failure)), None),
    };
    Outcome {
        poem,
        transform_failure,
        bytes: errand.received(),
        elapsed: options.clock.now().saturating_sub(begun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn s15_callers_share_the_turns_of_a_client_and_wait_for_them() {
        let turns = Turns::new(3);
        let two = turns.take(2);
        let last = turns.take(5);
        assert_eq!((two.count, last.count), (2, 1));
        assert_eq!(turns.take(0).count, 0);
        thread::scope(|scope| {
            let waits = scope.spawn(|| turns.take(9).count);
            drop(two);
            assert!(waits.join().unwrap() >= 1);
        });
        drop(last);
        assert_eq!(turns.take(9).count, 3);
    }
}
