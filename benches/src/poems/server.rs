//! The slow poem server for measuring clients: one thread, and a queue of connections instead of timers.
//!
//! All connections have the same pace, so the connections that are due are always at the head of the queue. The server
//! has no limits and expects well-behaved clients; it drops a connection that takes no more bytes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use poetry::error::costs_one_connection;
use poetry::{Pace, Poem};
use socket2::{Domain, Socket, Type};

use crate::process::with_affinity;

/// The tokens below this are the listeners'.
const STOP: Token = Token(LISTENERS);
/// Listeners on the one port. A listener's backlog is at most `somaxconn` (4,096), and a SYN that finds it full is sent
/// again a second later; four listeners hold a burst of 10,000.
const LISTENERS: usize = 4;
/// More than `somaxconn`, so that the system's limit applies.
const BACKLOG: i32 = 16_384;

/// Chunks written before the next accept: that takes a small part of the time in which a backlog fills.
const SERVED_AT_ONCE: usize = 256;

/// A server running in its own thread. Dropping it stops it.
#[derive(Debug)]
pub struct SlowServer {
    address: SocketAddr,
    started: Instant,
    noted: Arc<Noted>,
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl SlowServer {
    /// Serves `poem` at `pace` on a free loopback port, on `core` if one is given.
    ///
    /// # Errors
    /// Those of the system.
    pub fn start(poem: Poem, pace: Pace, core: Option<usize>) -> io::Result<Self> {
        let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for token in 0..LISTENERS {
            let mut listener = TcpListener::from_std(listen(address)?);
            address = listener.local_addr()?;
            poll.registry()
                .register(&mut listener, Token(token), Interest::READABLE)?;
            listeners.push(listener);
        }
        let stop = Waker::new(poll.registry(), STOP)?;
        let started = Instant::now();
        let noted = Arc::new(Noted::default());
        let server = ServerLoop {
            poll,
            listeners,
            poem,
            pace,
            due: VecDeque::new(),
            started,
            noted: Arc::clone(&noted),
        };
        // The thread inherits the core.
        let thread = with_affinity(core, || {
            thread::Builder::new()
                .name("slow poems".to_owned())
                .spawn(|| server.run())
        })??;
        Ok(Self {
            address,
            started,
            noted,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the first connection was accepted, and the last so far; if none was, when the server started.
    pub fn accepted(&self) -> (Instant, Instant) {
        (self.at(&self.noted.first), self.at(&self.noted.last))
    }

    /// Returns how many connections have been accepted.
    pub fn connections(&self) -> u64 {
        self.noted.connections.load(Ordering::Acquire)
    }

    /// Returns when the last whole poem so far ended; if none did, when the server started.
    pub fn ended(&self) -> Instant {
        self.at(&self.noted.ended)
    }

    fn at(&self, nanos: &AtomicU64) -> Instant {
        self.started + Duration::from_nanos(nanos.load(Ordering::Acquire))
    }
}

/// What the server's thread notes. Times are nanoseconds from the start; 0 before the first.
#[derive(Debug, Default)]
struct Noted {
    connections: AtomicU64,
    /// The first and the last accept.
    first: AtomicU64,
    last: AtomicU64,
    /// The last FIN.
    ended: AtomicU64,
}

impl Drop for SlowServer {
    fn drop(&mut self) {
        if self.stop.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // The thread has printed its panic, if any.
            let _panicked = thread.join();
        }
    }
}

/// Binds a listener for bursts, which others may share; its sockets do not block.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

struct ServerLoop {
    poll: Poll,
    listeners: Vec<TcpListener>,
    poem: Poem,
    pace: Pace,
    /// Ordered by time.
    due: VecDeque<Due>,
    started: Instant,
    noted: Arc<Noted>,
}

/// A connection, and its next chunk.
struct Due {
    at: Instant,
    accepted: Instant,
    chunk: usize,
    stream: TcpStream,
}

impl ServerLoop {
    /// Serves until it is stopped or accepting fails. After a failure clients time out, which voids their row.
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        loop {
            let now = Instant::now();
            self.serve_due(now);
            // It sleeps only without connections. Otherwise clients would pay for waking it, and slow clients, which find
            // it asleep more often, would pay more.
            let sleep = if self.due.is_empty() {
                None
            } else {
                Some(Duration::ZERO)
            };
            match self.poll.poll(&mut events, sleep) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
            for event in &events {
                if event.token() == STOP || self.accept(event.token().0).is_err() {
                    return;
                }
            }
        }
    }

    /// Accepts all waiting connections.
    fn accept(&mut self, listener: usize) -> io::Result<()> {
        loop {
            match self.listeners[listener].accept() {
                Ok((stream, _)) => {
                    let accepted = Instant::now();
                    self.put(Due {
                        at: accepted,
                        accepted,
                        chunk: 0,
                        stream,
                    });
                    self.note_accept(accepted);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if costs_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn note_accept(&self, accepted: Instant) {
        let nanos = self.nanos(accepted);
        if self.noted.last.swap(nanos, Ordering::Release) == 0 {
            self.noted.first.store(nanos, Ordering::Release);
        }
        self.noted.connections.fetch_add(1, Ordering::Release);
    }

    /// Returns the time from the start, at least 1.
    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.started).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).max(1)
    }

    fn serve_due(&mut self, now: Instant) {
        for _ in 0..SERVED_AT_ONCE {
            let due = self.due.pop_front_if(|due| due.at <= now);
            let Some(due) = due else { return };
            self.serve(due);
        }
    }

    /// Writes one chunk and queues the connection for the next; closes it after the last.
    fn serve(&mut self, mut due: Due) {
        let poem = self.poem.as_bytes();
        let Some(range) = self.pace.chunk(due.chunk, poem.len()) else {
            // Noted before FIN is sent, so that whoever has received FIN can read it.
            let ended = self.nanos(Instant::now());
            self.noted.ended.store(ended, Ordering::Release);
            return;
        };
        // A chunk fits an empty socket buffer; a client that does not take it is dropped.
        if !matches!(due.stream.write(&poem[range.clone()]), Ok(bytes) if bytes == range.len()) {
            return;
        }
        due.chunk += 1;
        due.at = due.accepted + self.pace.due(due.chunk);
        self.put(due);
    }

    /// Queues `due` behind all connections that are due no later.
    fn put(&mut self, due: Due) {
        let later = self.due.partition_point(|other| other.at <= due.at);
        self.due.insert(later, due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::num::NonZeroUsize;

    #[test]
    fn s1_every_client_gets_the_poem_in_chunks_and_then_fin() {
        let pace = Pace::Slow {
            num_bytes: NonZeroUsize::new(4).unwrap(),
            delay: Duration::from_millis(5),
        };
        let server = SlowServer::start(Poem::from("a slow poem\n"), pace, None).unwrap();
        let start = Instant::now();
        let mut clients: Vec<_> = (0..20)
            .map(|_| std::net::TcpStream::connect(server.address()).unwrap())
            .collect();
        for client in &mut clients {
            let mut poem = String::new();
            client.read_to_string(&mut poem).unwrap();
            assert_eq!(poem, "a slow poem\n");
        }
        // Never early, whatever the machine does.
        assert!(start.elapsed() >= pace.duration(12));
        assert_eq!(server.connections(), 20);
        let (first, last) = server.accepted();
        assert!(start <= first && first <= last);
        assert!(server.ended() >= last + pace.duration(12));
    }

    #[test]
    fn dropping_the_server_ends_its_thread_and_connections() {
        let server = SlowServer::start(Poem::from("never\n"), Pace::SLOW, None).unwrap();
        let mut client = std::net::TcpStream::connect(server.address()).unwrap();
        let mut first = [0; 6];
        client.read_exact(&mut first).unwrap();
        drop(server);
        assert_eq!(client.read(&mut first).unwrap_or(0), 0);
    }
}
