//! The poem that a proxy has, and the one fetch that its clients share: a mutex over the state of both, and a condition
//! variable for each client, so that what happens to one client wakes no thread of another.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::{Cancel, CloseReason, Poem, ProxyService};

use super::seat::{Outcome, Seat};

/// The cached poem, or the fetch that clients wait for.
#[derive(Debug)]
pub(crate) struct Cache {
    service: ProxyService,
    state: Mutex<State>,
    /// The thread that fetches waits here until a fetch is wanted.
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<Cached>,
    /// The fetch that a client without a poem joins. It is gone once it has ended or the last client has left it.
    fetch: Option<Fetch>,
    /// Numbers given to fetches and to clients, to tell them from earlier ones.
    numbers: u64,
    stopping: bool,
}

#[derive(Debug)]
struct Cached {
    poem: Poem,
    arrived: Duration,
}

/// A fetch that is wanted or under way.
#[derive(Debug)]
struct Fetch {
    number: u64,
    under_way: bool,
    cancel: Cancel,
    /// The clients that wait for it, at least one.
    seats: HashMap<u64, Arc<Seat>>,
}

/// What a client finds.
#[derive(Debug)]
pub(crate) enum Found<'c> {
    /// A poem that is fresh.
    Cached(Poem),
    /// None: the client waits for the fetch.
    Waiting(Place<'c>),
}

/// A client's place among those that wait for a fetch. Dropping it leaves the fetch.
#[derive(Debug)]
pub(crate) struct Place<'c> {
    cache: &'c Cache,
    fetch: u64,
    client: u64,
    seat: Arc<Seat>,
}

/// A fetch that clients wait for, as the thread that does it sees it.
#[derive(Debug)]
pub(crate) struct Wanted {
    number: u64,
    /// Cancelled when the last client leaves.
    pub(crate) cancel: Cancel,
}

impl Cache {
    /// Creates an empty cache.
    pub(crate) fn new(service: ProxyService) -> Self {
        Self {
            service,
            state: Mutex::default(),
            wanted: Condvar::new(),
        }
    }

    /// Returns the service.
    pub(crate) fn service(&self) -> &ProxyService {
        &self.service
    }

    // ANCHOR: share_fetch
    // ANCHOR: find_seat
    /// Finds the poem for one client. Without a fresh one, the client joins the fetch; the first to miss makes it wanted.
    pub(crate) fn find(&self, now: Duration) -> Found<'_> {
        let mut state = self.state();
        let fresh = |cached: &&Cached| {
            let age = now.saturating_sub(cached.arrived);
            self.service.is_fresh(age)
        };
        if let Some(Cached { poem, .. }) = state.cached.as_ref().filter(fresh) {
            return Found::Cached(poem.clone());
        }
        state.cached = None;
        let client = state.next_number();
        let fetch = match &mut state.fetch {
            Some(fetch) => fetch,
            None => {
                self.wanted.notify_one();
                let number = state.next_number();
                state.fetch.insert(Fetch::wanted(number))
            }
        };
        let seat = Arc::new(Seat::default());
        fetch.seats.insert(client, Arc::clone(&seat));
        Found::Waiting(Place {
            cache: self,
            fetch: fetch.number,
            client,
            seat,
        })
    }
    // ANCHOR_END: find_seat

    /// Waits until clients want a fetch that is not under way. Returns `None` once the server stops.
    pub(crate) fn next_wanted(&self) -> Option<Wanted> {
        let mut state = self.state();
        while !state.stopping {
            if let Some(fetch) = state.fetch.as_mut().filter(|fetch| !fetch.under_way) {
                fetch.under_way = true;
                return Some(Wanted {
                    number: fetch.number,
                    cancel: fetch.cancel.clone(),
                });
            }
            state = (self.wanted.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Caches the poem that a fetch has brought at `now`, or nothing if it failed, and tells every client that waits for it.
    pub(crate) fn end(&self, wanted: &Wanted, fetched: Option<Poem>, now: Duration) {
        let mut state = self.state();
        if let Some(poem) = fetched.clone() {
            state.cached = Some(Cached { poem, arrived: now });
        }
        // If the last client has left, others may want a later fetch already. It has not begun, since one thread fetches; so
        // they get a poem that has arrived after all.
        let ended = match &fetched {
            Some(_) => state.fetch.take(),
            None => state.fetch.take_if(|fetch| fetch.number == wanted.number),
        };
        drop(state);
        for seat in ended.iter().flat_map(|fetch| fetch.seats.values()) {
            seat.tell(match &fetched {
                Some(poem) => Outcome::Arrived(poem.clone()),
                None => Outcome::Closed(CloseReason::Upstream),
            });
        }
    }
    // ANCHOR_END: share_fetch

    /// Ends [`next_wanted`](Self::next_wanted) for good.
    pub(crate) fn stop(&self) {
        self.state().stopping = true;
        self.wanted.notify_all();
    }

    // ANCHOR: leave
    /// Removes a client from the fetch it waits for. The last one takes the fetch with it: it is cancelled at once, and the
    /// next client wants another.
    fn leave(&self, place: &Place<'_>) {
        let mut state = self.state();
        let Some(fetch) = (state.fetch.as_mut()).filter(|fetch| fetch.number == place.fetch) else {
            return; // The fetch has ended.
        };
        fetch.seats.remove(&place.client);
        let abandoned = state.fetch.take_if(|fetch| fetch.seats.is_empty());
        drop(state);
        if let Some(fetch) = abandoned {
            fetch.cancel.all();
        }
    }
    // ANCHOR_END: leave

    /// The state is consistent whenever its lock is free, so a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Fetch {
    fn wanted(number: u64) -> Self {
        Self {
            number,
            under_way: false,
            cancel: Cancel::new(),
            seats: HashMap::new(),
        }
    }
}

impl Place<'_> {
    /// Returns where the client waits.
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.cache.leave(self);
    }
}

#[cfg(test)]
mod tests;
