//! The fifth model's cache: the poem, or the fetch that clients wait for. Each waiting connection asks for the result every
//! tick of its own loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use poetry::event::Scene;
use poetry::{Cancel, FetchEnd, Kind, Poem, ProxyService, Role};

use crate::client::fetch_for_proxy;
use crate::flaw::Flaw;
use crate::server::Shared;

/// What a proxy has fetched or is fetching.
#[derive(Default)]
pub(crate) struct Cache {
    state: Mutex<State>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    cached: Option<(Poem, Instant)>,
    fetch: Option<Arc<Fetch>>,
    fetches: u64,
    /// For the flaw that remembers a failure.
    failed: bool,
}

/// One fetch, and the number of clients that wait for it.
pub(crate) struct Fetch {
    cancel: Cancel,
    state: Mutex<FetchState>,
}

#[derive(Default)]
struct FetchState {
    waiting: usize,
    /// The poem, or nothing if the fetch failed.
    result: Option<Option<Poem>>,
}

/// What a client finds in the cache.
pub(crate) enum Found {
    Poem(Poem),
    Fetch(Arc<Fetch>),
    Failure,
}

impl Cache {
    /// Returns the poem if it is fresh, or else the fetch to wait for, which may be a new one.
    pub(crate) fn join(&self, service: &ProxyService, shared: &Arc<Shared>) -> Found {
        let mut state = lock(&self.state);
        let is_fresh =
            |at: &Instant| shared.flaw == Flaw::IgnoresTimeToLive || service.is_fresh(at.elapsed());
        match &state.cached {
            Some((poem, at)) if is_fresh(at) => return Found::Poem(poem.clone()),
            _ => {}
        }
        if shared.flaw == Flaw::RemembersFailures && state.failed {
            return Found::Failure;
        }
        let running = state
            .fetch
            .clone()
            .filter(|_| shared.flaw != Flaw::FetchesForEach);
        let fetch = running.unwrap_or_else(|| {
            let fetch = Arc::new(Fetch {
                cancel: Cancel::new(),
                state: Mutex::default(),
            });
            shared.counters.fetch_begun();
            let number = state.fetches;
            state.fetches += 1;
            state.fetch = Some(Arc::clone(&fetch));
            let (shared, service) = (Arc::clone(shared), service.clone());
            let own = Arc::clone(&fetch);
            let thread = thread::spawn(move || run(&own, number, &service, &shared));
            lock(&self.threads).push(thread);
            fetch
        });
        lock(&fetch.state).waiting += 1;
        Found::Fetch(fetch)
    }

    /// A client no longer waits; the last one cancels the fetch.
    pub(crate) fn leave(&self, fetch: &Arc<Fetch>, shared: &Shared) {
        let mut state = lock(&self.state);
        let mut of_fetch = lock(&fetch.state);
        of_fetch.waiting -= 1;
        let is_last = match shared.flaw {
            Flaw::CancelsForOne => true,
            Flaw::FetchesForNobody => false,
            _ => of_fetch.waiting == 0,
        };
        if is_last && of_fetch.result.is_none() {
            of_fetch.result = Some(None);
            fetch.cancel.all();
            shared.counters.fetch_ended(FetchEnd::Cancelled);
            state.forget(fetch);
        }
    }

    /// Waits for the threads of all fetches.
    pub(crate) fn join_threads(&self) {
        for thread in lock(&self.threads).drain(..) {
            drop(thread.join());
        }
    }
}

impl State {
    fn forget(&mut self, fetch: &Arc<Fetch>) {
        let is_current = |current: &Arc<Fetch>| Arc::ptr_eq(current, fetch);
        if self.fetch.as_ref().is_some_and(is_current) {
            self.fetch = None;
        }
    }
}

impl Fetch {
    /// Returns the poem, or that the fetch failed, or nothing while it is under way.
    pub(crate) fn result(&self) -> Option<Option<Poem>> {
        lock(&self.state).result.clone()
    }
}

fn run(fetch: &Arc<Fetch>, number: u64, service: &ProxyService, shared: &Shared) {
    let reporter = shared.reporter.for_role(Role::PoemClient);
    let (limits, cancel, flaw) = (&shared.limits, &fetch.cancel, shared.flaw);
    let outcome = fetch_for_proxy(
        &service.upstream,
        number,
        limits,
        reporter.clone(),
        cancel,
        flaw,
    );
    let poem = outcome.poem.ok().and_then(|poem| {
        if shared.flaw == Flaw::CachesEmptyPoems {
            return Some(poem.into());
        }
        let accepted = ProxyService::accept(poem);
        if let Err(failure) = &accepted {
            let scene = Scene {
                task: number,
                ..Scene::default()
            };
            reporter.report(scene, Kind::Failed(failure.clone()));
        }
        accepted.ok()
    });
    let mut state = lock(&shared.cache.state);
    let mut of_fetch = lock(&fetch.state);
    if of_fetch.result.is_some() {
        return; // It was cancelled.
    }
    let end = match &poem {
        Some(poem) => {
            if shared.flaw != Flaw::NeverCaches {
                state.cached = Some((poem.clone(), Instant::now()));
            }
            FetchEnd::Cached
        }
        None => FetchEnd::Failed,
    };
    state.failed |= poem.is_none();
    shared.counters.fetch_ended(end);
    of_fetch.result = Some(poem);
    state.forget(fetch);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
