//! The supervisor of the connections, as `listener::Connections` is, but handed sockets in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::socket::{Served, Socket};
use crate::ledger::{ConnectionContext, Ledger};
use crate::listener::Protocol;
use crate::monitor::{Exit, Reason};
use crate::port::{NoPort, Tcp};
use crate::process::{Me, Name, Next, Process, ProcessRef, Received};

/// To the server.
pub(super) enum ToServer {
    /// Serve the next connection.
    Serve(Socket),
    /// Stop, with this grace (S21).
    Stop(Duration),
}

/// Connections that were in flight when the server stopped: those that finished, and those that were cut.
#[derive(Default)]
pub(super) struct Ends {
    finished: AtomicU64,
    cut: AtomicU64,
}

impl Ends {
    pub(super) fn get(&self) -> (u64, u64) {
        let [finished, cut] = [&self.finished, &self.cut].map(|end| end.load(Ordering::Relaxed));
        (finished, cut)
    }
}

pub(super) struct Server<P> {
    protocol: P,
    context: Arc<ConnectionContext>,
    ends: Arc<Ends>,
    /// By their numbers, so that they are stopped in the same order in every run.
    open: BTreeMap<u64, ProcessRef>,
    accepted: u64,
    stops: bool,
    /// Whether the grace is over.
    is_over: bool,
}

impl<P> Server<P> {
    pub(super) fn new(protocol: P, context: Arc<ConnectionContext>, ends: Arc<Ends>) -> Self {
        Self {
            protocol,
            context,
            ends,
            open: BTreeMap::new(),
            accepted: 0,
            stops: false,
            is_over: false,
        }
    }
}

impl<P: Protocol> Process for Server<P> {
    type Message = ToServer;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToServer::Serve(socket)) => self.serve(socket, me),
            Received::Message(ToServer::Stop(grace)) => {
                self.stops = true;
                for connection in self.open.values() {
                    me.exit(connection, Reason::Shutdown);
                }
                me.after(grace);
            }
            Received::Exit(exit) => self.exited(&exit),
            Received::Timeout => {
                self.is_over = true;
                self.open.values().for_each(ProcessRef::kill);
            }
            _ => {}
        }
        Next::Receive
    }
}

impl<P: Protocol> Server<P> {
    fn serve(&mut self, socket: Socket, me: &mut Me<'_, Self>) {
        let number = self.accepted;
        self.accepted += 1;
        let socket: Served = socket.accept();
        let peer = ([127, 0, 0, 1], 2).into();
        let ledger = Ledger::open(Arc::clone(&self.context), number, peer, || None);
        let connection = self
            .protocol
            .connection(ledger.expect("the observer does not panic"));
        let name = Name::numbered("connection", number);
        let connection = me.spawn_link(name, connection, Tcp::open(socket));
        self.open.insert(number, connection.process());
    }

    fn exited(&mut self, exit: &Exit) {
        let is_ended = |(_, open): &(&u64, &ProcessRef)| Some(open.id()) == exit.from;
        let Some(number) = self.open.iter().find(is_ended).map(|(&number, _)| number) else {
            return;
        };
        let connection = self.open.remove(&number);
        if let Reason::Crash(_) = exit.reason
            && let Some(heir) = connection.and_then(|connection| connection.heir())
        {
            if self.is_over {
                heir.kill();
            }
            self.open.insert(number, heir);
            return;
        }
        if self.stops {
            match exit.reason {
                Reason::Shutdown => {}
                Reason::Killed => drop(self.ends.cut.fetch_add(1, Ordering::Relaxed)),
                _ => drop(self.ends.finished.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }
}
