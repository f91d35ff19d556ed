//! A connection supervisor: one for each arbiter. It starts a process for every socket it is handed, is linked to
//! all of them, counts them, and tells the acceptor when there is room for more (S16).

use std::sync::Arc;
use std::time::Duration;

use super::Protocol;
use crate::dial::Connect;
use crate::ledger::{Ledger, Serving};
use crate::messages::{Drained, ToAcceptor, ToConnections};
use crate::monitor::{Exit, Reason};
use crate::net::Handed;
use crate::port::{NoPort, Tcp};
use crate::process::{
    ById, MAILBOX_CAPACITY, Me, Name, Next, Pid, Process, ProcessRef, Received, Reply,
};
use crate::tree::{ChildInfo, Children};

/// Connections that it may be handed at once: half its mailbox, so that the acceptor never has to wait for room in
/// that. Were both to wait for each other, nothing would ever go on.
pub(super) const PROMISED_MAX: usize = MAILBOX_CAPACITY / 2;
/// Connections that are shown by name, at most.
const NAMED_MAX: usize = 10;

/// Supervises the connections of one arbiter.
pub(crate) struct Connections<P> {
    protocol: P,
    serving: Arc<Serving>,
    /// Which of the connection supervisors this is.
    index: usize,
    /// Its part of `connections_max`.
    max: usize,
    /// Connections it has told the acceptor it would take, and not been handed yet.
    promised: usize,
    acceptor: Option<Pid<ToAcceptor>>,
    open: ById<ProcessRef>,
    /// Those that crashed.
    crashed: u64,
    drain: Option<Drain>,
}

/// A shutdown under way.
struct Drain {
    reply: Option<Reply<Drained>>,
    drained: Drained,
}

impl<P: Protocol> Connections<P> {
    pub(super) fn new(protocol: P, serving: Arc<Serving>, index: usize, max: usize) -> Self {
        Self {
            protocol,
            serving,
            index,
            max,
            promised: 0,
            acceptor: None,
            open: ById::default(),
            crashed: 0,
            drain: None,
        }
    }

    fn serve(
        &mut self,
        socket: Handed,
        number: u64,
        peer: std::net::SocketAddr,
        me: &mut Me<'_, Self>,
    ) {
        self.promised = self.promised.saturating_sub(1);
        if let Ok(socket) = socket.adopt() {
            let ledger = Ledger::open(Arc::clone(&self.serving), number, peer, || socket.local());
            let connection = self.protocol.connection(ledger);
            let name = Name::numbered("connection", number);
            let connection = me.spawn_link(name, connection, Tcp::open(socket)).process();
            self.open.insert(connection.id(), connection);
        }
        self.offer_room(me);
    }

    /// Tells the acceptor of free places, several at a time.
    fn offer_room(&mut self, me: &mut Me<'_, Self>) {
        let free = self.max.saturating_sub(self.open.len() + self.promised);
        let more = free.min(PROMISED_MAX - self.promised);
        if more > 0
            && self.promised <= PROMISED_MAX / 2
            && self.drain.is_none()
            && let Some(acceptor) = &self.acceptor
        {
            self.promised += more;
            me.send(
                acceptor,
                ToAcceptor::Room {
                    index: self.index,
                    connections: more,
                },
            );
        }
    }

    fn gone(&mut self, exit: &Exit, me: &mut Me<'_, Self>) -> Next {
        let Some(from) = exit.from else {
            return Next::Exit(exit.reason.clone());
        };
        if self.open.remove(&from).is_none() {
            // Not a connection: whoever started this process is gone.
            return Next::Exit(exit.reason.clone());
        }
        self.crashed += u64::from(matches!(exit.reason, Reason::Crash(_)));
        if let Some(drain) = &mut self.drain {
            match exit.reason {
                // It had nothing in flight and went when it was asked.
                Reason::Shutdown => {}
                Reason::Killed => drain.drained.cut += 1,
                _ => drain.drained.finished += 1,
            }
            self.finish_drain();
        }
        self.offer_room(me);
        Next::Receive
    }

    fn which_children(&self) -> Children {
        let child = |connection: &ProcessRef| ChildInfo {
            name: connection.name(),
            process: Some(connection.clone()),
            notes: String::new(),
            which_children: None,
        };
        let Self { max, crashed, .. } = self;
        let open = self.open.len();
        Children {
            about: format!("connection supervisor, {open} of at most {max}, {crashed} crashed"),
            children: self.open.values().take(NAMED_MAX).map(child).collect(),
            more: open.saturating_sub(NAMED_MAX),
        }
    }

    fn drain(&mut self, grace: Duration, reply: Reply<Drained>, me: &mut Me<'_, Self>) {
        self.drain = Some(Drain {
            reply: Some(reply),
            drained: Drained::default(),
        });
        for connection in self.open.values() {
            connection.exit(Reason::Shutdown);
        }
        me.after(grace);
        self.finish_drain();
    }

    fn finish_drain(&mut self) {
        if self.open.is_empty()
            && let Some(drain) = &mut self.drain
            && let Some(reply) = drain.reply.take()
        {
            reply.send(drain.drained);
        }
    }
}

impl<P: Protocol> Process for Connections<P> {
    type Message = ToConnections;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        Next::Receive
    }

    /// Its connections do not outlive it.
    fn terminate(&mut self, _: &Reason, _: &mut Me<'_, Self>) {
        self.open.values().for_each(ProcessRef::kill);
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToConnections::Serve {
                socket,
                number,
                peer,
            }) => self.serve(socket, number, peer, me),
            Received::Message(ToConnections::Meet(acceptor)) => {
                self.acceptor = Some(acceptor);
                self.promised = 0;
                self.offer_room(me);
            }
            Received::Message(ToConnections::Drain { grace, reply }) => {
                self.drain(grace, reply, me);
            }
            Received::Message(ToConnections::WhichChildren(reply)) => {
                reply.send(self.which_children())
            }
            Received::Exit(exit) => return self.gone(&exit, me),
            Received::Timeout => self.open.values().for_each(ProcessRef::kill),
            Received::Down(_) => {}
            Received::Port(never) => match never {},
        }
        Next::Receive
    }
}
