//! One connection of a server in memory, without the server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::{Clock, Counters, Counts, Limits, Observer, Reporter, Role};

use super::{Peer, Pipe, pipe};
use crate::NAME;
use crate::ledger::{ConnectionContext, Ledger};
use crate::listener::Protocol;
use crate::port::Tcp;
use crate::process::{Node, ProcessRef, TestClock};

/// The address of servers in memory.
const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Connects to `protocol` a peer that takes `window` bytes. Nothing runs before the caller lets it.
pub(crate) fn connect<P: Protocol>(
    node: &Node,
    protocol: P,
    number: u64,
    context: Arc<ConnectionContext>,
    window: usize,
) -> (ProcessRef, Peer) {
    let (pipe, peer) = pipe(window);
    let connection = node.arbiter(0).spawn("connection", move || {
        let ledger = Ledger::open(context, number, HERE, || None);
        let ledger = ledger.ok_or(io::ErrorKind::Other)?;
        Ok((protocol.connection::<Pipe>(ledger), Tcp::open(pipe)))
    });
    (connection.process(), peer)
}

/// One connection of a server, without the server.
pub(crate) struct Connected {
    pub(crate) peer: Peer,
    pub(crate) clock: TestClock,
    pub(crate) process: ProcessRef,
    counters: Arc<Counters>,
    node: Node,
}

impl Connected {
    /// Connects to `protocol` a peer that takes `window` bytes.
    pub(crate) fn new<P: Protocol>(protocol: P, limits: Limits, window: usize) -> Self {
        poetry::panics::silence_contained();
        let (node, clock) = Node::start_on_test_clock().unwrap();
        Self::in_node(
            &node,
            &clock,
            protocol,
            limits,
            window,
            (0, Arc::new(Unobserved)),
        )
    }

    /// Connects another peer in the same arbiter.
    pub(crate) fn beside<P: Protocol>(&self, protocol: P, window: usize) -> Self {
        let limits = Limits::default();
        let observed = (0, Arc::new(Unobserved) as _);
        Self::in_node(&self.node, &self.clock, protocol, limits, window, observed)
    }

    /// Connects to `protocol` the connection `number` of a node, in the arbiter of the clock.
    pub(crate) fn observed<P: Protocol>(
        node: &(Node, TestClock),
        protocol: P,
        number: u64,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self::observed_with_window(node, protocol, number, observer, usize::MAX)
    }

    /// As [`Connected::observed`], with a peer that takes `window` bytes.
    pub(crate) fn observed_with_window<P: Protocol>(
        (node, clock): &(Node, TestClock),
        protocol: P,
        number: u64,
        observer: Arc<dyn Observer>,
        window: usize,
    ) -> Self {
        let limits = Limits::default();
        Self::in_node(node, clock, protocol, limits, window, (number, observer))
    }

    fn in_node<P: Protocol>(
        node: &Node,
        clock: &TestClock,
        protocol: P,
        limits: Limits,
        window: usize,
        (number, observer): (u64, Arc<dyn Observer>),
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let role = Role::TransformServer;
        let context = Arc::new(ConnectionContext {
            worker: 0,
            limits,
            counters: Arc::clone(&counters),
            reporter: Reporter::new(NAME, role, Clock::stopped(), observer),
            address: HERE,
        });
        let (process, peer) = connect(node, protocol, number, context, window);
        clock.settle();
        Self {
            peer,
            clock: clock.clone(),
            process,
            counters,
            node: node.clone(),
        }
    }

    /// Sends `bytes`, cut at `cuts`, and FIN. The peer takes 3 bytes more after each piece, and then everything.
    pub(crate) fn send_in_pieces(&self, bytes: &[u8], mut cuts: Vec<usize>) {
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            let cut = cut.min(bytes.len());
            self.peer.send(&bytes[from..cut]);
            self.peer.take(3);
            self.clock.settle();
            from = cut;
        }
        self.peer.finish();
        self.peer.take(1_000);
        self.clock.settle();
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts::of(std::iter::once(&*self.counters))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.node.stop();
    }
}
