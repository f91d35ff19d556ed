//! The poem server (Parts 2 and 11): the poem's bytes, at their pace, then FIN. One process for each connection;
//! the poem is shared by all (S1).

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use poetry::{CloseReason, Observer, Options, PoemService, Role};

use crate::ledger::Ledger;
use crate::listener::{self, Protocol, Serve};
use crate::monitor::Reason;
use crate::port::{Stream, Tcp, TcpEvent};
use crate::process::{Me, Next, Process, Received};

/// Serves the poem on `listener` until the server is shut down.
///
/// # Errors
/// What the system refused while the server was set up.
pub fn serve_poem(
    listener: TcpListener,
    service: PoemService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Serve> {
    listener::serve(
        listener,
        Poems(service),
        Role::PoemServer,
        options,
        observer,
    )
}

#[derive(Clone)]
struct Poems(PoemService);

impl Protocol for Poems {
    type Connection<S: Stream> = Connection<S>;

    fn connection<S: Stream>(&self, ledger: Ledger) -> Connection<S> {
        Connection {
            service: self.0.clone(),
            ledger,
            stage: Stage::Sending,
            accepted: Duration::ZERO,
            chunk: 0,
            sent: 0,
            blocked: false,
            answered: false,
            peer_finished: false,
            stream: PhantomData,
        }
    }
}

/// One listener to the poem.
struct Connection<S> {
    service: PoemService,
    ledger: Ledger,
    stage: Stage,
    accepted: Duration,
    /// The chunk that is due next.
    chunk: usize,
    /// Bytes of the poem that were taken.
    sent: usize,
    /// The peer does not take what is due.
    blocked: bool,
    answered: bool,
    peer_finished: bool,
    stream: PhantomData<fn() -> S>,
}

enum Stage {
    /// Some of the poem is not taken yet, or FIN not due.
    Sending,
    /// FIN is sent; so many more bytes are drained (S7).
    Lingering(usize),
    /// Nothing is left to do.
    Ended(CloseReason),
}

impl<S: Stream> Process for Connection<S> {
    type Message = Infallible;
    type Port = Tcp<S>;
    const MAILBOX: usize = 1;
    const REPORTS_CRASHES: bool = true;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        self.accepted = me.now();
        self.ledger.request();
        self.send_due(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(TcpEvent::Writable) => self.send_due(me),
            Received::Port(TcpEvent::Data(bytes)) => self.discard(bytes.len()),
            Received::Port(TcpEvent::Closed) => self.finished_sending(),
            Received::Port(TcpEvent::Error(_)) => self.broken(),
            Received::Timeout => self.timed_out(me),
            // A poem on its way is in flight (S21): only a kill ends it.
            Received::Exit(exit) if exit.reason == Reason::Shutdown => Next::Receive,
            Received::Exit(_) => Next::Exit(Reason::Killed),
            Received::Down(_) => Next::Receive,
            Received::Message(never) => match never {},
        }
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        if !self.answered {
            self.ledger.failed(1);
        }
        if let Reason::Crash(message) = reason {
            self.ledger.panicked(message);
        }
        self.ledger.closed(match (reason, &self.stage) {
            (Reason::Killed, _) => CloseReason::Cut,
            (Reason::Crash(_), _) => CloseReason::Panic,
            (_, Stage::Ended(reason)) => *reason,
            (_, Stage::Sending | Stage::Lingering(_)) => CloseReason::Done,
        });
    }
}

impl<S: Stream> Connection<S> {
    // ANCHOR: serve_poem
    /// Writes every chunk that is due, then waits for the next to be due, or for the peer to take this one.
    fn send_due(&mut self, me: &mut Me<'_, Self>) -> Next {
        let PoemService { poem, pace } = &self.service;
        let (poem, waited) = (poem.as_bytes(), me.now() - self.accepted);
        self.blocked = false;
        while pace.due(self.chunk) <= waited
            && let Some(chunk) = pace.chunk(self.chunk, poem.len())
        {
            let Ok(taken) = me.port.write(&poem[self.sent..chunk.end]) else {
                return self.end(CloseReason::Reset);
            };
            self.sent += taken;
            self.ledger.wrote(taken);
            if self.sent < chunk.end {
                // The port says when to go on; until then nothing is held for this peer but a place in the poem.
                self.blocked = true;
                me.after(self.ledger.limits().write_timeout);
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
        me.until(self.accepted.saturating_add(pace.due(self.chunk)));
        Next::Receive
    }
    // ANCHOR_END: serve_poem

    /// The write timeout is over. What the peer took since may only be too little to be announced: it is closed if
    /// that is nothing (S18).
    fn send_unannounced(&mut self, me: &mut Me<'_, Self>) -> Next {
        let PoemService { poem, pace } = &self.service;
        let poem = poem.as_bytes();
        let end = pace
            .chunk(self.chunk, poem.len())
            .map_or(poem.len(), |chunk| chunk.end);
        match me.port.write_unannounced(&poem[self.sent..end]) {
            Err(_) => self.end(CloseReason::Reset),
            Ok(0) => self.end(CloseReason::Write),
            Ok(taken) => {
                self.sent += taken;
                self.ledger.wrote(taken);
                self.send_due(me)
            }
        }
    }

    /// Sends FIN and reads on for a while: a close on unread input would take the poem back (S7).
    fn linger(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.peer_finished {
            return self.end(CloseReason::Done);
        }
        me.port.finish();
        me.after(self.ledger.limits().linger_timeout);
        self.stage = Stage::Lingering(self.ledger.limits().linger_bytes_max);
        Next::Receive
    }

    /// What listeners say is read and not heard.
    fn discard(&mut self, bytes: usize) -> Next {
        self.ledger.read(bytes);
        if let Stage::Lingering(room) = &mut self.stage {
            match room.checked_sub(bytes) {
                Some(left) => *room = left,
                None => return self.end(CloseReason::Done),
            }
        }
        Next::Receive
    }

    /// The peer's FIN does not end the poem (S1).
    fn finished_sending(&mut self) -> Next {
        self.peer_finished = true;
        match self.stage {
            Stage::Lingering(_) => self.end(CloseReason::Done),
            Stage::Sending | Stage::Ended(_) => Next::Receive,
        }
    }

    fn broken(&mut self) -> Next {
        self.end(match self.stage {
            Stage::Lingering(_) => CloseReason::Done,
            Stage::Sending | Stage::Ended(_) => CloseReason::Reset,
        })
    }

    fn timed_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        match self.stage {
            Stage::Lingering(_) => self.end(CloseReason::Done),
            _ if self.blocked => self.send_unannounced(me),
            _ => self.send_due(me),
        }
    }

    fn end(&mut self, reason: CloseReason) -> Next {
        self.stage = Stage::Ended(reason);
        Next::Exit(Reason::Normal)
    }
}

#[cfg(test)]
mod tests;
