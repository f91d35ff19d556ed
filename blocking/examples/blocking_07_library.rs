//! Step 7: a library. A server has poems by name; the client asks for several, one thread each. A reply is a netstring, so
//! unlike the poems of the steps before, one that is cut short is noticed.
//!
//! `cargo run -p quatrain-blocking --example blocking_07_library`, or with the port of a library and names: `… -- 10001 star`

use std::error::Error;
use std::net::TcpListener;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};

use blocking::{
    FetchError, FramedPoem, Library, LibraryService, Peer, Poem, PoemName, RunningServer,
};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(missing) => ExitCode::from(u8::from(missing > 0)),
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!(
                "usage: [[host:]port NAME ...]; without arguments, the example starts its own library"
            );
            ExitCode::from(2)
        }
    }
}

/// Prints the poems of these names, and returns how many are missing.
fn run(mut arguments: impl Iterator<Item = String>) -> Result<usize, Box<dyn Error>> {
    let mut server = None; // Serves until the end of this function.
    let (peer, names): (Peer, Vec<String>) = match arguments.next() {
        Some(peer) => (peer.parse()?, arguments.collect()),
        None => {
            let peer = server.insert(serve()?).address().into();
            (peer, vec!["lamp".to_owned(), "ropes".to_owned()])
        }
    };
    let names = names.iter().map(|name| name.parse::<PoemName>());
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let mut missing = 0;
    for (name, poem) in names.iter().zip(get_all(&peer, &names)) {
        match poem {
            Ok(poem) => println!("{poem}"),
            Err(error) => {
                eprintln!("{name}: {error}");
                missing += 1;
            }
        }
    }
    Ok(missing)
}

/// Fetches the poems of all names at once, in their order.
fn get_all(peer: &Peer, names: &[PoemName]) -> Vec<Result<Poem, FetchError>> {
    thread::scope(|scope| {
        let spawn = |name| scope.spawn(move || blocking::get_poetry_named(peer.clone(), name));
        let threads: Vec<ScopedJoinHandle<'_, Result<Poem, FetchError>>> =
            names.iter().map(spawn).collect();
        let threads = threads.into_iter();
        threads
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// Starts a library of two poems. The poems can be replaced while it runs, with a clone of the [`Library`].
fn serve() -> Result<RunningServer, Box<dyn Error>> {
    let framed = |text: &str| FramedPoem::from(&Poem::from(text));
    let poems = [
        (
            "lamp".parse()?,
            framed("The lamp is out,\nthe harbour is not.\n"),
        ),
        (
            "ropes".parse()?,
            framed("Count the ropes,\nthen count again.\n"),
        ),
    ];
    let service = LibraryService {
        library: Library::new(poems.into()),
        keep_alive: false,
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(blocking::serve_library(listener, service)?)
}
