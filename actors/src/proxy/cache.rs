//! The cache of a proxy: one process that holds the poem, shares a fetch among its clients, and cancels it when all have
//! left. It monitors the clients that wait and the poet that fetches, and never calls the observer.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use poetry::{FetchEnd, FetchRequest, Poem, ProxyService, Role};

use crate::descriptors::Descriptors;
use crate::dial::Connect;
use crate::ledger::ConnectionContext;
use crate::listener::STOP_TIMEOUT;
use crate::messages::{Fetched, ToCache, ToClient};
use crate::monitor::{Down, MonitorId, Reason};
use crate::poem_client::{FetchSettings, get_poetry};
use crate::port::NoPort;
use crate::process::{ById, Me, Name, Next, Pid, Process, ProcessRef, Received};
use crate::supervisor::{Shutdown, Spec, Started};
use crate::tree::{ChildInfo, Children};

/// The name under which connections find the cache.
pub(super) const CACHE: Name = Name::new("cache");

/// Returns the spec of the cache in the listener's supervisor. `S` is the stream that its poets connect.
pub(super) fn spec<S: Connect>(service: ProxyService, context: Arc<ConnectionContext>) -> Spec {
    Spec::new(CACHE, move |me| {
        let cache = Cache::<S>::new(service.clone(), Arc::clone(&context));
        let cache = me.spawn_link_registered(CACHE, cache, NoPort)?;
        Ok(Started::supervisor(cache, ToCache::WhichChildren))
    })
    .shutdown(Shutdown::After(STOP_TIMEOUT))
}

struct Cache<S> {
    service: ProxyService,
    context: Arc<ConnectionContext>,
    settings: Arc<FetchSettings>,
    state: State,
    /// The number of the next fetch.
    next: usize,
    stream: PhantomData<fn() -> S>,
}

enum State {
    /// There is no poem, and no client waits.
    Empty,
    /// Clients wait for a poet.
    Fetching(Fetch),
    /// The poem arrived at this time.
    Cached(Poem, Duration),
}

struct Fetch {
    number: usize,
    poet: ProcessRef,
    /// The clients that wait, each monitored. There is always one.
    waiting: ById<(Pid<ToClient>, MonitorId)>,
}

impl<S: Connect> Cache<S> {
    fn new(service: ProxyService, context: Arc<ConnectionContext>) -> Self {
        let settings = FetchSettings {
            limits: context.limits.clone(),
            reporter: context.reporter.for_role(Role::PoemClient),
            descriptors: Descriptors::with_reserve(),
            accept: |mut poem| {
                // It was collected piece by piece, and is kept for long.
                poem.shrink_to_fit();
                ProxyService::accept(poem).map(String::from)
            },
        };
        Self {
            service,
            context,
            settings: Arc::new(settings),
            state: State::Empty,
            next: 0,
            stream: PhantomData,
        }
    }

    // ANCHOR: share_fetch
    // ANCHOR: ask_for_poem
    /// A client asks for the poem. It receives it at once, or waits for the fetch under way; the first one to wait starts it.
    fn get(&mut self, client: Pid<ToClient>, me: &mut Me<'_, Self>) {
        if let State::Cached(poem, arrived) = &self.state
            && self.service.is_fresh(me.now().saturating_sub(*arrived))
        {
            me.send(&client, ToClient::Poem(poem.clone()));
            return;
        }
        let process = client.process();
        if !process.is_alive() {
            return;
        }
        let monitor = me.monitor(&process);
        me.send(&client, ToClient::Wait);
        let waits = (client, monitor);
        match &mut self.state {
            State::Fetching(fetch) => {
                fetch.waiting.insert(process.id(), waits);
            }
            State::Empty | State::Cached(..) => {
                let waiting = [(process.id(), waits)].into_iter().collect();
                self.state = State::Fetching(self.fetch(waiting, me));
            }
        }
    }

