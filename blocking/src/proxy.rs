//! The caching proxy (S9): serves the poem of another server, which one fetch brings for any number of clients.
//!
//! A client that finds the poem is served as by a fast poem server. Otherwise its thread waits on a condition variable,
//! until the poem has arrived, the fetch has failed, or the client has left. A thread waits for one thing at a time; so a
//! second one reads from the client meanwhile and tells the first when the client has left (`watch.rs`).

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use poetry::event::{Scene, Unobserved};
use poetry::limits::ACCEPT_RETRY;
use poetry::{
    CloseReason, Counters, FetchEnd, FetchFailure, FetchRequest, Kind, Observer, Options, Pace,
    Poem, ProxyService, Reporter, Role, panics,
};

use crate::connection::Connection;
use crate::context::Shared;
use crate::deadlines::Wire;
use crate::descriptors::Descriptors;
use crate::permits::PERMITS;
use crate::poem_client::{fetch_poem, with_context};
use crate::poem_server::send_poem;
use crate::server::RunningServer;
use crate::server_state::ServeConnection;
use crate::{NAME, default_options, net, workers};

use cache::{Cache, Found, Place, Wanted};
use seat::Outcome;
use watch::SecondThreads;

mod cache;
mod seat;
mod watch;

/// Serves the poem of `service.upstream` to every connection of `listener`, with a thread for each connection and a second
/// one for each client that waits for a fetch, within the default limits.
///
/// # Errors
/// Fails if the system refuses a resource, such as a thread.
pub fn serve_proxy(listener: TcpListener, service: ProxyService) -> io::Result<RunningServer> {
    let options = default_options();
    serve_proxy_with(listener, service, None, &options, Arc::new(Unobserved))
}

/// As [`serve_proxy`], within the limits of `options`, with its events reported to `observer`. If `pool` is set, that many
/// threads serve the connections, as [`Blocking::pool`](crate::Blocking::pool) says; a client that waits for a fetch holds
/// one of them, and has a second thread beside the pool.
///
/// Second threads are limited, so that there are always threads for the connections that `options` or `pool` allow (T1). A
/// waiting client without one gets the poem up to [`ACCEPT_RETRY`] late.
///
/// # Errors
/// As [`serve_proxy`]; also if `pool` is more than the threads that a process may have.
pub fn serve_proxy_with(
    listener: TcpListener,
    service: ProxyService,
    pool: Option<NonZeroUsize>,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let reporter = Reporter::new(NAME, Role::Proxy, options.clock.clone(), observer);
    let first_threads = pool.map_or(options.limits.connections_max, NonZeroUsize::get);
    let second_threads = SecondThreads::beside(first_threads);
    let proxy = Proxy::start(service, second_threads, options, &reporter)?;
    RunningServer::start(listener, proxy, pool, options.limits.clone(), reporter)
}

/// A proxy's cache, and the thread that fetches into it.
#[derive(Debug)]
struct Proxy {
    fetcher: Arc<Fetcher>,
    second_threads: SecondThreads,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Starts the thread that fetches.
    fn start(
        service: ProxyService,
        second_threads: SecondThreads,
        options: &Options,
        reporter: &Reporter,
    ) -> io::Result<Self> {
        let upstream = service.upstream.addresses().unwrap_or_default();
        let shared = Shared {
            descriptors: Descriptors::with_spares(upstream),
            ..Shared::default()
        };
        let fetcher = Arc::new(Fetcher {
            shared: Arc::new(shared),
            cache: Cache::new(service),
            options: options.clone(),
            reporter: reporter.for_role(Role::PoemClient),
            counters: Counters::default(),
        });
        let of_thread = Arc::clone(&fetcher);
        let thread = workers::spawn(&PERMITS, move || of_thread.run())?;
        Ok(Self {
            fetcher,
            second_threads,
            thread: Mutex::new(Some(thread)),
        })
    }
}

impl ServeConnection for Proxy {
    const BEGINS_IN_FLIGHT: bool = true;

    fn serve<W: Wire>(&self, connection: &mut Connection<'_, W>) -> CloseReason {
        let found = self.fetcher.cache.find(connection.wire.now());
        // Counted now that the client waits, so that the counts tell how many clients share a fetch.
        connection.ledger.request();
        match found {
            Found::Cached(poem) => send_poem(&poem, Pace::Fast, connection),
            Found::Waiting(place) => wait(&place, &self.second_threads, connection),
        }
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.fetcher.counters)
    }

    /// Ends the thread that fetches, and waits for it (T3).
    fn end(&self) {
        self.fetcher.cache.stop();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            workers::join(thread);
        }
    }
}

/// A server that did not start, or was not shut down, leaves no thread behind either.
impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for the fetch, and sends the poem. If there is no second thread to be had, the only one reads from the client
/// itself, and asks for a second one again every [`ACCEPT_RETRY`].
fn wait<W: Wire>(
    place: &Place<'_>,
    second_threads: &SecondThreads,
    connection: &mut Connection<'_, W>,
) -> CloseReason {
    loop {
        if let Ok(reason) = watch::wait_watched(place.seat(), second_threads, connection) {
            return reason;
        }
        match place.seat().outcome() {
            Some(Outcome::Arrived(poem)) => return send_poem(&poem, Pace::Fast, connection),
            Some(Outcome::Closed(reason)) => return reason,
            None => {}
        }
        let retry = connection.wire.now().saturating_add(ACCEPT_RETRY);
        match connection.discard_until(retry) {
            Ok(false) => {}
            Ok(true) => return CloseReason::Left,
            Err(reason) => return reason,
        }
    }
}

/// The thread that fetches: one fetch after another, for all clients together.
#[derive(Debug)]
struct Fetcher {
    cache: Cache,
    /// What its fetches share: the spare socket.
    shared: Arc<Shared>,
    options: Options,
    reporter: Reporter,
    counters: Counters,
}

impl Fetcher {
    /// Fetches whenever clients want it, until the server stops.
    fn run(&self) {
        let mut number = 0;
        while let Some(wanted) = self.cache.next_wanted() {
            self.counters.fetch_begun();
            let fetched = self.fetch(number, &wanted);
            number += 1;
            self.counters.fetch_ended(match &fetched {
                Ok(_) => FetchEnd::Cached,
                Err(Some(FetchFailure::Cancelled)) => FetchEnd::Cancelled,
                Err(_) => FetchEnd::Failed,
            });
            self.cache.end(&wanted, fetched.ok(), net::now());
        }
    }

    /// Fetches the poem once, as a client does.
    ///
    /// # Errors
    /// Returns the failure; none if the observer panicked, which must not leave clients waiting.
    fn fetch(&self, number: u64, wanted: &Wanted) -> Result<Poem, Option<FetchFailure>> {
        let request = FetchRequest::new(self.cache.service().upstream.clone());
        let reporter = self.reporter.clone();
        let fetched = panics::contain(|| {
            let (options, cancel, shared) = (&self.options, &wanted.cancel, &self.shared);
            with_context(options, reporter, number, cancel, shared, |context| {
                fetch_poem(&request, context).and_then(ProxyService::accept)
            })
        });
        match fetched {
            Ok(fetched) => fetched.map_err(Some),
            Err(message) => {
                let scene = Scene {
                    task: number,
                    ..Scene::default()
                };
                // An observer that panicked may well panic again.
                let panicked = Kind::Panicked(message);
                let _ = panics::contain(|| self.reporter.report(scene, panicked));
                Err(None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
