//! A short script of requests and expected replies, run before anything is timed (MEASURING 1).
//!
//! It needs only an address, and is enough to keep a server that answers wrongly out of a table. The conformance suite
//! checks far more.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::exchange::Exchange;

/// The timeout of a connect, a read and a write.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks a transform server at `address`: whole, split and refused requests; with `keep_alive` also pipelined ones,
/// otherwise that only the first is answered.
///
/// # Errors
/// Which case the server failed, what was expected and what came.
pub fn transforms(address: SocketAddr, keep_alive: bool) -> Result<(), String> {
    good_transforms(address, keep_alive)?;
    let exchanges = exchanges()?;
    expect("a request without a dot", address, &[b"3:abc,"], b"")?;
    expect("a length over the limit", address, &[b"100000:"], b"")?;
    let requests = joined(&exchanges, |exchange| &exchange.request);
    if keep_alive {
        let replies = joined(&exchanges, |exchange| &exchange.reply);
        let refused = [&requests[..], b"3:abc,"].concat();
        expect("a refusal after them", address, &[&refused], &replies)
    } else {
        let first = &exchanges[0].reply;
        expect("more than one request", address, &[&requests], first)
    }
}

/// Checks a transform server at `address` with requests that it must answer, as [`transforms`] does, but not with those that it
/// must refuse or ignore: bare loops promise no more.
///
/// # Errors
/// As [`transforms`].
pub fn good_transforms(address: SocketAddr, keep_alive: bool) -> Result<(), String> {
    let exchanges = exchanges()?;
    for exchange in &exchanges {
        let Exchange { request, reply } = exchange;
        expect("a whole request", address, &[request], reply)?;
        let (head, tail) = request.split_at(request.len() / 2);
        expect("a request in two pieces", address, &[head, tail], reply)?;
    }
    let Exchange { request, reply } = &exchanges[0];
    let bytes: Vec<&[u8]> = request.chunks(1).collect();
    expect("a request byte by byte", address, &bytes, reply)?;
    if !keep_alive {
        return Ok(());
    }
    let requests = joined(&exchanges, |exchange| &exchange.request);
    let replies = joined(&exchanges, |exchange| &exchange.reply);
    expect("pipelined requests", address, &[&requests], &replies)
}

fn exchanges() -> Result<Vec<Exchange>, String> {
    let long = crate::exchange::poem(20_000);
    let requests = [
        ("cummingsify", "The Answer\n"),
        ("shout", "a.b.ç"),
        ("cummingsify", ""),
        ("reverse", "one\ntwo\n"),
        ("cummingsify", &long),
    ];
    requests
        .iter()
        .map(|(transform, poem)| Exchange::transform(transform, poem))
        .collect()
}

fn joined(exchanges: &[Exchange], of: impl Fn(&Exchange) -> &Vec<u8>) -> Vec<u8> {
    exchanges.iter().flat_map(of).copied().collect()
}

/// Sends `pieces`, each in its own segment, then FIN, and compares all that the server sends until it closes.
fn expect(case: &str, address: SocketAddr, pieces: &[&[u8]], reply: &[u8]) -> Result<(), String> {
    let found = converse(address, pieces).map_err(|error| format!("{case}: {error}"))?;
    if found == reply {
        return Ok(());
    }
    Err(format!(
        "{case}: expected {}, the server sent {}",
        abridged(reply),
        abridged(&found)
    ))
}

/// The most bytes of a reply quoted in an error.
const QUOTED_BYTES_MAX: usize = 40;

/// Formats `bytes` for an error: their number and the first of them.
fn abridged(bytes: &[u8]) -> String {
    let (quoted, more) = match bytes.split_at_checked(QUOTED_BYTES_MAX) {
        Some((start, [_, ..])) => (start, "…"),
        _ => (bytes, ""),
    };
    match bytes.len() {
        0 => "nothing".to_owned(),
        len => format!("{len} bytes, `{}{more}`", quoted.escape_ascii()),
    }
}

fn converse(address: SocketAddr, pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, IO_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    for piece in pieces {
        stream.write_all(piece)?;
    }
    // NotConnected: the server has closed already; its reply decides.
    match stream.shutdown(Shutdown::Write) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
        _ => {}
    }
    let mut found = Vec::new();
    stream.read_to_end(&mut found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_in_an_error_is_quoted_up_to_a_bound() {
        assert_eq!(abridged(b""), "nothing");
        assert_eq!(abridged(b"4:A\n,"), r"5 bytes, `4:A\n,`");
        let long = abridged(&[b'x'; 41]);
        assert_eq!(long, format!("41 bytes, `{}…`", "x".repeat(40)));
    }
}
