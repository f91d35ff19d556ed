//! Learning what a server's poem is, where no file says it: it is fetched once, and every later one must be the same.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use poetry::PoemName;
use poetry::limits::{FRAME_BYTES_MAX, POEM_BYTES_MAX};
use poetry::netstring::{self, Decoder};

use super::LoadError;
use crate::exchange::Exchange;

/// Size of the read buffer.
const BUFFER_BYTES: usize = 16 << 10;

/// Fetches the poem of the poem server or proxy at `address`. `timeout` is for the connect and each read.
///
/// # Errors
/// As [`super::run`]; [`LoadError::Plan`] if the poem is empty or longer than a client accepts (S15).
pub fn learn_poem(address: SocketAddr, timeout: Duration) -> Result<Exchange, LoadError> {
    let mut stream = connect(address, timeout)?;
    let mut poem = Vec::new();
    loop {
        let bytes = read(&mut stream, timeout, |bytes| poem.extend_from_slice(bytes))?;
        if poem.len() > POEM_BYTES_MAX {
            return Err(LoadError::Plan(format!(
                "the poem is over {POEM_BYTES_MAX} bytes"
            )));
        }
        if bytes == 0 {
            break;
        }
    }
    if poem.is_empty() {
        return Err(LoadError::Plan("the poem is empty".to_owned()));
    }
    Ok(Exchange {
        request: Vec::new(),
        reply: poem,
    })
}

/// Fetches the poem `name` of the library at `address`. `timeout` is for the connect and each read.
///
/// # Errors
/// As [`super::run`]; [`LoadError::ClosedEarly`] if the library refuses the name; [`LoadError::Plan`] if the reply is not a
/// netstring.
pub fn learn_library(
    address: SocketAddr,
    name: &PoemName,
    timeout: Duration,
) -> Result<Exchange, LoadError> {
    let mut stream = connect(address, timeout)?;
    let mut request = Vec::new();
    netstring::encode(name.as_str().as_bytes(), &mut request);
    stream.write_all(&request).map_err(LoadError::Lost)?;
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut reply = None;
    while reply.is_none() {
        let mut flaw = None;
        let bytes = read(&mut stream, timeout, |bytes| {
            match decoder.feed(bytes).next() {
                Ok(frame) => reply = frame.map(<[u8]>::to_vec),
                Err(error) => flaw = Some(error),
            }
        })?;
        if let Some(flaw) = flaw {
            return Err(LoadError::Plan(format!("the reply is no poem: {flaw}")));
        }
        if bytes == 0 && reply.is_none() {
            return Err(LoadError::ClosedEarly { owed: 1 });
        }
    }
    let mut framed = Vec::new();
    netstring::encode(&reply.unwrap_or_default(), &mut framed);
    Ok(Exchange {
        request,
        reply: framed,
    })
}

fn connect(address: SocketAddr, timeout: Duration) -> Result<TcpStream, LoadError> {
    let stream = TcpStream::connect_timeout(&address, timeout).map_err(LoadError::NoConnection)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    Ok(stream)
}

/// Reads once, and hands what has come to `take`. Returns the number of bytes, 0 at the end.
fn read(
    stream: &mut TcpStream,
    timeout: Duration,
    take: impl FnOnce(&[u8]),
) -> Result<usize, LoadError> {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(bytes) => {
                take(&buffer[..bytes]);
                return Ok(bytes);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The system's words for the end of a read timeout are those for a socket that would block.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(LoadError::Stalled {
                    after: timeout,
                    open: 1,
                });
            }
            Err(error) => return Err(LoadError::Lost(error)),
        }
    }
}
