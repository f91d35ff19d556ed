//! What the steps share: their arguments, the poem servers they start if there are none, and their output.

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use blocking::{FetchError, RunningServer, serve_poem};
use poetry::{Pace, Peer, Poem, PoemService};

/// A poem, or why there is none.
pub(crate) type Fetched = Result<Poem, Box<dyn Error + Send + Sync>>;

/// Fetches the poems of the peers in the arguments with `get_all`, and prints the poems and the time that took. Without
/// arguments it starts three slow poem servers and fetches their poems.
///
/// The exit status is 0 if every poem arrived, 1 if one did not, and 2 if an argument is not a peer or a server cannot start.
pub(crate) fn run(get_all: fn(&[Peer]) -> Vec<Fetched>) -> ExitCode {
    let arguments = std::env::args().skip(1);
    let peers: Result<Vec<Peer>, String> = arguments
        .map(|text| text.parse().map_err(|error| format!("{text}: {error}")))
        .collect();
    let mut peers = match peers {
        Ok(peers) => peers,
        Err(message) => {
            eprintln!("error: {message}");
            eprintln!(
                "usage: [[host:]port ...]; without arguments, the example starts its own servers"
            );
            return ExitCode::from(2);
        }
    };
    let mut servers = Vec::new();
    if peers.is_empty() {
        match start_servers() {
            Ok(started) => servers = started,
            Err(error) => {
                eprintln!("error: cannot start a poem server: {error}");
                return ExitCode::from(2);
            }
        }
        peers.extend(servers.iter().map(|server| Peer::from(server.address())));
    }
    let begun = Instant::now();
    let poems = get_all(&peers);
    let elapsed = begun.elapsed();
    drop(servers);
    print(&peers, poems, elapsed)
}

fn print(peers: &[Peer], poems: Vec<Fetched>, elapsed: Duration) -> ExitCode {
    let mut arrived = 0;
    for (peer, poem) in peers.iter().zip(poems) {
        match poem {
            Ok(poem) => {
                println!("{poem}");
                arrived += 1;
            }
            // The model's errors name the peer themselves.
            Err(error) if error.is::<FetchError>() => eprintln!("{error}"),
            Err(error) => eprintln!("{peer}: {error}"),
        }
    }
    let wanted = peers.len();
    eprintln!(
        "{arrived} of {wanted} poems in {:.1} s",
        elapsed.as_secs_f64()
    );
    ExitCode::from(u8::from(arrived < wanted))
}

/// Starts three servers, each of which takes about half a second to send its poem.
fn start_servers() -> io::Result<Vec<RunningServer>> {
    let poems = [
        "The lamp is out,\nthe harbour is not.\n",
        "Nine boats came home\nand one came late.\n",
        "Count the ropes,\nthen count again.\n",
    ];
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(4).expect("not zero"),
        delay: Duration::from_millis(50),
    };
    poems
        .map(|poem| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let poem = poem.into();
            serve_poem(listener, PoemService { poem, pace })
        })
        .into_iter()
        .collect()
}
