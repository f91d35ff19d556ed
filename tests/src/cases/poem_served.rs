//! Serving the poem (S1): every byte, then FIN, at once or in chunks, whatever the client does meanwhile.

use std::net::{Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use poetry::{CloseReason, Event, Kind, Role as Program};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, Failure, ensure, equal, same_bytes};
use crate::peers::{HalfCloses, LeavesUnreadInput};
use crate::running::RunningServer;
use crate::wire::{NON_ASCII, text};

cases! { PoemServer:
    #[smoke] sends_a_non_ascii_poem_byte_for_byte [S1 S12],
    #[smoke] an_empty_poem_is_only_a_fin [S1],
    an_empty_slow_poem_is_only_a_fin [S1],
    a_slow_poem_is_written_in_whole_chunks [S1] needs [Events],
    no_slow_chunk_is_early [S1 S22] needs [Events],
    #[smoke] fin_follows_the_last_chunk_by_at_least_one_delay [S1],
    #[smoke] slow_poems_are_served_concurrently [S1],
    #[smoke] a_client_fin_does_not_end_a_slow_poem [S1],
    a_client_fin_does_not_end_a_long_poem [S1],
    client_input_during_a_slow_poem_is_discarded [S1 S7],
    a_server_of_two_threads_serves_every_client [S1 S16] needs [Threads],
    events_of_a_poem_are_in_order_and_name_both_ends [S22] needs [Events],
}

fn sends_a_non_ascii_poem_byte_for_byte(context: &Context) -> Check {
    let tick = Duration::from_millis(1);
    let server = context.slow_poem(NON_ASCII, 1, tick).start()?;
    server
        .connect()?
        .expect_last("the poem, byte by byte", NON_ASCII.as_bytes())
}

fn an_empty_poem_is_only_a_fin(context: &Context) -> Check {
    context.poem("").start()?.connect()?.expect_fin()
}

fn an_empty_slow_poem_is_only_a_fin(context: &Context) -> Check {
    let server = context
        .slow_poem("", 10, Duration::from_millis(5))
        .start()?;
    server.connect()?.expect_fin()
}

/// The time and size of each write to a connection, once it is closed.
fn writes(server: &RunningServer, task: u64) -> Check<Vec<(Duration, u64)>> {
    let closed = |event: &Event| event.scene.task == task && matches!(event.kind, Kind::Closed(_));
    let events = server
        .journal()
        .wait_for("the end of the connection", |events| {
            events.iter().any(closed)
        })?;
    let of_task = events.into_iter().filter(|event| event.scene.task == task);
    Ok(of_task
        .filter_map(|event| match event.kind {
            Kind::Wrote { bytes } => Some((event.at, bytes)),
            _ => None,
        })
        .collect())
}

fn a_slow_poem_is_written_in_whole_chunks(context: &Context) -> Check {
    let server = context
        .slow_poem(&text(95), 10, Duration::from_millis(4))
        .start()?;
    server
        .connect()?
        .expect_last("the poem", text(95).as_bytes())?;
    let sizes: Vec<u64> = writes(&server, 0)?
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    let whole = sizes.iter().sum::<u64>() == 95;
    // A delayed server may send several due chunks in one write, but only whole ones.
    let chunks = sizes
        .split_last()
        .is_some_and(|(_, first)| first.iter().all(|bytes| bytes % 10 == 0));
    ensure(whole && chunks && sizes.len() > 1, || {
        format!("expected 95 bytes in several writes of whole chunks of 10, got {sizes:?}")
    })
}

fn no_slow_chunk_is_early(context: &Context) -> Check {
    let delay = Duration::from_millis(20);
    let server = context.slow_poem(&text(60), 10, delay).start()?;
    // The accept is not earlier than this, so no chunk may be earlier than its delay counted from here.
    let begun = context.clock().now();
    server
        .connect()?
        .expect_last("the poem", text(60).as_bytes())?;
    let mut sent = 0;
    for (at, bytes) in writes(&server, 0)? {
        sent += bytes;
        let last_chunk = u32::try_from(sent.div_ceil(10) - 1).unwrap_or(u32::MAX);
        let due = begun + delay * last_chunk;
        ensure(at >= due, || {
            format!("expected chunk {last_chunk} at {due:?} or later, got it at {at:?}")
        })?;
    }
    Ok(())
}

