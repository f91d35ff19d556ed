//! A transform server with two light clients and one whose requests compute for long: what a blocking call does to a loop, and each
//! model's remedy (S25).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use poetry::{Model, Options, Service, TransformService};
use timeline::{Memory, Record};

use super::{EVENTS_MAX, Scene, failed, recorded, start};
use crate::failure::Failure;

/// Requests of each light client, and the time from one to the next.
const LIGHT: usize = 30;
const GAP: Duration = Duration::from_millis(5);
/// Heavy requests of the third client, sent together; each computes for 10 ms.
const HEAVY: usize = 5;
/// When the third client sends its requests.
pub(super) const THIRD_AT: Duration = Duration::from_millis(40);
/// How long a client waits for a reply, which takes a hundredth of that.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the server of each model.
pub(super) fn scene(models: &[&'static dyn Model], offload: bool) -> Result<Scene, Failure> {
    let (mut records, mut slowest) = (Vec::new(), Vec::new());
    for &model in models {
        let (record, longest) = serve(model, offload, heavy)?;
        records.push(record);
        slowest.push(in_words(model, longest));
    }
    let (title, words) = match offload {
        false => (
            "A server with a request that computes",
            "Two clients ask for something light every 5 ms; after 40 ms a third asks for five transforms that compute for \
             10 ms each. One thread runs everything in callbacks, actors and streams, so the light clients wait behind the \
             wide block; the threads of blocking share the cores.",
        ),
        true => (
            "The same server with --offload",
            "The heavy requests are computed elsewhere: by deferring to a thread (callbacks), in worker processes (actors), by \
             spawn_blocking (streams). Blocking changes nothing, and needs nothing. The wide block is gone: the third \
             client's task waits for another task.",
        ),
    };
    Ok(Scene {
        title,
        words: format!(
            "{words} The slowest reply to a light client in this run: {}.",
            slowest.join(", ")
        ),
        records,
    })
}

/// Returns the slowest reply to a light client, with the model.
pub(super) fn in_words(model: &dyn Model, longest: Duration) -> String {
    format!("{} {:.1} ms", model.name(), longest.as_secs_f64() * 1e3)
}

/// Serves two light clients and a third one, and returns the slowest reply to a light one.
pub(super) fn serve(
    model: &'static dyn Model,
    offload: bool,
    third: fn(SocketAddr) -> io::Result<()>,
) -> Result<(Record, Duration), Failure> {
    let options = Options::new(models::clock());
    let service = Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(models::clock()),
        offload,
    });
    let memory = Arc::new(Memory::new(EVENTS_MAX));
    let server = start(model, service, &options, memory.clone());
    let server = server.map_err(|error| failed(model, "no transform server", error))?;
    let address = server.address();
    let longest = thread::scope(|scope| {
        let clients = [
            scope.spawn(move || light(address)),
            scope.spawn(move || light(address)),
            scope.spawn(move || third(address).map(|()| Duration::ZERO)),
        ];
        let mut longest = Duration::ZERO;
        for client in clients {
            let joined = client
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a client panicked")));
            longest = longest.max(joined?);
        }
        Ok(longest)
    });
    let longest = longest.map_err(|error: io::Error| failed(model, "a client failed", error))?;
    server.shutdown(Duration::from_secs(1));
    Ok((recorded(&memory), longest))
}

/// Asks for something light at equal gaps, and returns the longest time to a reply.
fn light(address: SocketAddr) -> io::Result<Duration> {
    let mut socket = connect(address)?;
    let begin = Instant::now();
    let mut longest = Duration::ZERO;
    for request in 0..LIGHT {
        let due = begin + GAP * request as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        ask(&mut socket, b"10:shout.ahoy,", b"4:AHOY,")?;
        longest = longest.max(sent.elapsed());
    }
    Ok(longest)
}

/// Asks for what computes for long, all at once.
fn heavy(address: SocketAddr) -> io::Result<()> {
    let mut socket = connect(address)?;
    thread::sleep(THIRD_AT);
    ask(
        &mut socket,
        &b"9:burn.ahoy,".repeat(HEAVY),
        &b"4:ahoy,".repeat(HEAVY),
    )
}

pub(super) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
    Ok(socket)
}

/// Sends requests in one write, and compares every byte of the replies.
pub(super) fn ask(socket: &mut TcpStream, requests: &[u8], expected: &[u8]) -> io::Result<()> {
    socket.write_all(requests)?;
    let mut replies = vec![0; expected.len()];
    socket.read_exact(&mut replies)?;
    match replies == expected {
        true => Ok(()),
        false => Err(io::Error::other("a reply has wrong bytes")),
    }
}
