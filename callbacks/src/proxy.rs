//! The caching proxy (S9): fetches one poem from an upstream server, for any number of clients at once, and serves it as a
//! poem server does. `proxy/cache.rs` holds the poem and the clients that wait for it; `proxy/upstream.rs` fetches it.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use poetry::event::Wait;
use poetry::{CloseReason, Kind, Pace, Poem, PoemService, ProxyService, Role};

use self::cache::{Cache, Place};
use crate::connection_guard::{ConnectionGuard, reason_of};
use crate::connection_limit::LimitedAcceptor;
use crate::poem_server::PoemProtocol;
use crate::protocol::{Address, Factory, Lost, Protocol, Side};
use crate::reactor::{Port, Reactor, Transport};
use crate::server_state::ServerState;
use crate::watched::watched_factory;

mod cache;
mod upstream;

pub(crate) use upstream::Shared;

/// Serves the poem of an upstream server on `listener` in this reactor, with the default limits. It is fetched when the first
/// client comes.
///
/// ```
/// use callbacks::{Deferred, Pace, Poem, PoemService, ProxyService, Reactor};
/// use callbacks::{gather_results, get_poetry, serve_poem, serve_proxy};
/// use std::net::TcpListener;
///
/// let (reactor, any) = (Reactor::open()?, "127.0.0.1:0");
/// let service = PoemService { poem: Poem::from("Ahoy"), pace: Pace::Fast };
/// let upstream = serve_poem(&reactor, TcpListener::bind(any)?, service)?;
/// let service = ProxyService { upstream: upstream.address().into(), ttl: None };
/// let proxy = serve_proxy(&reactor, TcpListener::bind(any)?, service)?;
///
/// let poems = (0..3).map(|_| get_poetry(&reactor, proxy.address())).collect();
/// let context = reactor.clone();
/// let poems = gather_results(poems).add_both(move |poems| {
///     context.stop()?;
///     poems
/// });
/// reactor.run().unwrap();
/// assert_eq!(poems.take_result().unwrap().unwrap(), ["Ahoy"; 3].map(Poem::from));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_proxy(
    reactor: &Reactor,
    listener: TcpListener,
    service: ProxyService,
) -> io::Result<Port> {
    serve_proxy_with(
        reactor,
        listener,
        service,
        &ServerState::unobserved(Role::Proxy),
    )
}

/// As [`serve_proxy`], with the limits and the observer of `state`.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_proxy_with(
    reactor: &Reactor,
    listener: TcpListener,
    service: ProxyService,
    state: &Rc<ServerState>,
) -> io::Result<Port> {
    let factory = proxy_factory(reactor, service, state);
    LimitedAcceptor::listen(reactor, listener, factory, state, Vec::new())
}

/// Returns the factory of the server's protocols, to serve connections that another port has accepted. The poem is fetched
/// in `reactor`.
pub fn proxy_factory(
    reactor: &Reactor,
    service: ProxyService,
    state: &Rc<ServerState>,
) -> Rc<dyn Factory> {
    fetching_factory(reactor, service, state, &Arc::default())
}

/// Returns the factory of the reactor that fetches, also for the other reactors of `shared`.
pub(crate) fn fetching_factory(
    reactor: &Reactor,
    service: ProxyService,
    state: &Rc<ServerState>,
    shared: &Arc<Shared>,
) -> Rc<dyn Factory> {
    let cache = upstream::fetching_cache(reactor, service, state, shared);
    factory_of(cache, state)
}

/// Returns the factory of a reactor that has the poem fetched by the first one.
pub(crate) fn asking_factory(
    reactor: &Reactor,
    service: ProxyService,
    state: &Rc<ServerState>,
    shared: &Arc<Shared>,
) -> Rc<dyn Factory> {
    let cache = upstream::asking_cache(reactor, service, state, shared);
    factory_of(cache, state)
}

fn factory_of(cache: Rc<Cache>, state: &Rc<ServerState>) -> Rc<dyn Factory> {
    let factory = ProxyFactory {
        cache,
        state: Rc::clone(state),
    };
    watched_factory(Rc::new(factory), state)
}

