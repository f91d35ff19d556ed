//! Peers that send or take a few bytes now and then (S18, S15).

use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::failure::{Check, ensure, equal, same_bytes};
use crate::fake_servers::{FakeServer, Serves, TricklesForever};
use crate::faults::{Content, FaultContext, Observed, fault_cases};
use crate::wire::text;

fault_cases! {
    "requests that trickle":
    closes_a_trickled_request_at_its_deadline [S18] for [TransformServer LibraryServer],
    "slow readers":
    sends_a_slow_reader_the_whole_poem [S18] for [PoemServer LibraryServer Proxy],
    "servers that trickle":
    gives_up_a_trickled_poem_at_the_total_deadline [S15] for [Client],
}

fn closes_a_trickled_request_at_its_deadline(context: &FaultContext) -> Check<Observed> {
    const PEERS: usize = 20;
    const EVERY: Duration = Duration::from_millis(50);
    let server = context
        .server(Content::Quick)
        .limits(|limits| {
            limits.request_deadline = Duration::from_secs(1);
            limits.idle_timeout = Duration::from_millis(500);
        })
        .start()?;
    let mut peers: Vec<Connection> = (0..PEERS).map(|_| server.connect()).collect::<Check<_>>()?;
    for peer in &mut peers {
        peer.send(b"200:")?;
    }
    let deadline = Instant::now() + server.patience();
    while !peers.is_empty() {
        // The server has closed when a byte cannot be sent, or FIN can be read.
        peers.retain_mut(|peer| peer.try_send(b"x").is_ok() && !peer.is_readable().unwrap_or(true));
        server.serves()?;
        ensure(Instant::now() < deadline, || {
            "a trickled request is never closed".to_owned()
        })?;
        // This sleep is the behaviour under test; it awaits no event.
        thread::sleep(EVERY);
    }
    let counts = server.settled()?;
    if let Some(counts) = &counts {
        equal(
            "closed at the deadline",
            &counts.closed.deadline,
            &(PEERS as u64),
        )?;
    }
    server.stop()?;
    Ok(Observed::that("other clients were served").and(format!(
        "{PEERS} closed at the deadline, although a byte came every {} ms",
        EVERY.as_millis()
    )))
}

fn sends_a_slow_reader_the_whole_poem(context: &FaultContext) -> Check<Observed> {
    /// More than the kernel buffers.
    const POEM_BYTES: usize = 12 << 20;
    const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
    const EVERY: Duration = Duration::from_millis(100);
    const BUFFER_BYTES: usize = 256 << 10;
    /// So few bytes that the kernel does not announce room within the write timeout.
    const PIECE: usize = 32 << 10;
    let server = context
        .server(Content::Poem(text(POEM_BYTES)))
        .limits(|limits| {
            limits.write_timeout = WRITE_TIMEOUT;
            limits.frame_bytes_max = POEM_BYTES;
        })
        .start()?;
    // A proxy has the poem after this.
    server.serves()?;
    let mut reader = server.connect_narrow(BUFFER_BYTES)?;
    reader.send(&server.question())?;
    reader.half_close()?;
    let (start, mut received) = (Instant::now(), Vec::new());
    while start.elapsed() < 3 * WRITE_TIMEOUT {
        received.extend(reader.receive(PIECE)?);
        // This sleep is the behaviour under test; it awaits no event.
        thread::sleep(EVERY);
    }
    received.extend(reader.receive_to_fin()?);
    same_bytes("the poem", &received, &server.answer())?;
    server.serves()?;
    server.stop()?;
    Ok(Observed::that(
        "the poem arrived whole, though the kernel announced no room for longer than the write timeout",
    ))
}

fn gives_up_a_trickled_poem_at_the_total_deadline(context: &FaultContext) -> Check<Observed> {
    let every = Duration::from_millis(50);
    let trickles = FakeServer::start(TricklesForever { every })?;
    let good = FakeServer::start(Serves(b"A poem.\n".to_vec()))?;
    let fetch = context.fetch().json().option("--deadline", "1");
    let fetched = fetch.from(trickles.address()).from(good.address()).run()?;
    let statuses = fetched.statuses()?;
    equal(
        "the outcomes",
        &statuses.join(", ").as_str(),
        &"timed_out, arrived",
    )?;
    Ok(Observed::that("the trickled poem timed out").and("the other arrived"))
}
