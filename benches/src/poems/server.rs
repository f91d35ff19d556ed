//! The slow poem server that clients are measured with: one thread, and a queue for a clock.
//!
//! Every connection has the same pace, so whoever was accepted first is due first: what is due is always at the head
//! of a queue. It has no limits and expects well-behaved clients; a client that has gone is forgotten.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use poetry::{Pace, Poem};
use socket2::{Domain, Socket, Type};

use crate::process::with_affinity;

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
/// Connections the kernel holds for us: as many as any burst we ask for, and the system allows.
const BACKLOG: i32 = 16_384;

/// A server that runs in a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct SlowServer {
    address: SocketAddr,
    stop: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl SlowServer {
    /// Serves `poem` at `pace` on a free loopback port, on `core` if one is given.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(poem: Poem, pace: Pace, core: Option<usize>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::new(Waker::new(poll.registry(), STOP)?);
        let serving = Serving {
            poll,
            listener,
            poem,
            pace,
            due: VecDeque::new(),
        };
        // The thread inherits the core.
        let thread = with_affinity(core, || {
            thread::Builder::new()
                .name("slow poems".to_owned())
                .spawn(|| serving.run())
        })??;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
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

struct Serving {
    poll: Poll,
    listener: mio::net::TcpListener,
    poem: Poem,
    pace: Pace,
    /// In the order of their times.
    due: VecDeque<Due>,
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
            let next = self
                .due
                .front()
                .map(|due| due.at.saturating_duration_since(now));
            // The kernel waits for whole milliseconds: rounded up, no chunk is early.
            match self.poll.poll(
                &mut events,
                next.map(|next| next + Duration::from_micros(999)),
            ) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
            for event in &events {
                if event.token() == STOP || self.accept().is_err() {
                    return;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let accepted = Instant::now();
                    self.serve(Due {
                        at: accepted,
                        accepted,
                        chunk: 0,
                        stream,
                    });
                    // A burst of connections does not delay what is due.
                    self.serve_due(accepted);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn serve_due(&mut self, now: Instant) {
        while self.due.front().is_some_and(|due| due.at <= now)
            && let Some(due) = self.due.pop_front()
        {
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
