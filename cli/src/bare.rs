//! `quatrain bare`: the bare servers and clients, the baselines that `measure` compares the models with.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;

use measure::poems::{self, BareVia};

use crate::args::BareArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::{parent, signals};

/// Serves, until a signal ends the process, or fetches poems.
pub(crate) fn run(args: BareArgs) -> Ended {
    signals::unblock()?;
    if let Some(parent) = args.end_with_parent {
        parent::end_with(parent);
    }
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let done = match &words[..] {
        [kind, "fetch", words @ ..] => fetch(kind, words),
        _ => bare::command::run(args.words).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => Ok(Status::Success),
        Err(problem) => Err(Failure::new(format_args!("bare: {problem}"))),
    }
}

/// Fetches all poems at once.
type Fetch = fn(&[SocketAddr], Option<BareVia<'_>>, &mut dyn Write) -> io::Result<()>;

/// Fetches as `quatrain fetch` does, with the options that `measure` puts before the addresses or none.
fn fetch(kind: &str, words: &[&str]) -> Result<(), String> {
    let fetch: Fetch = match kind {
        "mio" => poems::fetch_bare,
        "threads" => poems::fetch_in_bare_threads,
        _ => {
            return Err(format!(
                "there is no bare client of kind {kind}: mio or threads"
            ));
        }
    };
    let (via, addresses) = match words {
        [
            "--transform",
            transform,
            "--via",
            address,
            "--strict-transform",
            addresses @ ..,
        ] => {
            let address = parse(address)?;
            (Some(BareVia { transform, address }), addresses)
        }
        addresses => (None, addresses),
    };
    let addresses = addresses.iter().map(|address| parse(address));
    let addresses: Vec<SocketAddr> = addresses.collect::<Result<_, _>>()?;
    let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    fetch(&addresses, via, &mut stdout).map_err(|error| cause(&error))
}

fn parse(address: &str) -> Result<SocketAddr, String> {
    let parsed = address.parse();
    parsed.map_err(|_| format!("{address} is not an address and port"))
}
