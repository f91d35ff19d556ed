//! Two bare clients, the baselines of the models' clients: one thread with epoll through mio, or a thread for each poem.
//!
//! They have no limits, timers or progress, and do not resolve names.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::Decoder;
use poetry::request;

/// More than any chunk of a poem.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// A transform, and the one-shot server that is asked for it on a connection for each poem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareVia<'t> {
    /// The transform's name.
    pub transform: &'t str,
    /// The server.
    pub address: SocketAddr,
}

/// Fetches the poems of all `addresses` at once, has each transformed by `via` if there is one, and writes them to `out`, one after
/// another, in that order.
///
/// # Errors
/// The first error of any connection.
pub fn fetch_bare(
    addresses: &[SocketAddr],
    via: Option<BareVia<'_>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut fetches = Vec::with_capacity(addresses.len());
    for (index, address) in addresses.iter().enumerate() {
        let mut stream = TcpStream::connect(*address)?;
        poll.registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        fetches.push(Fetch {
            stream: Some(stream),
            via,
            unsent: Vec::new(),
            received: Vec::new(),
        });
    }
    let mut events = Events::with_capacity(1_024);
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut left = fetches.len();
    while left > 0 {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            let token = event.token();
            if let Some(fetch) = fetches.get_mut(token.0)
                && fetch.proceed(event.is_read_closed(), &mut buffer)?
                && !fetch.ask(token, poll.registry())?
            {
                left -= 1;
            }
        }
    }
    for fetch in &fetches {
        let transform = via.is_some();
        out.write_all(&poem_in(&fetch.received, transform)?)?;
    }
    out.flush()
}

/// One poem of [`fetch_bare`].
struct Fetch<'t> {
    /// The connection to the poem server, then to the transform server; `None` once the poem is there.
    stream: Option<TcpStream>,
    /// The transform server, if it is still to be asked.
    via: Option<BareVia<'t>>,
    /// The request to it.
    unsent: Vec<u8>,
    /// The poem, then the reply.
    received: Vec<u8>,
}

impl Fetch<'_> {
    /// Sends and reads what is possible, and returns whether the server has closed.
    fn proceed(&mut self, closed: bool, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        if !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if is_not_ready(&error) => {}
                Err(error) => return Err(error),
            }
        }
        read(stream, closed, &mut self.received, buffer)
    }

    /// Asks for the transform of the poem that has been received. Returns whether there is one.
    fn ask(&mut self, token: Token, registry: &Registry) -> io::Result<bool> {
        let Some(via) = self.via.take() else {
            self.stream = None;
            return Ok(false);
        };
        self.unsent = encode(via.transform, &self.received)?;
        self.received.clear();
        let mut stream = TcpStream::connect(via.address)?;
        // The first event is that the connection is made.
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, token, interest)?;
        self.stream = Some(stream);
        Ok(true)
    }
}

fn is_not_ready(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected
    )
}

fn encode(transform: &str, poem: &[u8]) -> io::Result<Vec<u8>> {
    let poem = std::str::from_utf8(poem).map_err(io::Error::other)?;
    let mut request = Vec::new();
    request::encode(transform, poem, &mut request);
    Ok(request)
}

/// Returns the poem in what was received: all of it, or the reply to a request for its transform.
fn poem_in(received: &[u8], transform: bool) -> io::Result<Vec<u8>> {
    if !transform {
        return Ok(received.to_vec());
    }
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut frames = decoder.feed(received);
    let frame = frames.next().map_err(io::Error::other)?;
    frame
        .map(<[u8]>::to_vec)
        .ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// The stack of a thread of [`fetch_in_bare_threads`]: 10,000 default stacks would take 20 GB of address space.
const STACK_BYTES: usize = 128 << 10;

/// Like [`fetch_bare`], with a thread for each poem.
///
/// # Errors
/// The first error of any connection, or of spawning a thread.
pub fn fetch_in_bare_threads(
    addresses: &[SocketAddr],
    via: Option<BareVia<'_>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let poems: Vec<Vec<u8>> = thread::scope(|scope| {
        let fetch = |&address: &SocketAddr| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || fetch_one(address, via))
        };
        let threads: Vec<_> = addresses.iter().map(fetch).collect::<io::Result<_>>()?;
        let poem = |thread: thread::ScopedJoinHandle<'_, _>| {
            let joined = thread.join();
            joined.unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        };
        threads.into_iter().map(poem).collect::<io::Result<_>>()
    })?;
    poems.iter().try_for_each(|poem| out.write_all(poem))?;
    out.flush()
}

fn fetch_one(address: SocketAddr, via: Option<BareVia<'_>>) -> io::Result<Vec<u8>> {
    let mut poem = Vec::new();
    std::net::TcpStream::connect(address)?.read_to_end(&mut poem)?;
    let Some(via) = via else { return Ok(poem) };
    let mut stream = std::net::TcpStream::connect(via.address)?;
    stream.write_all(&encode(via.transform, &poem)?)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    poem_in(&reply, true)
}

/// Reads all available bytes, and returns whether the poem has ended. A short read has emptied the socket, unless FIN
/// follows.
fn read(
    stream: &mut TcpStream,
    closed: bool,
    poem: &mut Vec<u8>,
    buffer: &mut [u8],
) -> io::Result<bool> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Ok(true),
            Ok(bytes) => {
                poem.extend_from_slice(&buffer[..bytes]);
                if bytes < buffer.len() && !closed {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use poetry::{Pace, Poem};

    use super::*;
    use crate::floor::FloorThread;
    use crate::poems::SlowServer;

    type Fetching = fn(&[SocketAddr], Option<BareVia<'_>>, &mut dyn Write) -> io::Result<()>;

    #[test]
    fn both_clients_print_whole_poems_in_order() {
        let pace = Pace::Slow {
            num_bytes: NonZeroUsize::new(3).unwrap(),
            delay: Duration::from_millis(1),
        };
        let servers = ["first\n", "second\n"]
            .map(|poem| SlowServer::start(Poem::from(poem), pace, None).unwrap());
        let addresses = servers.each_ref().map(SlowServer::address);
        let floor = FloorThread::start(false, None).unwrap();
        let via = BareVia {
            transform: "shout",
            address: floor.address(),
        };
        for fetch in [fetch_bare as Fetching, fetch_in_bare_threads] {
            let mut out = Vec::new();
            fetch(&addresses, None, &mut out).unwrap();
            fetch(&addresses, Some(via), &mut out).unwrap();
            assert_eq!(out, b"first\nsecond\nFIRST\nSECOND\n");
        }
    }

    #[test]
    fn s4_a_transform_that_is_refused_is_an_error() {
        let server = SlowServer::start(Poem::from("poem\n"), Pace::Fast, None).unwrap();
        let floor = FloorThread::start(false, None).unwrap();
        let via = BareVia {
            transform: "nonsense",
            address: floor.address(),
        };
        for fetch in [fetch_bare as Fetching, fetch_in_bare_threads] {
            let error = fetch(&[server.address()], Some(via), &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }
}
