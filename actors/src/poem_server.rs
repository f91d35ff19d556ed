//! The poem server (Parts 2 and 11): the poem's bytes at their pace, then FIN (S1). One process for each connection; all
//! share the poem.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::{Unobserved, Wait};
use poetry::{CloseReason, Observer, Options, PoemService, Role};

use crate::ledger::Ledger;
use crate::linger::Linger;
use crate::listener::{self, Protocol, RunningServer};
use crate::monitor::Reason;
use crate::port::{Stream, Tcp, TcpEvent};
use crate::process::{Me, Next, Process, Received, Turn};

/// Serves a poem on `listener` until the server is shut down or dropped: in one thread, with the default limits.
///
/// ```
/// use actors::{Pace, PoemService, Server, serve_poem};
/// use std::net::TcpListener;
///
/// let service = PoemService { poem: "Stars fall.".into(), pace: Pace::SLOW };
/// let server = serve_poem(TcpListener::bind("127.0.0.1:0")?, service)?;
/// println!("Serving a poem on {}", server.address());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system refused a thread or a descriptor.
pub fn serve_poem(listener: TcpListener, service: PoemService) -> io::Result<RunningServer> {
    let options = crate::default_options();
    serve_poem_with(listener, service, &options, Arc::new(Unobserved))
}

/// Serves a poem with the given threads, limits and clock, and reports events to `observer`.
///
/// ```
/// use actors::{Limits, Options, Pace, PoemService, Unobserved, default_options, serve_poem_with};
/// use std::net::TcpListener;
/// use std::sync::Arc;
///
/// let options = Options {
///     limits: Limits { connections_max: 100, ..Limits::default() },
///     ..default_options()
/// };
/// let service = PoemService { poem: "Stars fall.".into(), pace: Pace::Fast };
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let server = serve_poem_with(listener, service, &options, Arc::new(Unobserved))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`serve_poem`].
pub fn serve_poem_with(
    listener: TcpListener,
    service: PoemService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let protocol = Poems(service);
    listener::serve(listener, protocol, Role::PoemServer, options, observer)
}

#[derive(Clone)]
pub(crate) struct Poems(pub(crate) PoemService);

impl Protocol for Poems {
    type Connection<S: Stream> = Connection<S>;

    fn connection<S: Stream>(&self, ledger: Ledger) -> Connection<S> {
        Connection {
            recital: Recital::new(self.0.clone(), ledger),
            stream: PhantomData,
        }
    }
}

/// The process of one connection.
pub(crate) struct Connection<S> {
    recital: Recital,
    stream: PhantomData<fn() -> S>,
}

impl<S: Stream> Process for Connection<S> {
    type Message = Infallible;
    type Port = Tcp<S>;
    const MAILBOX: usize = 1;
    const REPORTS_CRASHES: bool = true;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        self.recital.ledger.request();
        self.recital.begin(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(event) => self.recital.receive(event, me),
            Received::Timeout => self.recital.time_out(me),
            // The poem is in flight (S21); only a kill cuts it.
            Received::Exit(exit) if exit.reason.is_shutdown() => Next::Receive,
            Received::Exit(_) => Next::Exit(Reason::Killed),
            Received::Down(_) => Next::Receive,
            Received::Message(never) => match never {},
        }
    }

    fn trace(&self, turn: Turn, _: u32) {
        self.recital.trace(turn);
    }

    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        self.recital.end(reason, me.port);
    }
}

/// A poem on its way to one peer, whichever process sends it.
pub(crate) struct Recital {
    service: PoemService,
    ledger: Ledger,
    phase: Phase,
    begun: Duration,
    /// The index of the next chunk.
    chunk: usize,
    /// Bytes of the poem that the kernel has taken.
    sent: usize,
    /// Whether a due chunk waits for the peer.
    blocked: bool,
    answered: bool,
    peer_finished: bool,
}

enum Phase {
    /// The poem is not completely sent, or FIN is not due yet.
    Sending,
    /// FIN is sent, and the peer's input is read and discarded (S7).
    Lingering(Linger),
    /// The connection closes.
    Ended(CloseReason),
}

impl Recital {
    /// Creates a recital to a peer whose request is counted already.
    pub(crate) fn new(service: PoemService, ledger: Ledger) -> Self {
        Self {
            service,
            ledger,
            phase: Phase::Sending,
            begun: Duration::ZERO,
            chunk: 0,
            sent: 0,
            blocked: false,
            answered: false,
            peer_finished: false,
        }
    }

    /// Reports a turn of the process that sends it.
    pub(crate) fn trace(&self, turn: Turn) {
        self.ledger.trace(turn, || match self.phase {
            _ if self.blocked => Wait::Write,
            Phase::Sending => Wait::Pace,
            Phase::Lingering(_) | Phase::Ended(_) => Wait::Read,
        });
    }

    /// Sends the first chunk.
    pub(crate) fn begin<S, P>(&mut self, me: &mut Me<'_, P>) -> Next
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        self.begun = me.now();
        self.send_due(me)
    }