    /// Starts a poet, which will send [`Fetched`].
    fn fetch(&mut self, waiting: ById<(Pid<ToClient>, MonitorId)>, me: &mut Me<'_, Self>) -> Fetch {
        let number = self.next;
        self.next += 1;
        self.context.counters.fetch_begun();
        let request = (number, FetchRequest::new(self.service.upstream.clone()));
        let poet = get_poetry::<S, _>(&me.arbiter(), &self.settings, request, me.pid()).process();
        me.monitor(&poet);
        Fetch {
            number,
            poet,
            waiting,
        }
    }
    // ANCHOR_END: ask_for_poem

    /// The poet has sent its message.
    fn fetched(&mut self, fetched: Fetched, me: &mut Me<'_, Self>) {
        match &self.state {
            State::Fetching(fetch) if fetch.number == fetched.task => {}
            // A fetch that was cancelled.
            _ => return,
        }
        match fetched.outcome.poem {
            Ok(poem) => {
                let poem = Poem::from(poem);
                self.tell(&ToClient::Poem(poem.clone()), FetchEnd::Cached, me);
                self.state = State::Cached(poem, me.now());
            }
            Err(_) => self.tell(&ToClient::NoPoem, FetchEnd::Failed, me),
        }
    }

    /// Ends the fetch and sends every client that waits for it the same answer.
    fn tell(&mut self, answer: &ToClient, end: FetchEnd, me: &mut Me<'_, Self>) {
        if let State::Fetching(fetch) = std::mem::replace(&mut self.state, State::Empty) {
            self.context.counters.fetch_ended(end);
            for (client, monitor) in fetch.waiting.into_values() {
                me.demonitor(monitor, &client.process());
                me.send(&client, answer.clone());
            }
        }
    }
    // ANCHOR_END: share_fetch

    // ANCHOR: leave
    /// A client that waited has left; the last one cancels the fetch. Or the poet is down; if it sent a message, that has
    /// arrived before, so it has crashed.
    fn down(&mut self, down: &Down, me: &mut Me<'_, Self>) {
        let State::Fetching(fetch) = &mut self.state else {
            return;
        };
        if down.process == fetch.poet.id() {
            self.tell(&ToClient::NoPoem, FetchEnd::Failed, me);
        } else if fetch.waiting.remove(&down.process).is_some() && fetch.waiting.is_empty() {
            self.cancel(FetchEnd::Cancelled, me);
        }
    }

    /// Asks the poet to exit, which closes its connection at once. Whatever it sends is no longer expected.
    fn cancel(&mut self, end: FetchEnd, me: &mut Me<'_, Self>) {
        if let State::Fetching(fetch) = std::mem::replace(&mut self.state, State::Empty) {
            me.exit(&fetch.poet, Reason::Shutdown);
            self.context.counters.fetch_ended(end);
        }
    }
    // ANCHOR_END: leave

    fn which_children(&self) -> Children {
        let (about, poet) = match &self.state {
            State::Empty => ("empty".to_owned(), None),
            State::Cached(poem, _) => {
                let bytes = poem.as_bytes().len();
                (format!("a poem of {bytes} bytes"), None)
            }
            State::Fetching(fetch) => {
                let waiting = fetch.waiting.len();
                (format!("waiting clients: {waiting}"), Some(&fetch.poet))
            }
        };
        let child = |poet: &ProcessRef| ChildInfo {
            name: poet.name(),
            process: Some(poet.clone()),
            notes: String::new(),
            restarted: None,
            which_children: None,
        };
        Children {
            about,
            children: poet.into_iter().map(child).collect(),
            more: 0,
        }
    }
}

impl<S: Connect> Process for Cache<S> {
    type Message = ToCache;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToCache::Get(client)) => self.get(client, me),
            Received::Message(ToCache::Fetched(fetched)) => self.fetched(fetched, me),
            Received::Message(ToCache::WhichChildren(reply)) => reply.send(self.which_children()),
            Received::Down(down) => self.down(&down, me),
            Received::Exit(_) | Received::Timeout => {}
            Received::Port(never) => match never {},
        }
        Next::Receive
    }

    /// A poet does not outlive its cache. The clients that wait monitor the cache.
    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        let end = match reason {
            Reason::Crash(_) => FetchEnd::Failed,
            _ => FetchEnd::Cancelled,
        };
        self.cancel(end, me);
    }
}
