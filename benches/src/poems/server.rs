//! The slow poem server that clients are measured with: one thread, and a queue for a clock.
//!
//! Every connection has the same pace, so whoever was accepted first is due first: what is due is always at the head
//! of a queue. It has no limits and expects well-behaved clients; a client that has gone is forgotten.

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
/// They share one port. The kernel holds no more connections for a listener than `somaxconn` (4,096), and a client whose
/// SYN finds that full tries again a second later; among so many a burst of 10,000 is held whole.
const LISTENERS: usize = 4;
/// As many as the system allows.
const BACKLOG: i32 = 16_384;

/// Chunks written before those who connect get their turn: a small part of the time in which the backlog fills.
const SERVED_AT_ONCE: usize = 256;

/// A server that runs in a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct SlowServer {
    address: SocketAddr,
    started: Instant,
    accepted: Arc<Accepted>,
    stop: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl SlowServer {
    /// Serves `poem` at `pace` on a free loopback port, on `core` if one is given.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(poem: Poem, pace: Pace, core: Option<usize>) -> io::Result<Self> {
        let mut address = SocketAddr::from(([127, 0, 0, 1], 0));
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for token in 0..LISTENERS {
            let mut listener = listen(address)?;
            address = listener.local_addr()?;
            poll.registry()
                .register(&mut listener, Token(token), Interest::READABLE)?;
            listeners.push(listener);
        }
        let stop = Arc::new(Waker::new(poll.registry(), STOP)?);
        let started = Instant::now();
        let accepted = Arc::new(Accepted::default());
        let serving = Serving {
            poll,
            listeners,
            poem,
            pace,
            due: VecDeque::new(),
            started,
            accepted: Arc::clone(&accepted),
        };
        // The thread inherits the core.
        let thread = with_affinity(core, || {
            thread::Builder::new()
                .name("slow poems".to_owned())
                .spawn(|| serving.run())
        })??;
        Ok(Self {
            address,
            started,
            accepted,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the first connection was accepted, and the last so far; when the server was started if none was.
    pub fn accepted(&self) -> (Instant, Instant) {
        let at =
            |nanos: &AtomicU64| self.started + Duration::from_nanos(nanos.load(Ordering::Acquire));
        (at(&self.accepted.first), at(&self.accepted.last))
    }
}

/// Nanoseconds from the start to a connection; 0 before there is one.
#[derive(Debug, Default)]
struct Accepted {
    first: AtomicU64,
    last: AtomicU64,
}

impl Drop for SlowServer {
    fn drop(&mut self) {
        if self.stop.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // A panic in it has been printed.
            let _panicked = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

struct Serving {
    poll: Poll,
    listeners: Vec<TcpListener>,
    poem: Poem,
    pace: Pace,
    /// In the order of their times.
    due: VecDeque<Due>,
    started: Instant,
    accepted: Arc<Accepted>,
}

/// A connection, and what it is to get next.
struct Due {
    at: Instant,
    accepted: Instant,
    chunk: usize,
    stream: TcpStream,
}

impl Serving {
    /// Until it is stopped, or accepting fails: clients then wait in vain, and say so.
    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        loop {
            let now = Instant::now();
            self.serve_due(now);
            // It sleeps only while it serves nobody: else a client would pay for every time it has to be woken, and a
            // slow one, which finds it asleep more often, would pay more.
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

    /// Takes all that wait before it serves any.
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
                    self.note(accepted);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if costs_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn note(&self, accepted: Instant) {
        let nanos = accepted.saturating_duration_since(self.started).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        if self.accepted.last.swap(nanos, Ordering::Release) == 0 {
            self.accepted.first.store(nanos, Ordering::Release);
        }
    }

    fn serve_due(&mut self, now: Instant) {
        for _ in 0..SERVED_AT_ONCE {
            let due = self.due.pop_front_if(|due| due.at <= now);
            let Some(due) = due else { return };
            self.serve(due);
        }
    }

    /// Writes one chunk and puts the connection where its next time is; after the last, closes.
    fn serve(&mut self, mut due: Due) {
        let poem = self.poem.as_bytes();
        let Some(range) = self.pace.chunk(due.chunk, poem.len()) else {
            return;
        };
        // A chunk fits an empty socket buffer; whoever does not take it is no client to be measured.
        if !matches!(due.stream.write(&poem[range.clone()]), Ok(bytes) if bytes == range.len()) {
            return;
        }
        due.chunk += 1;
        due.at = due.accepted + self.pace.due(due.chunk);
        self.put(due);
    }

    /// Behind all that are due no later.
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
    }

    #[test]
    fn dropping_it_ends_its_thread_and_its_connections() {
        let server = SlowServer::start(Poem::from("never\n"), Pace::SLOW, None).unwrap();
        let mut client = std::net::TcpStream::connect(server.address()).unwrap();
        let mut first = [0; 6];
        client.read_exact(&mut first).unwrap();
        drop(server);
        assert_eq!(client.read(&mut first).unwrap_or(0), 0);
    }
}
