//! A short script of requests against expected replies, before anything is timed (MEASURING 1).
//!
//! The conformance suite says far more; this is what a runner can do with nothing but an address, and enough to
//! keep a server that answers wrongly out of a table.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::exchange::Exchange;

/// How long one reply may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks a transform server at `address`: whole, split and refused requests, and as `keep_alive` says either
/// pipelined ones or that exactly the first is answered.
///
/// # Errors
/// What the server did wrong, in words.
pub fn transforms(address: SocketAddr, keep_alive: bool) -> Result<(), String> {
    let exchanges = exchanges()?;
    for exchange in &exchanges {
        let Exchange { request, reply } = exchange;
        expect("a whole request", address, &[request], reply)?;
        let (head, tail) = request.split_at(request.len() / 2);
        expect("a request in two pieces", address, &[head, tail], reply)?;
    }
    let bytes: Vec<&[u8]> = exchanges[0].request.chunks(1).collect();
    expect(
        "a request byte by byte",
        address,
        &bytes,
        &exchanges[0].reply,
    )?;
    expect("a request without a dot", address, &[b"3:abc,"], b"")?;
    expect("a length over the limit", address, &[b"100000:"], b"")?;

    let requests = joined(&exchanges, |exchange| &exchange.request);
    if keep_alive {
        let replies = joined(&exchanges, |exchange| &exchange.reply);
        expect("pipelined requests", address, &[&requests], &replies)?;
        let refused = [&requests[..], b"3:abc,"].concat();
        expect("a refusal after them", address, &[&refused], &replies)
    } else {
        let first = &exchanges[0].reply;
        expect("more than one request", address, &[&requests], first)
    }
}

fn exchanges() -> Result<Vec<Exchange>, String> {
    let long = crate::exchange::poem(20_000);
    let asked = [
        ("cummingsify", "The Answer\n"),
        ("shout", "a.b.ç"),
        ("cummingsify", ""),
        ("reverse", "one\ntwo\n"),
        ("cummingsify", &long),
    ];
    asked
        .iter()
        .map(|(transform, poem)| Exchange::transform(transform, poem))
        .collect()
}

fn joined(exchanges: &[Exchange], of: impl Fn(&Exchange) -> &Vec<u8>) -> Vec<u8> {
    exchanges.iter().flat_map(of).copied().collect()
}

/// Sends `pieces`, each in a segment of its own, then FIN, and compares everything that comes until the end.
fn expect(case: &str, address: SocketAddr, pieces: &[&[u8]], reply: &[u8]) -> Result<(), String> {
    let found = converse(address, pieces).map_err(|error| format!("{case}: {error}"))?;
    if found == reply {
        return Ok(());
    }
    Err(format!(
        "{case}: {} bytes came back, and not the {} expected",
        found.len(),
        reply.len()
    ))
}

fn converse(address: SocketAddr, pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for piece in pieces {
        stream.write_all(piece)?;
    }
    // A server that has closed already is judged by what it said.
    match stream.shutdown(Shutdown::Write) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => return Err(error),
        _ => {}
    }
    let mut found = Vec::new();
    stream.read_to_end(&mut found)?;
    Ok(found)
}