fn fin_follows_the_last_chunk_by_at_least_one_delay(context: &Context) -> Check {
    let delay = Duration::from_millis(40);
    let server = context.slow_poem(&text(30), 10, delay).start()?;
    let begun = Instant::now();
    server
        .connect()?
        .expect_last("the poem", text(30).as_bytes())?;
    let elapsed = begun.elapsed();
    ensure(elapsed >= 3 * delay, || {
        format!(
            "expected three chunks and FIN to take at least {:?}, got them in {elapsed:?}",
            3 * delay
        )
    })
}

fn slow_poems_are_served_concurrently(context: &Context) -> Check {
    // The second chunk is an hour away, so a server of one client at a time never reaches the second client.
    let server = context
        .slow_poem("first line.second line.", 11, Duration::from_secs(3_600))
        .start()?;
    let mut clients = (0..20)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    for client in &mut clients {
        same_bytes("the first chunk", &client.receive(11)?, b"first line.")?;
    }
    Ok(())
}

fn a_client_fin_does_not_end_a_slow_poem(context: &Context) -> Check {
    let server = context
        .slow_poem(&text(100), 10, Duration::from_millis(5))
        .start()?;
    let mut client = HalfCloses.send(server.address(), b"")?;
    client.expect_last("the poem", text(100).as_bytes())
}

fn a_client_fin_does_not_end_a_long_poem(context: &Context) -> Check {
    let poem = text(8 << 20);
    let server = context.poem(&poem).start()?;
    let mut client = HalfCloses.send(server.address(), b"thank you")?;
    client.expect_last("the poem", poem.as_bytes())
}

fn client_input_during_a_slow_poem_is_discarded(context: &Context) -> Check {
    let server = context
        .slow_poem(&text(200), 10, Duration::from_millis(5))
        .start()?;
    let mut client = LeavesUnreadInput.send(server.address(), b"more, please")?;
    client.send(&[b'y'; 100_000])?;
    client.expect_last("the poem", text(200).as_bytes())
}

/// Skips the case if this machine has no IPv6 loopback.
pub(super) fn needs_ipv6() -> Check {
    match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::Needs("IPv6".to_owned())),
    }
}

fn a_server_of_two_threads_serves_every_client(context: &Context) -> Check {
    let server = context
        .slow_poem(&text(50), 10, Duration::from_millis(5))
        .threads(2)
        .start()?;
    let mut clients = (0..40)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    clients
        .iter_mut()
        .try_for_each(|client| client.expect_last("the poem", text(50).as_bytes()))
}

fn events_of_a_poem_are_in_order_and_name_both_ends(context: &Context) -> Check {
    let server = context.poem(&text(500)).start()?;
    let mut client = server.connect()?;
    let ends = (Some(server.address()), Some(client.local()?));
    client.expect_last("the poem", text(500).as_bytes())?;
    drop(client);
    let done = |event: &Event| event.kind == Kind::Closed(CloseReason::Done);
    let events = server
        .journal()
        .wait_for("a connection closed as done", |events| {
            events.iter().any(done)
        })?;
    for event in &events {
        equal(
            "the two ends of the event",
            &(event.scene.local, event.scene.peer),
            &ends,
        )?;
        equal(
            "the program of the event",
            &event.role,
            &Program::PoemServer,
        )?;
    }
    let reported: Vec<_> = events.into_iter().map(|event| event.kind).collect();
    let expected = [
        Kind::Accepted,
        Kind::Wrote { bytes: 500 },
        Kind::Answered { requests: 1 },
        Kind::Closed(CloseReason::Done),
    ];
    equal(
        "the reported events",
        &reported.as_slice(),
        &expected.as_slice(),
    )
}
