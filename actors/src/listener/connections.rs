//! The connection supervisor, one for each arbiter. It starts a linked process for every socket it is handed and grants
//! the acceptor room for more (S16).

use std::sync::Arc;
use std::time::Duration;

use super::Protocol;
use crate::dial::Connect;
use crate::ledger::{ConnectionContext, Ledger};
use crate::messages::{Drained, ToAcceptor, ToConnections};
use crate::monitor::{Exit, Reason};
use crate::net::Handed;
use crate::port::{NoPort, Stream, Tcp};
use crate::process::{
    ById, MAILBOX_CAPACITY, Me, Name, Next, Pid, Process, ProcessRef, Received, Reply,
};
use crate::tree::{ChildInfo, Children};

/// The most room granted to the acceptor at a time: half this process's mailbox, so that the acceptor's sends never wait.
/// If the two waited for each other, neither would continue.
pub(super) const GRANTED_MAX: usize = MAILBOX_CAPACITY / 2;
/// Connections listed by name in the tree.
const NAMED_MAX: usize = 10;

/// Supervises the connections of one arbiter.
pub(crate) struct Connections<P> {
    protocol: P,
    context: Arc<ConnectionContext>,
    /// Its index among the connection supervisors.
    index: usize,
    /// Its share of `connections_max`.
    max: usize,
    /// Room granted to the acceptor and not used yet.
    granted: usize,
    acceptor: Option<Pid<ToAcceptor>>,
    open: ById<ProcessRef>,
    /// The number of connections that crashed.
    crashed: u64,
    drain: Option<Drain>,
}

/// A shutdown under way.
#[derive(Default)]
struct Drain {
    reply: Option<Reply<Drained>>,
    drained: Drained,
    /// Whether the grace is over.
    is_over: bool,
}

impl<P: Protocol> Connections<P> {
    pub(super) fn new(
        protocol: P,
        context: Arc<ConnectionContext>,
        index: usize,
        max: usize,
    ) -> Self {
        Self {
            protocol,
            context,
            index,
            max,
            granted: 0,
            acceptor: None,
            open: ById::default(),
            crashed: 0,
            drain: None,
        }
    }

    // ANCHOR: connection_process
    fn serve(
        &mut self,
        socket: Handed,
        number: u64,
        peer: std::net::SocketAddr,
        me: &mut Me<'_, Self>,
    ) {
        self.granted = self.granted.saturating_sub(1);
        if let Ok(socket) = socket.adopt() {
            let context = Arc::clone(&self.context);
            match Ledger::open(context, number, peer, || socket.local()) {
                Some(ledger) => {
                    let connection = self.protocol.connection(ledger);
                    let name = Name::numbered("connection", number);
                    let connection = me.spawn_link(name, connection, Tcp::open(socket)).process();
                    self.open.insert(connection.id(), connection);
                }
                // FIN would be an empty poem.
                None => socket.abort(),
            }
        }
        self.grant_room(me);
    }
    // ANCHOR_END: connection_process

    /// Grants the acceptor room for more connections, several at a time.
    fn grant_room(&mut self, me: &mut Me<'_, Self>) {
        let free = self.max.saturating_sub(self.open.len() + self.granted);
        let more = free.min(GRANTED_MAX - self.granted);
        if more > 0
            && self.granted <= GRANTED_MAX / 2
            && self.drain.is_none()
            && let Some(acceptor) = &self.acceptor
        {
            self.granted += more;
            me.send(
                acceptor,
                ToAcceptor::Room {
                    index: self.index,
                    connections: more,
                },
            );
        }
    }

    // ANCHOR: connection_ends
    fn exited(&mut self, exit: &Exit, me: &mut Me<'_, Self>) -> Next {
        let ended = exit.from.and_then(|from| self.open.remove(&from));
        let Some(connection) = ended else {
            // The listener's supervisor has ended or asks this one to exit.
            return Next::Exit(exit.reason.clone());
        };
        if let Reason::Crash(_) = exit.reason {
            self.crashed += 1;
            if let Some(heir) = connection.heir() {
                self.adopt(heir);
                return Next::Receive;
            }
        }
        if let Some(drain) = &mut self.drain {
            match exit.reason {
                // It had nothing in flight.
                Reason::Shutdown => {}
                Reason::Killed => drain.drained.cut += 1,
                _ => drain.drained.finished += 1,
            }
            self.finish_drain();
        }
        self.grant_room(me);
        Next::Receive
    }
    // ANCHOR_END: connection_ends

    /// Keeps the process that took over the socket of a connection that crashed, in the crashed one's place.
    fn adopt(&mut self, heir: ProcessRef) {
        if self.drain.as_ref().is_some_and(|drain| drain.is_over) {
            heir.kill();
        }
        self.open.insert(heir.id(), heir);
    }

    fn which_children(&self) -> Children {
        let child = |connection: &ProcessRef| ChildInfo {
            name: connection.name(),
            process: Some(connection.clone()),
            notes: String::new(),
            restarted: None,
            which_children: None,
        };
        let Self { max, crashed, .. } = self;
        let open = self.open.len();
        let mut first: Vec<&ProcessRef> = self.open.values().collect();
        first.sort_unstable_by_key(|connection| connection.name());
        Children {
            about: format!("connection supervisor, {open} of at most {max}, {crashed} crashed"),
            children: first.into_iter().take(NAMED_MAX).map(child).collect(),
            more: open.saturating_sub(NAMED_MAX),
        }
    }

    fn drain(&mut self, grace: Duration, reply: Reply<Drained>, me: &mut Me<'_, Self>) {
        self.drain.get_or_insert_default().reply = Some(reply);
        for connection in self.open.values() {
            me.exit(connection, Reason::Shutdown);
        }
        me.after(grace);
        self.finish_drain();
    }

    /// The grace is over.
    fn cut(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.is_over = true;
        }
        self.open.values().for_each(ProcessRef::kill);
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

    /// Connections do not outlive their supervisor.
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
                self.granted = 0;
                self.grant_room(me);
            }
            Received::Message(ToConnections::Stopping) => self.drain = Some(Drain::default()),
            Received::Message(ToConnections::Drain { grace, reply }) => {
                self.drain(grace, reply, me);
            }
            Received::Message(ToConnections::WhichChildren(reply)) => {
                reply.send(self.which_children())
            }
            Received::Exit(exit) => return self.exited(&exit, me),
            Received::Timeout => self.cut(),
            Received::Down(_) => {}
            Received::Port(never) => match never {},
        }
        Next::Receive
    }
}
