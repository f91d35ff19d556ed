//! The timeouts of a framed server (S18): for a request, for its last byte and for a client that does not read. Also
//! how many replies the server holds for such a client (S5).

use std::thread;
use std::time::{Duration, Instant};

use poetry::limits::{READ_BUFFER_BYTES, REQUESTS_PER_TURN_MAX};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, Failure, ensure, equal, same_bytes};
use crate::peers::{NeverReads, PipelinesMany, SendsNothing, StallsMidRequest, Trickles};
use crate::running::RunningServer;
use crate::wire::{netstring, text};

cases! { TransformServer LibraryServer:
    a_silent_client_is_closed_as_idle [S18] needs [Counters Limits],
    a_client_silent_after_a_request_is_closed_as_idle [S18] needs [Counters Limits KeepAlive],
    requests_restart_the_idle_timeout [S18] needs [Limits KeepAlive],
    a_stalled_request_is_closed_by_its_deadline_not_as_idle [S18] needs [Counters Limits],
    a_trickle_of_bytes_does_not_extend_the_deadline [S18] needs [Counters Limits],
    every_request_has_its_own_deadline [S18] needs [Limits KeepAlive],
    a_client_that_never_reads_is_closed_by_the_write_timeout [S18] needs [Counters Limits KeepAlive],
    a_server_holds_the_replies_of_at_most_one_read [S5] needs [Counters KeepAlive],
    a_client_that_reads_late_gets_every_reply [S5] needs [Counters KeepAlive],
}

const SHORT: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_secs(600);

fn a_silent_client_is_closed_as_idle(context: &Context) -> Check {
    let server = context
        .one_shot()
        .limits(|limits| limits.idle_timeout = SHORT)
        .start()?;
    let mut client = SendsNothing.run(server.address())?;
    client.expect_fin()?;
    drop(client);
    let counts = server.settled(1)?;
    equal("connections closed as idle", &counts.closed.idle, &1)?;
    equal("requests", &counts.requests, &0)
}

fn a_client_silent_after_a_request_is_closed_as_idle(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let server = context
        .keep_alive()
        .limits(|limits| limits.idle_timeout = 4 * SHORT)
        .start()?;
    let mut client = server.connect()?;
    client.send(&ahoy)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    drop(client);
    let counts = server.settled(1)?;
    equal("connections closed as idle", &counts.closed.idle, &1)?;
    equal("answers", &counts.answered, &1)
}

/// Repeats `attempt` until it returns true, that is until no load on the machine has slowed its client down. A server
/// that closes too early fails the first attempt at a steady pace.
fn at_a_steady_pace(attempt: impl Fn() -> Check<bool>) -> Check {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        if attempt()? {
            return Ok(());
        }
    }
    Err(Failure::Needs("a less busy machine".to_owned()))
}

/// Sleeps, and returns whether that took less than `limit`.
fn paused(pause: Duration, limit: Duration) -> bool {
    let begun = Instant::now();
    // A pause that makes the client slow; it waits for nothing.
    thread::sleep(pause);
    begun.elapsed() < limit
}

fn requests_restart_the_idle_timeout(context: &Context) -> Check {
    let timeout = Duration::from_millis(600);
    let ahoy = context.request("ahoy");
    let server = context
        .keep_alive()
        .limits(|limits| limits.idle_timeout = timeout)
        .start()?;
    at_a_steady_pace(|| {
        let mut client = server.connect()?;
        for _ in 0..8 {
            let begun = Instant::now();
            let answered = client
                .send(&ahoy)
                .and_then(|()| client.expect_reply("AHOY"));
            let steady = paused(timeout / 6, timeout / 2) && begun.elapsed() < timeout / 2;
            match (answered, steady) {
                (Ok(()), true) => {}
                (Err(failure), true) => return Err(failure),
                (_, false) => return Ok(false),
            }
        }
        Ok(true)
    })
}

fn a_stalled_request_is_closed_by_its_deadline_not_as_idle(context: &Context) -> Check {
    let idle = Duration::from_millis(500);
    let ahoy = context.request("ahoy");
    at_a_steady_pace(|| {
        let set_up = context.one_shot().limits(|limits| {
            limits.idle_timeout = idle;
            limits.request_deadline = 2 * idle;
        });
        let server = set_up.start()?;
        let begun = Instant::now();
        let mut client = StallsMidRequest.run(server.address(), &ahoy[..3])?;
        let steady = begun.elapsed() < idle / 2;
        client.expect_closed()?;
        drop(client);
        let counts = server.settled(1)?;
        let ends = (counts.closed.deadline, counts.closed.idle);
        match steady {
            true => {
                equal("connections closed by deadline and as idle", &ends, &(1, 0)).map(|()| true)
            }
            false => Ok(false),
        }
    })
}

