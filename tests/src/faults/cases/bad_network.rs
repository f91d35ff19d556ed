//! Networks that are slow, lose packets, or lose a connection without a word (S1, S3, S8, S9, S15, S18).

use std::thread;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::failure::{Check, ensure, equal};
use crate::fake_servers::{FakeServer, Listener, NeverAnswers, Replies, Serves};
use crate::faults::beside::{expect_all, fetch_beside, objects, status};
use crate::faults::network::Network;
use crate::faults::{Content, Daemon, FaultContext, FaultRole, Observed, fault_cases, process};
use crate::wire::{netstring, request, text};

fault_cases! {
    "a slow network":
    a_slow_network_changes_no_byte
        [S1 S18] for [PoemServer] [S3 S18] for [TransformServer] [S8 S18] for [LibraryServer] [S9 S18] for [Proxy]
        marks [Root],
    poems_arrive_whole_over_a_slow_network [S11 S13 S15] for [Client] marks [Root],
    "a lossy network":
    a_lossy_network_changes_no_byte
        [S1 S18] for [PoemServer] [S3 S18] for [TransformServer] [S8 S18] for [LibraryServer] [S9 S18] for [Proxy]
        marks [Root],
    poems_arrive_whole_over_a_lossy_network [S11 S13 S15] for [Client] marks [Root],
    "peers that vanish without a word":
    a_connection_whose_peer_vanished_is_closed_by_its_timeout [S18] for [PoemServer TransformServer LibraryServer Proxy] marks [Root],
    an_upstream_that_vanished_is_given_up_after_the_idle_timeout [S9 S15] for [Proxy] marks [Root],
    a_server_that_vanished_is_given_up_after_the_idle_timeout [S11 S15] for [Client] marks [Root],
}

const RATE: &str = "4mbit";
/// Every tenth packet is lost.
const LOST: u32 = 10;
/// Takes the slow network half a second.
const POEM_BYTES: usize = 250_000;
const CLIENTS: usize = 3;
/// Shorter than what all clients together take on the slow network.
const TIMEOUT: Duration = Duration::from_secs(2);

fn a_slow_network_changes_no_byte(context: &FaultContext) -> Check<Observed> {
    let network = Network::enter()?;
    network.slow(RATE)?;
    changes_no_byte(context)
}

fn a_lossy_network_changes_no_byte(context: &FaultContext) -> Check<Observed> {
    let network = Network::enter()?;
    network.lossy(LOST)?;
    changes_no_byte(context)
}