    /// Handles an event of the port.
    pub(crate) fn receive<S, P>(&mut self, event: TcpEvent<'_>, me: &mut Me<'_, P>) -> Next
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        match event {
            TcpEvent::Writable => self.send_due(me),
            TcpEvent::Kept(_) | TcpEvent::Looked { .. } => Next::Receive,
            TcpEvent::Data(bytes) => self.discard(bytes.len()),
            TcpEvent::Closed => self.peer_finished(),
            TcpEvent::Error(_) => self.broken(),
        }
    }

    /// Counts the end of the connection. Unless the poem is complete, the peer is reset: FIN would make a part of it look
    /// complete (S21).
    pub(crate) fn end<S: Stream>(&mut self, reason: &Reason, port: &mut Tcp<S>) {
        if !self.answered {
            port.reset();
            self.ledger.failed(1);
        }
        if let Reason::Crash(message) = reason {
            self.ledger.panicked(message);
        }
        self.ledger.closed(match (reason, &self.phase) {
            (Reason::Killed, _) => CloseReason::Cut,
            (Reason::Crash(_), _) => CloseReason::Panic,
            (_, Phase::Ended(reason)) => *reason,
            (_, Phase::Sending | Phase::Lingering(_)) => CloseReason::Done,
        });
    }

    // ANCHOR: serve_poem
    /// Writes every chunk that is due, then waits until the next is due or the peer takes the rest of this one.
    fn send_due<S, P>(&mut self, me: &mut Me<'_, P>) -> Next
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        let PoemService { poem, pace } = &self.service;
        let (poem, waited) = (poem.as_bytes(), me.now() - self.begun);
        let (was_blocked, sent_before) = (std::mem::take(&mut self.blocked), self.sent);
        while pace.due(self.chunk) <= waited
            && let Some(chunk) = pace.chunk(self.chunk, poem.len())
        {
            let Ok(taken) = me.port.write(&poem[self.sent..chunk.end]) else {
                return self.close(CloseReason::Reset);
            };
            self.sent += taken;
            self.ledger.wrote(taken);
            if self.sent < chunk.end {
                // The port announces when to continue. Until then this connection holds only its place in the poem.
                self.blocked = true;
                // Room that is announced but not there must not restart the timeout (S18).
                if !was_blocked || self.sent > sent_before {
                    me.after(self.ledger.limits().write_timeout);
                }
                return Next::Receive;
            }
            self.chunk += 1;
        }
        if self.sent == poem.len() && !std::mem::replace(&mut self.answered, true) {
            self.ledger.answered(1);
        }
        if self.answered && pace.due(self.chunk) <= waited {
            return self.linger(me);
        }
        me.until(self.begun.saturating_add(pace.due(self.chunk)));
        Next::Receive
    }
    // ANCHOR_END: serve_poem

    /// The write timeout is over. The peer may have made too little room to be announced; it is closed if it made none
    /// (S18).
    fn send_unannounced<S, P>(&mut self, me: &mut Me<'_, P>) -> Next
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        let PoemService { poem, pace } = &self.service;
        let poem = poem.as_bytes();
        let end = pace
            .chunk(self.chunk, poem.len())
            .map_or(poem.len(), |chunk| chunk.end);
        match me.port.write_unannounced(&poem[self.sent..end]) {
            Err(_) => self.close(CloseReason::Reset),
            Ok(0) => self.close(CloseReason::Write),
            Ok(taken) => {
                self.sent += taken;
                self.ledger.wrote(taken);
                // The timeout is over: another begins if the rest has to wait.
                self.blocked = false;
                self.send_due(me)
            }
        }
    }

    fn linger<S, P>(&mut self, me: &mut Me<'_, P>) -> Next
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        if self.peer_finished {
            return self.close(CloseReason::Done);
        }
        self.phase = Phase::Lingering(Linger::start(self.ledger.limits(), me));
        Next::Receive
    }

    /// Discards what the client sends.
    fn discard(&mut self, bytes: usize) -> Next {
        self.ledger.read(bytes);
        match &mut self.phase {
            Phase::Lingering(linger) => linger.drain(bytes),
            Phase::Sending | Phase::Ended(_) => Next::Receive,
        }
    }

    /// FIN arrived. It does not end the poem (S1).
    fn peer_finished(&mut self) -> Next {
        self.peer_finished = true;
        match self.phase {
            Phase::Lingering(_) => self.close(CloseReason::Done),
            Phase::Sending | Phase::Ended(_) => Next::Receive,
        }
    }

    fn broken(&mut self) -> Next {
        self.close(match self.phase {
            Phase::Lingering(_) => CloseReason::Done,
            Phase::Sending | Phase::Ended(_) => CloseReason::Reset,
        })
    }

    /// The next chunk or FIN is due, or the peer has taken too long.
    pub(crate) fn time_out<S, P>(&mut self, me: &mut Me<'_, P>) -> Next
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        match self.phase {
            Phase::Lingering(_) => self.close(CloseReason::Done),
            _ if self.blocked => self.send_unannounced(me),
            _ => self.send_due(me),
        }
    }

    /// Closes immediately, without lingering.
    fn close(&mut self, reason: CloseReason) -> Next {
        self.phase = Phase::Ended(reason);
        Next::Exit(Reason::Normal)
    }
}

#[cfg(test)]
mod tests;
