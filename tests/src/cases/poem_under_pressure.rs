//! A slow poem under pressure: the limit of connections, resets, shutdown and counts (S16, S18, S19, S21, S23).

use std::time::Duration;

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::peers::ResetsMidPoem;
use crate::running::wait_until_refused;
use crate::wire::text;

cases! { PoemServer:
    connections_beyond_the_limit_wait [S16] needs [Counters Limits],
    a_slow_poem_is_not_idle [S18] needs [Limits],
    a_reset_during_a_slow_poem_is_noticed_at_once [S19] needs [Counters],
    a_poem_in_flight_is_finished_at_shutdown [S21] needs [Signals],
    a_poem_that_outlasts_the_grace_is_cut_and_counted [S21 S23] needs [Signals Counters],
    dropping_a_poem_server_ends_its_poems [S21] needs [Counters],
    a_poem_being_served_counts_as_in_flight [S23] needs [Counters],
}

/// Longer than any case runs.
const NEVER: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(200);

fn connections_beyond_the_limit_wait(context: &Context) -> Check {
    let set_up = context
        .slow_poem("first.", 3, NEVER)
        .limits(|limits| limits.connections_max = 2);
    let server = set_up.start()?;
    let (mut one, mut two, mut waiting) = (server.connect()?, server.connect()?, server.connect()?);
    one.receive(3)?;
    two.receive(3)?;
    server.expect_never("a third connection", |counts| counts.accepted > 2)?;
    one.reset()?;
    waiting.receive(3).map(drop)
}

fn a_slow_poem_is_not_idle(context: &Context) -> Check {
    let set_up = context
        .slow_poem(&text(30), 10, Duration::from_millis(150))
        .limits(|limits| {
            limits.idle_timeout = Duration::from_millis(40);
            limits.request_deadline = Duration::from_millis(40);
            limits.write_timeout = Duration::from_millis(100);
        });
    set_up
        .start()?
        .connect()?
        .expect_last("the poem", text(30).as_bytes())
}

fn a_reset_during_a_slow_poem_is_noticed_at_once(context: &Context) -> Check {
    // The next write, which would also notice, is an hour away: the server must watch the read side.
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    ResetsMidPoem.run(&server, 11)?;
    let counts = server.settled(1)?;
    equal(
        "closed as reset, failed",
        &(counts.closed.reset, counts.failed),
        &(1, 1),
    )
}

fn a_poem_in_flight_is_finished_at_shutdown(context: &Context) -> Check {
    let server = context
        .slow_poem(&text(150), 10, Duration::from_millis(100))
        .start()?;
    let mut client = server.connect()?;
    let mut poem = client.receive(10)?;
    let stopping = server.begin_stop(NEVER);
    poem.extend(client.receive_to_fin()?);
    crate::failure::same_bytes("the poem", &poem, text(150).as_bytes())?;
    drop(client);
    stopping.wait_until_refused()?;
    stopping.finish()?.expect(1, 0)
}

fn a_poem_that_outlasts_the_grace_is_cut_and_counted(context: &Context) -> Check {
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let mut client = server.connect()?;
    client.receive(11)?;
    let stopped = server.stop(SHORT)?;
    client.expect_closed()?;
    stopped.expect(0, 1)?;
    let counts = stopped.counts()?;
    equal(
        "connections cut, poems failed",
        &(counts.closed.cut, counts.failed),
        &(1, 1),
    )
}

fn dropping_a_poem_server_ends_its_poems(context: &Context) -> Check {
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let address = server.address();
    let mut client = server.connect()?;
    client.receive(11)?;
    drop(server);
    client.expect_closed()?;
    wait_until_refused(address)
}

fn a_poem_being_served_counts_as_in_flight(context: &Context) -> Check {
    let server = context
        .slow_poem("first line.second line.", 11, NEVER)
        .start()?;
    let mut client = server.connect()?;
    client.receive(11)?;
    let counts = server.wait_until("a first chunk counted", |counts| counts.bytes_out == 11)?;
    let actual = (
        counts.open,
        counts.requests,
        counts.in_flight,
        counts.answered,
    );
    equal("open, requests, in flight, served", &actual, &(1, 1, 1, 0))
}
