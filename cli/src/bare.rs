//! `quatrain bare`: the bare servers and clients, the baselines that `measure` compares the models with.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;

use measure::poems;

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
        [kind, "fetch", addresses @ ..] => fetch(kind, addresses),
        _ => bare::command::run(args.words).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => Ok(Status::Success),
        Err(problem) => Err(Failure::new(format_args!("bare: {problem}"))),
    }
}

/// Fetches all poems at once.
type Fetch = fn(&[SocketAddr], &mut dyn Write) -> io::Result<()>;

fn fetch(kind: &str, addresses: &[&str]) -> Result<(), String> {
    let fetch: Fetch = match kind {
        "mio" => poems::fetch_bare,
        "threads" => poems::fetch_in_bare_threads,
        _ => {
            return Err(format!(
                "there is no bare client of kind {kind}: mio or threads"
            ));
        }
    };
    let parse = |address: &&str| {
        let parsed = address.parse();
        parsed.map_err(|_| format!("{address} is not an address and port"))
    };
    let addresses: Vec<SocketAddr> = addresses.iter().map(parse).collect::<Result<_, _>>()?;
    let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    fetch(&addresses, &mut stdout).map_err(|error| cause(&error))
}
