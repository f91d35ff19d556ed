//! Step 9: named poems of a library, line by line. Each line is shown as soon as it has come, and a poem that was cut short is
//! an error.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_09_library                    # asks a library of its own
//! cargo run -p quatrain-streams --example streams_09_library -- 10003 lantern   # asks the library at a port
//! ```

mod common;

use std::io::{Write, stdout};
use std::net::TcpListener;
use std::process::ExitCode;

use futures::TryStreamExt;
use streams::joins::one_after_another;
use streams::{FramedPoem, Library, LibraryService, Peer, Poem, PoemName, Poems};
use streams::{lines, poem_named, serve_library};

const USAGE: &str = "[[HOST:]PORT NAME...]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => common::finish(common::block_on(ask_an_own_library())),
        [peer, names @ ..] if !names.is_empty() => match parse(peer, names) {
            Ok((peer, names)) => common::finish(common::block_on(show(peer, names))),
            Err(problem) => common::wrong(USAGE, &problem),
        },
        _ => common::wrong(USAGE, "no name is given"),
    }
}

/// Shows the lines of one poem after another. Both are asked for only when their turn has come.
async fn show(library: Peer, names: Vec<PoemName>) -> common::Ended {
    let poems = names
        .into_iter()
        .map(|name| lines(poem_named(library.clone(), name)));
    let mut lines = one_after_another(poems);
    while let Some(line) = lines.try_next().await? {
        writeln!(stdout(), "{line}")?;
    }
    Ok(())
}

async fn ask_an_own_library() -> common::Ended {
    let poems = [
        ("first", "The First Poem\nis read\nline by line.\n"),
        ("second", "The Second Poem\nwaits its turn,\nor does not.\n"),
    ];
    let mut library = Poems::new();
    for (name, text) in poems {
        library.insert(name.parse()?, FramedPoem::from(&Poem::from(text)));
    }
    let service = LibraryService {
        library: Library::new(library),
        keep_alive: false,
    };
    let server = serve_library(TcpListener::bind("127.0.0.1:0")?, service)?;
    let names = vec!["second".parse()?, "first".parse()?];
    show(server.address().into(), names).await
}

fn parse(peer: &str, names: &[String]) -> Result<(Peer, Vec<PoemName>), String> {
    let peer = peer.parse().map_err(|error| format!("'{peer}': {error}"))?;
    let names = names
        .iter()
        .map(|name| name.parse().map_err(|error| format!("'{name}': {error}")));
    Ok((peer, names.collect::<Result<_, String>>()?))
}