/// Serves some clients at once, each with many bytes, within timeouts that only an interval without a byte exceeds.
fn changes_no_byte(context: &FaultContext) -> Check<Observed> {
    let content = Content::Poem(text(POEM_BYTES));
    let server = context.server(content).limits(|limits| {
        limits.frame_bytes_max = POEM_BYTES;
        limits.idle_timeout = TIMEOUT * 4;
        limits.write_timeout = TIMEOUT;
    });
    let server = server.start()?;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| server.connect())
        .collect::<Check<_>>()?;
    let (question, answer) = exchange(context.role(), &server);
    thread::scope(|scope| {
        let served = |client| scope.spawn(|| is_served(client, &question, &answer));
        let threads: Vec<_> = clients.into_iter().map(served).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Check>| thread.join();
        threads
            .into_iter()
            .map(join)
            .try_for_each(|joined| joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let counts = server.settled()?;
    server.stop()?;
    Ok(Observed::that(format!("{CLIENTS} clients got every byte")).closed(counts.as_ref()))
}

/// Returns what a client sends, and what it must get: as many bytes as the poem has.
fn exchange(role: FaultRole, server: &Daemon) -> (Vec<u8>, Vec<u8>) {
    match role {
        FaultRole::TransformServer => {
            let poem = text(POEM_BYTES / 4);
            let (one, reply) = (request("shout", &poem), netstring(poem.to_uppercase()));
            (one.repeat(4), reply.repeat(4))
        }
        _ => (server.question(), server.answer()),
    }
}

fn is_served(mut client: Connection, question: &[u8], answer: &[u8]) -> Check {
    if !question.is_empty() {
        client.send(question)?;
        client.half_close()?;
    }
    client.expect_last("what a client gets", answer)
}

/// Lets a connection vanish when the server waits for its client or sends to it.
fn a_connection_whose_peer_vanished_is_closed_by_its_timeout(
    context: &FaultContext,
) -> Check<Observed> {
    /// More than the kernel takes for a client that does not read.
    const LONG: usize = 12 << 20;
    let network = Network::enter()?;
    let server = context.server(Content::Poem(text(LONG))).limits(|limits| {
        limits.frame_bytes_max = LONG;
        limits.idle_timeout = TIMEOUT;
        limits.write_timeout = TIMEOUT;
    });
    let server = server.start()?;
    server.serves()?;
    server.settled()?;
    let descriptors = process::descriptors(server.id())?;
    let mut client = server.connect()?;
    if context.role() == FaultRole::TransformServer {
        client.send(&server.question())?;
        client.receive(server.answer().len())?;
    } else {
        client.send(&server.question())?;
        client.wait_readable()?;
    }
    network.cut(&client)?;
    server.serves()?;
    let deadline = Instant::now() + server.patience();
    while process::descriptors(server.id())? > descriptors {
        ensure(Instant::now() < deadline, || {
            "the connection of a client that vanished stays open".to_owned()
        })?;
        thread::sleep(Duration::from_millis(20));
    }
    let counts = server.settled()?;
    if let Some(counts) = &counts {
        let expected = match context.role() {
            FaultRole::TransformServer => (1, 0),
            _ => (0, 1),
        };
        let closed = (counts.closed.idle, counts.closed.write);
        equal(
            "closed by the idle and the write timeout",
            &closed,
            &expected,
        )?;
    }
    drop(client);
    server.stop()?;
    Ok(
        Observed::that("it was closed and its descriptor was free again")
            .and("others were served")
            .closed(counts.as_ref()),
    )
}

fn an_upstream_that_vanished_is_given_up_after_the_idle_timeout(
    context: &FaultContext,
) -> Check<Observed> {
    let network = Network::enter()?;
    let upstream = Listener::new()?;
    let proxy = context.server(Content::Quick).upstream(upstream.address());
    let proxy = proxy
        .limits(|limits| limits.idle_timeout = TIMEOUT)
        .start()?;
    let mut waiting = proxy.connect()?;
    let mut fetch = upstream.accept()?;
    fetch.send(text(1_000).as_bytes())?;
    network.cut(&fetch)?;
    let end = waiting.expect_closed()?;
    let mut next = proxy.connect()?;
    let mut fetch = upstream.accept()?;
    fetch.send(b"A whole poem.")?;
    drop(fetch);
    next.expect_last("the poem of the next client", b"A whole poem.")?;
    drop(next);
    let counts = proxy.settled()?;
    proxy.stop()?;
    Ok(Observed::default()
        .ends("waiting client", &[end])
        .and("the next got the poem of a new fetch")
        .closed(counts.as_ref()))
}

fn poems_arrive_whole_over_a_slow_network(context: &FaultContext) -> Check<Observed> {
    let network = Network::enter()?;
    network.slow(RATE)?;
    arrive_whole(context)
}

fn poems_arrive_whole_over_a_lossy_network(context: &FaultContext) -> Check<Observed> {
    let network = Network::enter()?;
    network.lossy(LOST)?;
    arrive_whole(context)
}

/// Fetches some poems and has each transformed; then fetches from a server that is silent.
fn arrive_whole(context: &FaultContext) -> Check<Observed> {
    let poem = text(90_000);
    let server = FakeServer::start(Serves(poem.clone().into_bytes()))?;
    let via = FakeServer::start(Replies {
        request_bytes: request("shout", &poem).len(),
        reply: netstring(poem.to_uppercase()),
    })?;
    let mut fetch = context.fetch().json().option("--transform", "shout");
    fetch = fetch.option("--via", &via.address().to_string());
    for _ in 0..CLIENTS {
        fetch = fetch.from(server.address());
    }
    let fetched = fetch.run()?;
    let objects = objects(&fetched)?;
    let arrived = |object| {
        let shouted = Some(poem.to_uppercase());
        status(object) == "arrived" && object["poem"].as_str() == shouted.as_deref()
    };
    let whole = objects.iter().filter(|object| arrived(object)).count();
    equal("poems that arrived whole and transformed", &whole, &CLIENTS)?;
    let silent = FakeServer::start(NeverAnswers)?;
    let faulty = fetch_beside(context, |fetch| {
        let timeout = (TIMEOUT * 2).as_secs_f64().to_string();
        fetch
            .from(silent.address())
            .option("--idle-timeout", &timeout)
    })?;
    expect_all(&faulty, 1, "timed_out")?;
    Ok(Observed::that(format!(
        "{CLIENTS} poems arrived whole, and were transformed"
    ))
    .and("a silent server timed out"))
}

fn a_server_that_vanished_is_given_up_after_the_idle_timeout(
    context: &FaultContext,
) -> Check<Observed> {
    let network = Network::enter()?;
    let server = Listener::new()?;
    let fetch = context.fetch().json().from(server.address());
    let timeout = TIMEOUT.as_secs_f64().to_string();
    let fetching = fetch.option("--idle-timeout", &timeout).start()?;
    let mut connection = server.accept()?;
    connection.send(text(1_000).as_bytes())?;
    network.cut(&connection)?;
    let fetched = fetching.end()?;
    equal(
        "the statuses",
        &fetched.statuses()?,
        &vec!["timed_out".to_owned()],
    )?;
    equal("the exit status", &fetched.status.code(), &Some(1))?;
    Ok(Observed::that("timed out").and("status 1"))
}