fn a_trickle_of_bytes_does_not_extend_the_deadline(context: &Context) -> Check {
    let set_up = context.one_shot().limits(|limits| {
        limits.idle_timeout = NEVER;
        limits.request_deadline = Duration::from_millis(300);
    });
    let server = set_up.start()?;
    Trickles {
        every: Duration::from_millis(15),
    }
    .run(server.address())?;
    let counts = server.settled(1)?;
    equal(
        "connections closed by deadline",
        &counts.closed.deadline,
        &1,
    )?;
    equal("answers", &counts.answered, &0)
}

fn every_request_has_its_own_deadline(context: &Context) -> Check {
    let deadline = Duration::from_millis(600);
    let request = context.request("ahoy");
    let server = context
        .keep_alive()
        .limits(|limits| limits.request_deadline = deadline)
        .start()?;
    let (head, tail) = request.split_at(5);
    at_a_steady_pace(|| {
        let mut client = server.connect()?;
        for _ in 0..8 {
            let begun = Instant::now();
            let mut answered = client.send(head);
            let steady = paused(deadline / 6, deadline / 2);
            answered = answered
                .and_then(|()| client.send(tail))
                .and_then(|()| client.expect_reply("AHOY"));
            match (answered, steady && begun.elapsed() < deadline / 2) {
                (Ok(()), true) => {}
                (Err(failure), true) => return Err(failure),
                (_, false) => return Ok(false),
            }
        }
        Ok(true)
    })
}

/// A request, and the number of them whose replies exceed the kernel's buffers for a client that never reads.
fn requests_of_long_replies(context: &Context) -> (Vec<u8>, usize) {
    let reply_bytes = 1_000;
    (
        context.request(&text(reply_bytes)),
        NeverReads::BYTES / reply_bytes,
    )
}

fn a_client_that_never_reads_is_closed_by_the_write_timeout(context: &Context) -> Check {
    let (request, count) = requests_of_long_replies(context);
    let server = context
        .keep_alive()
        .limits(|limits| limits.write_timeout = SHORT)
        .start()?;
    let client = NeverReads.run(server.address())?;
    let _sending = PipelinesMany::begin(&client, &request, count)?;
    let counts = server.settled(1)?;
    equal(
        "connections closed by the write timeout",
        &counts.closed.write,
        &1,
    )?;
    ensure(counts.failed > 0, || {
        "expected failed requests, got none".to_owned()
    })
}

fn a_server_holds_the_replies_of_at_most_one_read(context: &Context) -> Check {
    let (request, count) = requests_of_long_replies(context);
    let server = context.keep_alive().start()?;
    let client = NeverReads.run(server.address())?;
    let sending = PipelinesMany::begin(&client, &request, count)?;
    let in_a_read = READ_BUFFER_BYTES / request.len();
    let bound = (in_a_read.min(REQUESTS_PER_TURN_MAX as usize) + 2) as u64;
    let stuck = until_stuck(&server, |in_flight| {
        ensure(in_flight <= bound, || {
            format!("expected at most {bound} requests in flight, got {in_flight}")
        })
    })?;
    ensure(stuck > 0, || "expected unsent replies, got none".to_owned())?;
    sending.reset(client)
}

/// Waits until the server has requests in flight and its counts have not changed for a while, and returns the number in
/// flight. Passes each number in flight to `check` meanwhile.
fn until_stuck(server: &RunningServer, check: impl Fn(u64) -> Check) -> Check<u64> {
    const POLLS: usize = 15;
    let mut last = server.counts()?;
    let mut unchanged = 0;
    let deadline = Instant::now() + crate::WAIT_MAX;
    while unchanged < POLLS && Instant::now() < deadline {
        server.journal().wait_for_next(Duration::from_millis(10));
        let counts = server.counts()?;
        check(counts.in_flight)?;
        unchanged = if counts == last && counts.in_flight > 0 {
            unchanged + 1
        } else {
            0
        };
        last = counts;
    }
    Ok(last.in_flight)
}

fn a_client_that_reads_late_gets_every_reply(context: &Context) -> Check {
    let (request, count) = requests_of_long_replies(context);
    let server = context.keep_alive().start()?;
    let mut client = NeverReads.run(server.address())?;
    let sending = PipelinesMany::begin(&client, &request, count)?;
    until_stuck(&server, |_| Ok(()))?;
    let reply = netstring(text(1_000).to_uppercase());
    for number in 0..count {
        same_bytes(
            &format!("reply {number}"),
            &client.receive(reply.len())?,
            &reply,
        )?;
    }
    equal("whether every request was sent", &sending.sent_all(), &true)
}
