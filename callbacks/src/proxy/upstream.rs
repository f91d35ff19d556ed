//! Where a cache gets its poem from: in the first reactor of a server from the upstream server, in the others from the
//! first one. So there is one fetch for the whole server, in the first reactor.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use poetry::{FetchEnd, FetchFailure, Kind, Limits, Poem, ProxyService, Reporter, Role};

use super::cache::{Cache, Shelf};
use crate::deferred::{Control, Deferred, Trigger, maybe_deferred};
use crate::failure::{Abandoned, Failure};
use crate::log;
use crate::poem_client::collect_poem;
use crate::reactor::{Inlet, Reactor};
use crate::server_state::ServerState;
use crate::task::{Task, fetch_failure};

/// What the reactors of a proxy share.
#[derive(Default)]
pub(crate) struct Shared {
    shelf: Arc<Shelf>,
    /// Leads to the first reactor, which fetches.
    first: OnceLock<Inlet<Ask>>,
}

/// Returns the cache of the first reactor.
pub(super) fn fetching_cache(
    reactor: &Reactor,
    service: ProxyService,
    state: &Rc<ServerState>,
    shared: &Arc<Shared>,
) -> Rc<Cache> {
    let upstream = Rc::new(Upstream {
        reactor: reactor.clone(),
        service: service.clone(),
        limits: Rc::new(state.limits.clone()),
        reporter: state.reporter.for_role(Role::PoemClient),
        state: Rc::clone(state),
        shelf: Arc::clone(&shared.shelf),
        fetches: Cell::new(0),
    });
    let fetch = Box::new(move || upstream.fetch());
    let cache = Cache::new(service, &shared.shelf, reactor.clock(), fetch);
    // Clients that wait could otherwise hold every descriptor, and the fetch that they wait for would have none.
    reactor.keep_spare_descriptor();
    let _ = shared.first.set(answers(reactor, &cache));
    cache
}

/// The upstream server.
struct Upstream {
    reactor: Reactor,
    service: ProxyService,
    limits: Rc<Limits>,
    reporter: Reporter,
    state: Rc<ServerState>,
    shelf: Arc<Shelf>,
    /// The number of fetches begun.
    fetches: Cell<u64>,
}

impl Upstream {
    /// Fetches the poem, as a poem client does, and shelves it.
    fn fetch(self: &Rc<Self>) -> Deferred<Poem> {
        let number = self.fetches.replace(self.fetches.get() + 1);
        let worker = self.state.scene().worker;
        let task = Task::begin(&self.reactor, &self.limits, &self.reporter, worker, number);
        self.state.counters.fetch_begun();
        let (upstream, ending) = (Rc::clone(self), Rc::clone(&task));
        // A panic of the observer is a failure of the fetch: it leaves no client waiting.
        maybe_deferred(|| {
            let poem = collect_poem(&self.reactor, &self.service.upstream, &task);
            let poem = poem.add_callback(|poem| Ok(ProxyService::accept(poem.into())?));
            task.bound(&self.reactor, poem)
        })
        .add_both(move |result| upstream.end(&ending, result))
    }

    fn end(&self, task: &Task, result: Result<Poem, Failure>) -> Result<Poem, Failure> {
        let result = result.map_err(fetch_failure);
        let end = match &result {
            Ok(poem) => {
                if self.service.is_fresh(Duration::ZERO) {
                    self.shelf.put(poem.clone(), self.reactor.clock().now());
                }
                FetchEnd::Cached
            }
            Err(FetchFailure::Cancelled) => FetchEnd::Cancelled,
            Err(_) => FetchEnd::Failed,
        };
        self.state.counters.fetch_ended(end);
        if let Err(failure) = &result {
            log::contained(|| task.report(Kind::Failed(failure.clone())));
        }
        result.map_err(Failure::from)
    }
}

/// A question to the first reactor. Two numbers name it: the asking reactor's, and one that this reactor has chosen.
enum Ask {
    /// Asks for the poem.
    Poem((u32, u64), Inlet<Answer>),
    /// No client waits for the answer any more.
    Leave((u32, u64)),
}

/// The answer to the question of this number.
type Answer = (u64, Result<Poem, FetchFailure>);
/// A question of this number, and what its answer fires.
type Question = (u64, Trigger<Poem>);

/// Answers the questions of other reactors. To the first reactor's cache each is one more client.
fn answers(reactor: &Reactor, cache: &Rc<Cache>) -> Inlet<Ask> {
    let (cache, asked) = (Rc::clone(cache), Rc::new(RefCell::new(BTreeMap::new())));
    reactor.inlet(move |_, ask| match ask {
        Ask::Poem(key, answer) => {
            let poem = cache.poem();
            asked.borrow_mut().insert(key, poem.control());
            let asked = Rc::clone(&asked);
            // The callback may run at once.
            drop(poem.add_both(move |result| {
                forget(&asked, key);
                // It fails if the asking reactor has ended.
                let _ = answer.send((key.1, result.map_err(fetch_failure)));
                Ok(())
            }));
        }
        Ask::Leave(key) => {
            if let Some(poem) = forget(&asked, key) {
                poem.cancel();
            }
        }
    })
}

fn forget(asked: &RefCell<BTreeMap<(u32, u64), Control>>, key: (u32, u64)) -> Option<Control> {
    asked.borrow_mut().remove(&key)
}

/// Returns the cache of another reactor. The first one must have its cache before a client comes to this one.
pub(super) fn asking_cache(
    reactor: &Reactor,
    service: ProxyService,
    state: &Rc<ServerState>,
    shared: &Arc<Shared>,
) -> Rc<Cache> {
    let asked = Rc::new(Cell::new(None::<Question>));
    let waiting = Rc::clone(&asked);
    let answer = reactor.inlet(move |_, (number, result): Answer| match waiting.take() {
        Some((asked, trigger)) if asked == number => trigger.fire(result.map_err(Failure::from)),
        // The answer to a question that was left meanwhile.
        other => waiting.set(other),
    });
    let asking = Rc::new(Asking {
        worker: state.scene().worker,
        shared: Arc::clone(shared),
        answer,
        asked,
        next: Cell::new(0),
    });
    let fetch = Box::new(move || asking.ask());
    Cache::new(service, &shared.shelf, reactor.clock(), fetch)
}

/// Asks the first reactor.
struct Asking {
    worker: u32,
    shared: Arc<Shared>,
    answer: Inlet<Answer>,
    /// The last question, until it is answered.
    asked: Rc<Cell<Option<Question>>>,
    /// The number of the next question.
    next: Cell<u64>,
}

impl Asking {
    fn ask(&self) -> Deferred<Poem> {
        let number = self.next.replace(self.next.get() + 1);
        let key = (self.worker, number);
        let ask = Ask::Poem(key, self.answer.clone());
        let first = self.shared.first.get().cloned();
        let asked = first.as_ref().is_some_and(|first| first.send(ask).is_ok());
        if !asked {
            return Deferred::fail(Abandoned); // The first reactor has ended.
        }
        let (trigger, poem) = Deferred::with_canceller(move || {
            if let Some(first) = first {
                // It fails if the first reactor has ended.
                let _ = first.send(Ask::Leave(key));
            }
            None
        });
        self.asked.set(Some((number, trigger)));
        poem
    }
}