/// Builds the protocol of each client.
struct ProxyFactory {
    cache: Rc<Cache>,
    state: Rc<ServerState>,
}

impl Factory for ProxyFactory {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let Side::Accepted { serial } = address.side else {
            return None;
        };
        let mut guard = ConnectionGuard::new(&self.state, serial);
        guard.on_requests(1);
        let waiting = Some(Waiting {
            cache: Rc::clone(&self.cache),
            guard,
            place: None,
            reason: None,
        });
        let sending = None;
        Some(Box::new(ProxyProtocol { waiting, sending }))
    }
}

/// One client: first it waits, then it is sent the poem.
struct ProxyProtocol {
    waiting: Option<Waiting>,
    sending: Option<PoemProtocol>,
}

/// A client that waits for the poem.
struct Waiting {
    cache: Rc<Cache>,
    guard: ConnectionGuard,
    /// Dropping it leaves the cache, however the connection ends.
    place: Option<Place>,
    /// Why the connection ends, once that is known.
    reason: Option<CloseReason>,
}

impl ProxyProtocol {
    fn poem_arrived(&mut self, transport: &Transport, poem: Poem) {
        if let Some(waiting) = self.waiting.take() {
            let pace = Pace::Fast;
            let service = Rc::new(PoemService { poem, pace });
            let sending = PoemProtocol::new(service, waiting.guard);
            self.sending.insert(sending).begin(transport);
        }
    }

    fn fetch_failed(&mut self, transport: &Transport) {
        if let Some(waiting) = &mut self.waiting {
            waiting.end(transport, CloseReason::Upstream);
        }
    }
}

impl Waiting {
    /// Resets the connection: FIN would be an empty poem (S9).
    fn end(&mut self, transport: &Transport, reason: CloseReason) {
        self.reason = Some(reason);
        transport.abort_connection();
    }
}

impl Protocol for ProxyProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        waiting.guard.report(transport, Kind::Accepted);
        if waiting.guard.state.is_shutting_down() {
            waiting.guard.delay_shutdown();
        }
        waiting.place = Some(waiting.cache.join(transport));
        self.woken(transport); // The poem may be there already.
    }

    fn woken(&mut self, transport: &Transport) {
        let place = self.waiting.as_mut().and_then(|it| it.place.as_mut());
        match place.and_then(Place::take_result) {
            Some(Ok(poem)) => self.poem_arrived(transport, poem),
            Some(Err(_)) => self.fetch_failed(transport),
            None => {}
        }
    }

    /// What a client sends is discarded.
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        if let Some(waiting) = &self.waiting {
            waiting.guard.on_bytes_read(transport, data.len());
        } else if let Some(sending) = &mut self.sending {
            sending.data_received(transport, data);
        }
    }

    /// A client that waits and has finished sending has left; to one that is sent the poem, FIN means nothing (S9).
    fn read_connection_lost(&mut self, transport: &Transport) {
        if let Some(waiting) = &mut self.waiting {
            waiting.end(transport, CloseReason::Left);
        } else if let Some(sending) = &mut self.sending {
            sending.read_connection_lost(transport);
        }
    }

    fn resume_producing(&mut self, transport: &Transport) {
        if let Some(sending) = &mut self.sending {
            sending.resume_producing(transport);
        }
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        if let Some(sending) = &mut self.sending {
            sending.timeout_connection(transport);
        }
    }

    fn shut_down(&mut self, transport: &Transport) {
        if let Some(waiting) = &mut self.waiting {
            waiting.guard.delay_shutdown();
        } else if let Some(sending) = &mut self.sending {
            sending.shut_down(transport);
        }
    }

    fn connection_lost(&mut self, transport: &Transport, lost: Lost) {
        if let Some(waiting) = &mut self.waiting {
            let reason = waiting.reason.unwrap_or_else(|| reason_of(&lost));
            waiting.guard.on_closed(transport, reason);
        } else if let Some(sending) = &mut self.sending {
            sending.connection_lost(transport, lost);
        }
    }

    fn waits_for(&self, transport: &Transport) -> Wait {
        match &self.sending {
            None => Wait::Task,
            Some(sending) => sending.waits_for(transport),
        }
    }
}
