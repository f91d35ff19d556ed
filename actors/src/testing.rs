//! A stream in memory, and connections on it on a test clock: what the programs' own tests stand on.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use poetry::event::Unobserved;
use poetry::{Clock, Counters, Counts, Limits, Reporter, Role};

use crate::NAME;
use crate::dial::Connect;
use crate::ledger::{Ledger, Serving};
use crate::listener::Protocol;
use crate::port::{Stream, Tcp};
use crate::process::{Name, Node, ProcessRef, TestClock};

/// The end of a pipe that a process owns.
pub(crate) struct Pipe(Arc<Mutex<Shared>>);

/// The other end, which a test owns.
pub(crate) struct Peer(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    sent: VecDeque<u8>,
    finished: bool,
    received: Vec<u8>,
    /// Bytes the peer is willing to take.
    window: usize,
    /// Bytes it would take besides, of which the process has not been told.
    unannounced: usize,
    /// The process sent FIN.
    fin: bool,
    /// The process has let go of it.
    closed: bool,
    /// So many writes more panic.
    traps: usize,
    waker: Option<Waker>,
}

/// A pipe whose peer takes so many bytes.
pub(crate) fn pipe(window: usize) -> (Pipe, Peer) {
    let shared = Arc::new(Mutex::new(Shared {
        window,
        ..Shared::default()
    }));
    (Pipe(Arc::clone(&shared)), Peer(shared))
}

impl Peer {
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.change(|shared| shared.sent.extend(bytes));
    }

    pub(crate) fn finish(&self) {
        self.change(|shared| shared.finished = true);
    }

    /// Takes `bytes` more.
    pub(crate) fn take(&self, bytes: usize) {
        self.change(|shared| shared.window += bytes);
    }

    /// Takes `bytes` more, and the process is not told: as a kernel has it that announces only much room.
    pub(crate) fn take_unannounced(&self, bytes: usize) {
        lock(&self.0).unannounced += bytes;
    }

    /// Has the next `writes` to it panic.
    pub(crate) fn trap(&self, writes: usize) {
        lock(&self.0).traps = writes;
    }

    pub(crate) fn received(&self) -> Vec<u8> {
        lock(&self.0).received.clone()
    }

    /// Bytes sent that nobody has read.
    pub(crate) fn unread(&self) -> usize {
        lock(&self.0).sent.len()
    }

    /// Whether FIN came, and whether the other end is gone altogether.
    pub(crate) fn ended(&self) -> (bool, bool) {
        let shared = lock(&self.0);
        (shared.fin, shared.closed)
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut shared = lock(&self.0);
        change(&mut shared);
        let waker = shared.waker.take();
        drop(shared);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Poisoned by a trap, it is no worse.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream for Pipe {
    fn poll_read(&mut self, turn: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        let count = shared.sent.len().min(buffer.len());
        if count == 0 && !shared.finished {
            shared.waker = Some(turn.waker().clone());
            return Poll::Pending;
        }
        for (place, byte) in buffer.iter_mut().zip(shared.sent.drain(..count)) {
            *place = byte;
        }
        Poll::Ready(Ok(count))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = lock(&self.0);
        if let Some(left) = shared.traps.checked_sub(1) {
            shared.traps = left;
            panic!("a trap");
        }
        let count = bytes.len().min(shared.window);
        shared.window -= count;
        shared.received.extend(&bytes[..count]);
        Ok(count)
    }

    fn try_write_unannounced(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let announced = self.try_write(bytes)?;
        let rest = &bytes[announced..];
        let mut shared = lock(&self.0);
        let count = rest.len().min(shared.unannounced);
        shared.unannounced -= count;
        shared.received.extend(&rest[..count]);
        Ok(announced + count)
    }

    fn poll_writable(&mut self, turn: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.0);
        if shared.window > 0 {
            return Poll::Ready(());
        }
        shared.waker = Some(turn.waker().clone());
        Poll::Pending
    }

    fn finish(&mut self) {
        lock(&self.0).fin = true;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        lock(&self.0).closed = true;
    }
}

static LISTENING: LazyLock<Mutex<HashMap<SocketAddr, Pipe>>> = LazyLock::new(Mutex::default);

/// Has the next connection to `address` be a pipe to the returned peer.
pub(crate) fn listen(address: SocketAddr) -> Peer {
    let (pipe, peer) = pipe(usize::MAX);
    LISTENING.lock().unwrap().insert(address, pipe);
    peer
}

impl Connect for Pipe {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let pipe = LISTENING.lock().unwrap().remove(&address);
        match pipe {
            Some(pipe) => Ok(pipe),
            // Nobody answers.
            None => std::future::pending().await,
        }
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }
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
    /// A connection that speaks `protocol` to a peer that takes `window` bytes.
    pub(crate) fn new<P: Protocol>(protocol: P, limits: Limits, window: usize) -> Self {
        poetry::panics::silence_contained();
        let (node, clock) = Node::start_on_test_clock().unwrap();
        Self::in_node(&node, &clock, protocol, limits, window)
    }

    /// Another, in the same arbiter.
    pub(crate) fn beside<P: Protocol>(&self, protocol: P, window: usize) -> Self {
        Self::in_node(&self.node, &self.clock, protocol, Limits::default(), window)
    }

    fn in_node<P: Protocol>(
        node: &Node,
        clock: &TestClock,
        protocol: P,
        limits: Limits,
        window: usize,
    ) -> Self {
        let (pipe, peer) = pipe(window);
        let counters = Arc::new(Counters::default());
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let reporter = Reporter::new(
            NAME,
            Role::TransformServer,
            Clock::stopped(),
            Arc::new(Unobserved),
        );
        let serving = Arc::new(Serving {
            worker: 0,
            limits,
            counters: Arc::clone(&counters),
            reporter,
            address,
        });
        let connection = node.arbiter(0).spawn(Name::new("connection"), move || {
            let ledger = Ledger::open(serving, 0, address, || None);
            Ok((protocol.connection::<Pipe>(ledger), Tcp::open(pipe)))
        });
        clock.settle();
        let process = connection.process();
        Self {
            peer,
            clock: clock.clone(),
            process,
            counters,
            node: node.clone(),
        }
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
