//! Two bare clients, the baselines of the models' clients: one thread with epoll through mio, or a thread for each poem.
//!
//! They have no limits, timers or progress, and do not resolve names.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// More than any chunk of a poem.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Fetches the poems of all `addresses` at once, and writes them to `out`, one after another, in that order.
///
/// # Errors
/// The first error of any connection.
pub fn fetch_bare(addresses: &[SocketAddr], out: &mut dyn Write) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut fetches = Vec::with_capacity(addresses.len());
    for (index, address) in addresses.iter().enumerate() {
        let mut stream = TcpStream::connect(*address)?;
        poll.registry()
            .register(&mut stream, Token(index), Interest::READABLE)?;
        fetches.push((Some(stream), Vec::new()));
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
            if let Some((stream, poem)) = fetches.get_mut(event.token().0)
                && let Some(open) = stream
                && read(open, event.is_read_closed(), poem, &mut buffer)?
            {
                *stream = None;
                left -= 1;
            }
        }
    }
    for (_, poem) in &fetches {
        out.write_all(poem)?;
    }
    out.flush()
}

/// The stack of a thread of [`fetch_in_bare_threads`]: 10,000 default stacks would take 20 GB of address space.
const STACK_BYTES: usize = 128 << 10;

/// Like [`fetch_bare`], with a thread for each poem.
///
/// # Errors
/// The first error of any connection, or of spawning a thread.
pub fn fetch_in_bare_threads(addresses: &[SocketAddr], out: &mut dyn Write) -> io::Result<()> {
    let poems: Vec<Vec<u8>> = thread::scope(|scope| {
        let fetch = |&address: &SocketAddr| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || fetch_one(address))
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

fn fetch_one(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut poem = Vec::new();
    std::net::TcpStream::connect(address)?.read_to_end(&mut poem)?;
    Ok(poem)
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
    use crate::poems::SlowServer;

    type Fetch = fn(&[SocketAddr], &mut dyn Write) -> io::Result<()>;

    #[test]
    fn both_clients_print_whole_poems_in_order() {
        let pace = Pace::Slow {
            num_bytes: NonZeroUsize::new(3).unwrap(),
            delay: Duration::from_millis(1),
        };
        let servers = ["first\n", "second\n"]
            .map(|poem| SlowServer::start(Poem::from(poem), pace, None).unwrap());
        let addresses = servers.each_ref().map(SlowServer::address);
        for fetch in [fetch_bare as Fetch, fetch_in_bare_threads] {
            let mut out = Vec::new();
            fetch(&addresses, &mut out).unwrap();
            assert_eq!(out, b"first\nsecond\n");
        }
    }
}
