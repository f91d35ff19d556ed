//! The `Serving` line on stdout, which names the address that a server listens on.

use std::io::{self, Write};
use std::net::SocketAddr;

use tracing::warn;

use crate::closed_stdout;
use crate::failure::cause;
use crate::line_writer::{LineWriter, Sink, would_block};

/// Prints the one line on stdout, without waiting for its reader: the server runs whether or not it is read (S22).
pub(crate) fn announce(what: &[u8], address: SocketAddr, model: &str) -> LineWriter {
    let mut line = b"Serving ".to_vec();
    line.extend_from_slice(what);
    line.extend_from_slice(format!(" on {address} with {model}\n").as_bytes());
    let stdout = LineWriter::new("stdout", Announcement { address });
    stdout.push_directly(&line);
    stdout
}

/// The process's stdout, for a server's `Serving` line.
struct Announcement {
    address: SocketAddr,
}

impl Sink for Announcement {
    fn write(&self, lines: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = closed_stdout::check()
            .and_then(|()| stdout.write_all(lines))
            .and_then(|()| stdout.flush());
        if let Err(error) = written {
            let (address, cause) = (self.address, cause(&error));
            warn!("cannot print the address on stdout ({cause}): serving on {address}");
        }
    }

    fn is_full(&self) -> bool {
        would_block(io::stdout())
    }

    fn report_dropped(&self, _: u64) {
        warn!(
            "cannot print the address on stdout: serving on {}",
            self.address
        );
    }
}
