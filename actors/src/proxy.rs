//! The caching proxy (S9): speaks S1 to its clients and fetches from one upstream server. A connection asks the `cache`,
//! one process for the whole server, and receives the poem as a message; then it is a connection of a poem server.

mod cache;

use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::sync::Arc;

use poetry::event::{Unobserved, Wait};
use poetry::{CloseReason, Observer, Options, Pace, Poem, PoemService, ProxyService, Role};

use crate::ledger::{ConnectionContext, Ledger};
use crate::listener::{self, Protocol, RunningServer};
use crate::messages::{ToCache, ToClient};
use crate::monitor::{MonitorId, Reason};
use crate::net::Socket;
use crate::poem_server::Recital;
use crate::port::{Stream, Tcp, TcpEvent};
use crate::process::{Me, Next, Process, ProcessRef, Received, Turn};
use crate::supervisor::Spec;
use cache::CACHE;

/// Serves the poem of another server on `listener` until this server is shut down or dropped: in one thread, with the
/// default limits.
///
/// ```
/// use actors::{Pace, PoemService, ProxyService, Server, serve_poem, serve_proxy};
/// use std::net::TcpListener;
///
/// let slow = PoemService { poem: "Stars fall.".into(), pace: Pace::SLOW };
/// let upstream = serve_poem(TcpListener::bind("127.0.0.1:0")?, slow)?;
/// let service = ProxyService { upstream: upstream.address().into(), ttl: None };
/// let proxy = serve_proxy(TcpListener::bind("127.0.0.1:0")?, service)?;
/// println!("Serving the poem of {} on {}", upstream.address(), proxy.address());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system refused a thread or a descriptor.
pub fn serve_proxy(listener: TcpListener, service: ProxyService) -> io::Result<RunningServer> {
    let options = crate::default_options();
    serve_proxy_with(listener, service, &options, Arc::new(Unobserved))
}

/// Serves the poem of another server with the given threads, limits and clock, and reports events to `observer`: those of
/// its connections, and those of its fetches, in the role of the poem client.
///
/// # Errors
/// As [`serve_proxy`].
pub fn serve_proxy_with(
    listener: TcpListener,
    service: ProxyService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let protocol = Proxied(service);
    listener::serve(listener, protocol, Role::Proxy, options, observer)
}

#[derive(Clone)]
struct Proxied(ProxyService);

impl Protocol for Proxied {
    type Connection<S: Stream> = Connection<S>;

    fn connection<S: Stream>(&self, ledger: Ledger) -> Connection<S> {
        Connection {
            ledger,
            phase: Phase::Asking,
            stream: PhantomData,
        }
    }

    fn shared(&self, context: &Arc<ConnectionContext>) -> Vec<Spec> {
        vec![cache::spec::<Socket>(self.0.clone(), Arc::clone(context))]
    }
}

/// The process of one connection.
struct Connection<S> {
    ledger: Ledger,
    phase: Phase,
    stream: PhantomData<fn() -> S>,
}

enum Phase {
    /// It has no cache to wait for yet.
    Asking,
    /// It waits for a message of the cache, which it monitors.
    Waiting(ProcessRef, MonitorId),
    /// It sends the poem.
    Reciting(Recital),
    /// It closes without a poem.
    Ended(CloseReason),
}

impl<S: Stream> Connection<S> {
    /// Asks the cache for the poem. Until its first message it is not known whether a FIN means that the client has left, so
    /// nothing is read.
    fn ask(&mut self, me: &mut Me<'_, Self>) -> Next {
        let Some(cache) = me.node().whereis(CACHE) else {
            // It has crashed, and is not restarted yet.
            return self.close(CloseReason::Upstream);
        };
        me.port.set_active(false);
        let monitor = me.monitor(&cache.process());
        self.phase = Phase::Waiting(cache.process(), monitor);
        me.send(&cache, ToCache::Get(me.pid()));
        Next::Receive
    }

    /// The cache has answered, or it is down.
    fn answered(&mut self, answer: ToClient, me: &mut Me<'_, Self>) -> Next {
        let Phase::Waiting(cache, monitor) = &self.phase else {
            return Next::Receive;
        };
        match answer {
            ToClient::Wait => {
                me.port.set_active(true);
                Next::Receive
            }
            ToClient::Poem(poem) => {
                me.demonitor(*monitor, cache);
                self.recite(poem, me)
            }
            ToClient::NoPoem => self.close(CloseReason::Upstream),
        }
    }

    fn recite(&mut self, poem: Poem, me: &mut Me<'_, Self>) -> Next {
        let pace = Pace::Fast;
        let recital = Recital::new(PoemService { poem, pace }, self.ledger.clone());
        me.port.set_active(true);
        self.phase = Phase::Reciting(recital);
        match &mut self.phase {
            Phase::Reciting(recital) => recital.begin(me),
            _ => Next::Receive,
        }
    }

    /// Handles an event of the port while the client waits. What it sends is discarded.
    fn waiting(&mut self, event: &TcpEvent<'_>) -> Next {
        match event {
            TcpEvent::Data(bytes) => {
                self.ledger.read(bytes.len());
                Next::Receive
            }
            TcpEvent::Closed => self.close(CloseReason::Left),
            TcpEvent::Error(_) => self.close(CloseReason::Reset),
            TcpEvent::Kept(_) | TcpEvent::Writable | TcpEvent::Looked { .. } => Next::Receive,
        }
    }

    fn close(&mut self, reason: CloseReason) -> Next {
        self.phase = Phase::Ended(reason);
        Next::Exit(Reason::Normal)
    }
}

impl<S: Stream> Process for Connection<S> {
    type Message = ToClient;
    type Port = Tcp<S>;
    /// Room for all that the cache ever sends to one client, so that the cache never waits here.
    const MAILBOX: usize = 2;
    const REPORTS_CRASHES: bool = true;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        self.ledger.request();
        self.ask(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match (received, &mut self.phase) {
            (Received::Port(event), Phase::Reciting(recital)) => recital.receive(event, me),
            (Received::Port(event), _) => self.waiting(&event),
            (Received::Timeout, Phase::Reciting(recital)) => recital.time_out(me),
            (Received::Timeout, _) => Next::Receive,
            (Received::Message(answer), _) => self.answered(answer, me),
            // The cache has crashed. Its successor knows nothing of this client.
            (Received::Down(_), _) => self.answered(ToClient::NoPoem, me),
            // The poem is in flight, also if it is still fetched (S21); only a kill cuts it.
            (Received::Exit(exit), _) if exit.reason.is_shutdown() => Next::Receive,
            (Received::Exit(_), _) => Next::Exit(Reason::Killed),
        }
    }

    fn trace(&self, turn: Turn, _: u32) {
        match &self.phase {
            Phase::Reciting(recital) => recital.trace(turn),
            _ => self.ledger.trace(turn, || Wait::Task),
        }
    }

    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        let closes = match (reason, &mut self.phase) {
            (_, Phase::Reciting(recital)) => return recital.end(reason, me.port),
            (Reason::Crash(message), _) => {
                self.ledger.panicked(message);
                CloseReason::Panic
            }
            (_, Phase::Ended(reason)) => *reason,
            (_, Phase::Asking | Phase::Waiting(..)) => CloseReason::Cut,
        };
        // FIN would be an empty poem.
        me.port.reset();
        self.ledger.failed(1);
        self.ledger.closed(closes);
    }
}

#[cfg(test)]
mod tests;
