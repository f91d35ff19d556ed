//! The bare client that the models' clients are measured beside: one thread, epoll through mio, nothing else.
//!
//! It has no limits, no timers and no progress, and takes every address as it is given.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// More than any chunk it is sent.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Fetches the poems of all `addresses` at once, and writes them to `out`, one after another, in that order.
///
/// # Errors
/// What the system says of any connection.
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

/// Takes what is there; whether that was the end. A short read empties the socket, unless FIN is behind it.
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

    #[test]
    fn it_prints_the_poems_whole_and_in_order() {
        let pace = Pace::Slow {
            num_bytes: NonZeroUsize::new(3).unwrap(),
            delay: Duration::from_millis(1),
        };
        let servers = ["first\n", "second\n"]
            .map(|poem| SlowServer::start(Poem::from(poem), pace, None).unwrap());
        let addresses = servers.each_ref().map(SlowServer::address);
        let mut out = Vec::new();
        fetch_bare(&addresses, &mut out).unwrap();
        assert_eq!(out, b"first\nsecond\n");
    }
}
