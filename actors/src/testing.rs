//! Streams in memory, and in `connected` connections over them on a test clock, for the programs' own tests.

mod connected;

pub(crate) use connected::{Connected, connect};

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::dial::Connect;
use crate::port::{IoData, Stream};

/// The end of a pipe that a process owns.
pub(crate) struct Pipe(Arc<Mutex<Shared>>);

/// The end of a pipe that a test owns.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    sent: VecDeque<u8>,
    /// More bytes that were sent, which are not announced to the process.
    sent_unannounced: VecDeque<u8>,
    finished: bool,
    received: Vec<u8>,
    /// Bytes the peer takes.
    window: usize,
    /// More bytes the peer takes, which are not announced to the process.
    unannounced: usize,
    /// Whether the process sent FIN.
    fin: bool,
    /// Whether the process closed it.
    closed: bool,
    /// Whether the process reset it.
    reset: bool,
    /// The next writes that panic.
    traps: usize,
    /// Whether the process reads an error instead of bytes.
    broken: bool,
    /// How the next write fails.
    refuses_writes: Option<io::ErrorKind>,
    /// Whether both ends are the same socket.
    is_self_connected: bool,
    waker: Option<Waker>,
}

/// Returns a pipe whose peer takes `window` bytes.
fn pipe(window: usize) -> (Pipe, Peer) {
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

    /// Sends bytes that the process's thread has not seen, as a late thread has not seen what is in the kernel.
    pub(crate) fn send_unannounced(&self, bytes: &[u8]) {
        lock(&self.0).sent_unannounced.extend(bytes);
    }

    pub(crate) fn finish(&self) {
        self.change(|shared| shared.finished = true);
    }

    /// Takes `bytes` more.
    pub(crate) fn take(&self, bytes: usize) {
        self.change(|shared| shared.window += bytes);
    }

    /// Takes `bytes` more without announcing it, as a kernel does not announce a little room.
    pub(crate) fn take_unannounced(&self, bytes: usize) {
        lock(&self.0).unannounced += bytes;
    }

    /// Makes the next `writes` panic.
    pub(crate) fn trap(&self, writes: usize) {
        lock(&self.0).traps = writes;
    }

    /// Lets the next write fail.
    pub(crate) fn refuse_writes(&self, kind: io::ErrorKind) {
        lock(&self.0).refuses_writes = Some(kind);
    }

    /// Resets the connection.
    pub(crate) fn reset(&self) {
        self.change(|shared| shared.broken = true);
    }

    pub(crate) fn received(&self) -> Vec<u8> {
        lock(&self.0).received.clone()
    }

    /// Returns the number of bytes that the process has not read.
    pub(crate) fn unread(&self) -> usize {
        lock(&self.0).sent.len()
    }

    /// Returns whether the process sent FIN, and whether it closed the stream.
    pub(crate) fn ended(&self) -> (bool, bool) {
        let shared = lock(&self.0);
        (shared.fin, shared.closed)
    }

    /// Returns whether the process reset the connection.
    pub(crate) fn was_reset(&self) -> bool {
        lock(&self.0).reset
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut shared = lock(&self.0);
        change(&mut shared);
        let waker = shared.waker.take();
        drop(shared);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A panic of a trap leaves the state consistent, so a poisoned lock can still be used.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = self.sent.len().min(buffer.len());
        if count == 0 && !self.finished {
            return Poll::Pending;
        }
        for (place, byte) in buffer.iter_mut().zip(self.sent.drain(..count)) {
            *place = byte;
        }
        Poll::Ready(Ok(count))
    }
}

impl Stream for Pipe {
    fn poll_read(&mut self, turn: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        let read = shared.read(buffer);
        if read.is_pending() {
            shared.waker = Some(turn.waker().clone());
        }
        read
    }

    fn try_read_unannounced(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        let unannounced = std::mem::take(&mut shared.sent_unannounced);
        shared.sent.extend(unannounced);
        shared.read(buffer)
    }

    fn try_write(&mut self, data: IoData<'_>) -> io::Result<usize> {
        let bytes = bytes_of(data);
        let mut shared = lock(&self.0);
        if let Some(left) = shared.traps.checked_sub(1) {
            shared.traps = left;
            panic!("a trap");
        }
        if let Some(kind) = shared.refuses_writes.take() {
            return Err(kind.into());
        }
        let count = bytes.len().min(shared.window);
        shared.window -= count;
        shared.received.extend(&bytes[..count]);
        Ok(count)
    }

    fn try_write_unannounced(&mut self, data: IoData<'_>) -> io::Result<usize> {
        let announced = self.try_write(data)?;
        let bytes = bytes_of(data);
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

    fn abort(self) {
        lock(&self.0).reset = true;
    }
}

pub(crate) fn bytes_of(data: IoData<'_>) -> Vec<u8> {
    match data {
        IoData::Binary(bytes) => bytes.to_vec(),
        IoData::List(list) => list
            .iter()
            .flat_map(|bytes| bytes.iter().copied())
            .collect(),
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        lock(&self.0).closed = true;
    }
}

/// Returns a listener on loopback.
pub(crate) fn real_listener() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}

static LISTENING: LazyLock<Mutex<HashMap<SocketAddr, Pipe>>> = LazyLock::new(Mutex::default);

/// Makes the next connection to `address` a pipe to the returned peer.
pub(crate) fn listen(address: SocketAddr) -> Peer {
    listen_with_room(address, usize::MAX)
}

/// Makes the next connection to `address` a pipe to the returned peer, which takes `window` bytes.
pub(crate) fn listen_with_room(address: SocketAddr, window: usize) -> Peer {
    let (pipe, peer) = pipe(window);
    LISTENING.lock().unwrap().insert(address, pipe);
    peer
}

/// Makes the next connection to `address` one whose two ends are the same socket.
pub(crate) fn listen_to_itself(address: SocketAddr) -> Peer {
    let peer = listen(address);
    lock(&peer.0).is_self_connected = true;
    peer
}

static SHORT: LazyLock<Mutex<HashMap<SocketAddr, usize>>> = LazyLock::new(Mutex::default);

/// Lets the next `connects` to `address` fail for want of a descriptor.
pub(crate) fn short_of_descriptors(address: SocketAddr, connects: usize) {
    SHORT.lock().unwrap().insert(address, connects);
}

impl Connect for Pipe {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        const EMFILE: i32 = 24;
        if let Some(left @ 1..) = SHORT.lock().unwrap().get_mut(&address) {
            *left -= 1;
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let pipe = LISTENING.lock().unwrap().remove(&address);
        match pipe {
            Some(pipe) => Ok(pipe),
            // The connect never completes.
            None => std::future::pending().await,
        }
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }

    fn is_self_connected(&self) -> bool {
        lock(&self.0).is_self_connected
    }
}
