//! The poem client (S10–S15): each poem is fetched by a thread of its own, with calls that block.
//!
//! [`get_poetry`] is the whole of it for one poem; [`PoemClient::fetch_all`] runs many at once in scoped threads, and
//! has each transformed when it has arrived.

use std::sync::Arc;
use std::thread;

use poetry::error::decode_poem;
use poetry::{
    Cancel, Client, FetchFailure, FetchRequest, Observer, Options, Outcome, Peer, Reporter, Role,
};

use crate::NAME;
use crate::buffers::{Buffers, SMALL_BYTES};
use crate::context::{Context, Sockets};
use crate::deadlines::{Timed, Wire};
use crate::fetching::{Call, Fetches};
use crate::net;
use crate::workers::{self, Permits};

// ANCHOR: get_poetry
/// Fetches one poem: connects, reads until FIN, and gives back the text.
///
/// # Errors
/// What went wrong first, one of S11.
pub fn get_poetry(peer: &Peer, context: &mut Context<'_>) -> Result<String, FetchFailure> {
    let mut wire = context.connect(peer)?;
    read_poem(&mut wire, context).and_then(decode_poem)
}

/// Reads until FIN, which is the end of a poem (S1), each piece behind the last.
pub(crate) fn read_poem<W: Wire>(
    wire: &mut Timed<W>,
    context: &mut Context<'_>,
) -> Result<Vec<u8>, FetchFailure> {
    let limit = context.limits.poem_bytes_max;
    let (mut poem, mut length) = (vec![0; SMALL_BYTES], 0);
    loop {
        let read = context.read(wire, &mut poem[length..])?;
        length += read;
        if length > limit {
            let limit = limit as u64;
            return Err(FetchFailure::TooLong { limit });
        }
        if read == 0 {
            poem.truncate(length);
            return Ok(poem);
        }
        if length == poem.len() {
            // As much again, so that what is copied when it grows is no more than it has.
            poem.resize(2 * length, 0);
        }
    }
}
// ANCHOR_END: get_poetry

/// A client: fetches poems, each in a thread.
#[derive(Debug)]
pub struct PoemClient {
    options: Options,
    buffers: Buffers,
    permits: &'static Permits,
}

impl PoemClient {
    /// A client within the bounds of `options`.
    pub fn new(options: &Options) -> Self {
        Self::within(&workers::PERMITS, options)
    }

    fn within(permits: &'static Permits, options: &Options) -> Self {
        Self {
            options: options.clone(),
            buffers: Buffers::default(),
            permits,
        }
    }

    // ANCHOR: fetch_all
    /// Fetches all poems at once, each in a thread, as far as there may be threads (S10, S15). The calling thread is
    /// one of them: where one more cannot be had, those that there are fetch the others, one after another. Beyond a
    /// [`BURST`](crate::pace::BURST) threads come at a [pace](crate::pace); until then the kernel keeps what arrives.
    ///
    /// # Panics
    /// When `observer` does, after all threads have ended.
    pub fn fetch_all(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let Options { limits, clock, .. } = &self.options;
        let sockets = Arc::new(Sockets::new(requests.len()));
        let (hooks, maker) = (Arc::clone(&sockets), thread::current());
        let _subscription = cancel.subscribe(move |target| {
            hooks.hang_up(target);
            maker.unpark();
        });
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
            let spawn = |worker| {
                let work = move || fetching.work(worker);
                workers::spawn_scoped_within(self.permits, scope, work).is_ok()
            };
            // Where no more threads can be had, those that there are do the work. Nobody keeps their handles: a thread
            // that has ended would keep its stack until it was joined, and the last poem may take long.
            let mut workers = 1..fetching.threads_max();
            while let Some(worker) = workers.next()
                && fetching.wants_thread(worker, since)
                && spawn(worker)
            {}
            fetching.work(0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use poetry::event::Unobserved;
    use poetry::{Clock, Peer};
    use std::io::Write;
    use std::net::TcpListener;

    /// A client that can have no thread, a listener, and the request for its poem.
    fn without_threads() -> (PoemClient, TcpListener, FetchRequest) {
        static NONE: Permits = Permits::new(|| 0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let request = FetchRequest {
            peer: Peer::from(listener.local_addr().unwrap()),
            via: None,
        };
        let client = PoemClient::within(&NONE, &Options::new(Clock::stopped()));
        (client, listener, request)
    }

    #[test]
    fn t1_where_no_thread_can_be_had_the_calling_one_fetches_one_poem_after_another() {
        let (client, listener, request) = without_threads();
        let outcomes = thread::scope(|scope| {
            scope.spawn(|| {
                for poem in ["one", "two", "three"] {
                    let (mut client, _) = listener.accept().unwrap();
                    client.write_all(poem.as_bytes()).unwrap();
                }
            });
            let observer = Arc::new(Unobserved);
            client.fetch_all(&vec![request; 3], observer, &Cancel::new())
        });
        let poems = outcomes.iter().map(|outcome| outcome.poem.as_deref());
        assert_eq!(
            poems.collect::<Vec<_>>(),
            [Ok("one"), Ok("two"), Ok("three")]
        );
    }

    /// One poem never comes, and nobody but its thread could take the others: two whole ones, and half a one.
    #[test]
    fn s11_when_all_is_called_off_a_poem_that_had_come_whole_has_arrived_and_no_other() {
        let (client, listener, request) = without_threads();
        let cancel = Cancel::new();
        let outcomes = thread::scope(|scope| {
            let server = scope.spawn(|| {
                // In the order in which they were begun.
                let [never, mut whole, mut named, mut half, mut too] =
                    [(); 5].map(|()| listener.accept().unwrap().0);
                whole.write_all(b"whole").unwrap();
                named.write_all(b"called off by its own name").unwrap();
                half.write_all(b"half a").unwrap();
                too.write_all(b"too").unwrap();
                drop((whole, named, too));
                cancel.task(2);
                cancel.all();
                (never, half)
            });
            let observer = Arc::new(Unobserved);
            let outcomes = client.fetch_all(&vec![request; 5], observer, &cancel);
            drop(server.join());
            outcomes
        });
        let cancelled = Err(FetchFailure::Cancelled);
        let poems = outcomes
            .into_iter()
            .map(|outcome| outcome.poem.map_err(|it| it.failure));
        assert_eq!(
            poems.collect::<Vec<_>>(),
            [
                cancelled.clone(),
                Ok("whole".to_owned()),
                cancelled.clone(),
                cancelled,
                Ok("too".to_owned())
            ]
        );
    }
}
