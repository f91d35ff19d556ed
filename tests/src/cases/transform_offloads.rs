//! Heavy requests of a transform server that offloads them (S25): they delay no other connection, and their own connections
//! keep their promises. A gate holds them, so that a case decides when they end.

use std::time::Duration;

use poetry::Counts;
use poetry::limits::{OFFLOADED_MAX, READ_BUFFER_BYTES};

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, ensure, equal, same_bytes};
use crate::gate::Gated;
use crate::wire::{netstring, request};

// A gate needs a server in this process, as events do.
cases! { TransformServer:
    a_light_request_is_answered_while_a_heavy_one_computes [S25] needs [Lab KeepAlive Events],
    light_requests_are_answered_however_many_heavy_ones_wait [S25] needs [Lab KeepAlive Counters Events],
    replies_stay_in_order_around_heavy_requests [S25 S5] needs [Lab KeepAlive Events],
    nothing_more_is_read_while_a_heavy_request_computes [S25 S5] needs [Lab KeepAlive Counters Events],
    one_shot_answers_a_heavy_request_and_no_other [S25 S5] needs [Lab Events],
    a_half_closed_client_gets_the_reply_to_a_heavy_request [S25 S6] needs [Lab KeepAlive Events],
    a_heavy_request_that_is_refused_ends_its_connection [S25 S4] needs [Lab KeepAlive Counters Events],
    a_heavy_request_that_panics_ends_only_its_connection [S25 S20] needs [Lab KeepAlive Counters Events],
    heavy_requests_are_answered_after_many_panics [S25 S20] needs [Lab Counters Events],
    a_client_that_leaves_a_heavy_request_costs_nothing_else [S25 S19] needs [Lab KeepAlive Counters Events],
    a_connection_is_not_idle_while_its_request_computes [S25 S18] needs [Lab KeepAlive Limits Counters Events],
    a_heavy_request_in_flight_is_finished_at_a_stop [S25 S21] needs [Lab KeepAlive Signals Counters Events],
    heavy_requests_that_wait_are_finished_at_a_stop [S25 S21] needs [Lab Signals Counters Events],
    a_bounded_number_of_heavy_requests_computes_at_once [S25] needs [Lab KeepAlive Threads Counters Events Offloading],
    a_heavy_request_is_cut_when_the_grace_is_over [S25 S21 S23] needs [Lab KeepAlive Signals Counters Events Offloading],
    heavy_requests_that_wait_are_not_begun_once_cut [S25 S21] needs [Lab KeepAlive Signals Counters Events Offloading],
    connections_of_two_threads_get_their_own_replies [S25] needs [Lab KeepAlive Threads Events],
}

/// Longer than a case runs.
const LONG: Duration = Duration::from_secs(600);
/// More heavy requests than are computed at once.
const MANY: usize = 3 * OFFLOADED_MAX;

/// Expects that a client is answered.
fn expect_light_reply(client: &mut Connection) -> Check {
    client.send(&request("shout", "ahoy"))?;
    client.expect_reply("AHOY")
}

/// Expects that each client of [`Gated::heavy_clients`] gets the reply to its own request.
fn expect_own_replies(clients: &mut [Connection]) -> Check {
    let mut numbered = clients.iter_mut().enumerate();
    numbered.try_for_each(|(number, client)| client.expect_reply(&number.to_string()))
}

fn a_light_request_is_answered_while_a_heavy_one_computes(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut earlier = gated.server.connect()?;
    expect_light_reply(&mut earlier)?;
    let mut heavy = gated.heavy_client("slow")?;
    expect_light_reply(&mut earlier)?;
    expect_light_reply(&mut gated.server.connect()?)?;
    gated.gate.open();
    heavy.expect_reply("slow")?;
    expect_light_reply(&mut heavy)
}

fn light_requests_are_answered_however_many_heavy_ones_wait(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut clients = gated.heavy_clients(MANY)?;
    expect_light_reply(&mut gated.server.connect()?)?;
    gated.gate.open();
    expect_own_replies(&mut clients)
}

fn replies_stay_in_order_around_heavy_requests(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let requests = [
        ("burn", "one", "one"),
        ("shout", "two", "TWO"),
        ("burn", "three", "three"),
        ("burn", "four", "four"),
        ("reverse", "five", "five"),
        ("shout", "six", "SIX"),
    ];
    let sent: Vec<u8> = requests
        .iter()
        .flat_map(|(transform, poem, _)| request(transform, poem))
        .collect();
    let replies: Vec<u8> = requests
        .iter()
        .flat_map(|(.., reply)| netstring(reply))
        .collect();
    let mut whole = gated.server.connect()?;
    whole.send(&sent)?;
    // Another client sends the same in two pieces, cut anywhere.
    let (head, tail) = sent.split_at(context.random().usize(1..sent.len()));
    let mut cut = gated.server.connect()?;
    cut.send(head)?;
    gated.gate.wait_until_held(1)?;
    expect_light_reply(&mut gated.server.connect()?)?;
    let held = gated.gate.held();
    ensure(held <= 2, || {
        format!("expected a heavy request of each connection under way, got {held}")
    })?;
    gated.gate.open();
    cut.send(tail)?;
    for client in [&mut whole, &mut cut] {
        same_bytes("the replies", &client.receive(replies.len())?, &replies)?;
    }
    Ok(())
}

fn nothing_more_is_read_while_a_heavy_request_computes(context: &Context) -> Check {
    let (setup, address) = context.keep_alive().listening()?;
    let mut client = Connection::open(address)?;
    // Two reads, which the kernel takes before the server starts.
    let light = request("shout", "ahoy");
    let count = 2 * READ_BUFFER_BYTES / light.len();
    client.send(&[request("burn", "slow"), light.repeat(count)].concat())?;
    let gated = Gated::start(setup)?;
    gated.gate.wait_until_held(1)?;
    gated.server.expect_never("more than one read", |counts| {
        counts.bytes_in > READ_BUFFER_BYTES as u64
    })?;
    gated.gate.open();
    client.expect_reply("slow")?;
    for _ in 0..count {
        client.expect_reply("AHOY")?;
    }
    Ok(())
}

fn one_shot_answers_a_heavy_request_and_no_other(context: &Context) -> Check {
    let gated = Gated::start(context.one_shot())?;
    let mut client = gated.server.connect()?;
    client.send(&[request("burn", "slow"), request("shout", "late")].concat())?;
    gated.gate.wait_until_held(1)?;
    gated.gate.open();
    client.expect_last("the reply", b"4:slow,")
}

fn a_half_closed_client_gets_the_reply_to_a_heavy_request(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut client = gated.server.connect()?;
    client.send(&[request("burn", "slow"), request("shout", "last")].concat())?;
    client.half_close()?;
    gated.gate.wait_until_held(1)?;
    gated.gate.open();
    client.expect_last("the replies", b"4:slow,4:LAST,")
}

fn a_heavy_request_that_is_refused_ends_its_connection(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut client = gated.server.connect()?;
    let not_utf8 = netstring(b"burn.\xff");
    let requests = [request("shout", "one"), not_utf8, request("shout", "three")];
    client.send(&requests.concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    let counts = gated.server.settled(1)?;
    let actual = (counts.requests, counts.answered, counts.refused.total());
    equal("requests, answered, refused", &actual, &(2, 1, 1))?;
    equal("closed as refused", &counts.closed.refused, &1)
}

fn a_heavy_request_that_panics_ends_only_its_connection(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut other = gated.heavy_client("slow")?;
    let mut client = gated.server.connect()?;
    let requests = [
        request("shout", "one"),
        request("overheat", "x"),
        request("shout", "three"),
    ];
    client.send(&requests.concat())?;
    gated.gate.wait_until_held(2)?;
    gated.gate.open();
    client.expect_last("the reply before the panic", b"3:ONE,")?;
    drop(client);
    other.expect_reply("slow")?;
    expect_light_reply(&mut other)?;
    let ended = |counts: &Counts| counts.closed.panic == 1 && counts.in_flight == 0;
    let counts = gated.server.wait_until("a panic", ended)?;
    let actual = (counts.requests, counts.answered, counts.failed);
    equal("requests, answered, failed", &actual, &(4, 3, 1))
}

fn heavy_requests_are_answered_after_many_panics(context: &Context) -> Check {
    let gated = Gated::start(context.one_shot())?;
    gated.gate.open();
    for _ in 0..MANY {
        let mut client = gated.server.connect()?;
        client.send(&request("overheat", "x"))?;
        client.expect_closed()?;
    }
    let mut client = gated.server.connect()?;
    client.send(&request("burn", "still here"))?;
    client.expect_last("the reply", b"10:still here,")?;
    drop(client);
    let counts = gated.server.settled(MANY as u64 + 1)?;
    equal("closed by a panic", &counts.closed.panic, &(MANY as u64))
}

fn a_client_that_leaves_a_heavy_request_costs_nothing_else(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let leaving = gated.heavy_clients(MANY)?;
    leaving.into_iter().try_for_each(Connection::reset)?;
    let mut client = gated.server.connect()?;
    expect_light_reply(&mut client)?;
    gated.gate.open();
    client.send(&request("burn", "slow"))?;
    client.expect_reply("slow")?;
    drop(client);
    let counts = gated.server.settled(MANY as u64 + 1)?;
    ensure(counts.closed.reset == MANY as u64, || {
        format!("expected {MANY} connections closed by a reset, got {counts:?}")
    })
}

/// A connection that becomes idle later than the request begins is closed as idle, and the other one is not.
fn a_connection_is_not_idle_while_its_request_computes(context: &Context) -> Check {
    const SHORT: Duration = Duration::from_millis(300);
    let setup = context.keep_alive().limits(|limits| {
        limits.idle_timeout = SHORT;
        limits.request_deadline = SHORT;
    });
    let gated = Gated::start(setup)?;
    let mut heavy = gated.heavy_client("slow")?;
    let mut idle = gated.server.connect()?;
    idle.expect_fin()?;
    gated
        .server
        .wait_until("one idle connection", |counts| counts.closed.idle == 1)?;
    gated.gate.open();
    heavy.expect_reply("slow")
}

fn a_heavy_request_in_flight_is_finished_at_a_stop(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut canary = gated.server.connect()?;
    expect_light_reply(&mut canary)?;
    let mut client = gated.heavy_client("slow")?;
    let Gated { server, gate } = gated;
    let stopping = server.begin_stop(LONG);
    // It is idle, so it is closed when the shutdown begins.
    canary.expect_fin()?;
    client.expect_silence()?;
    gate.open();
    client.expect_last("the reply", b"4:slow,")?;
    drop((client, canary));
    stopping.finish()?.expect(1, 0)
}

fn heavy_requests_that_wait_are_finished_at_a_stop(context: &Context) -> Check {
    let gated = Gated::start(context.one_shot())?;
    let mut canary = gated.server.connect()?;
    let mut clients = gated.heavy_clients(MANY)?;
    let Gated { server, gate } = gated;
    let stopping = server.begin_stop(LONG);
    canary.expect_fin()?;
    gate.open();
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect_last("the reply", &netstring(number.to_string()))?;
    }
    drop((clients, canary));
    stopping.finish()?.expect(MANY as u64, 0)
}

fn a_bounded_number_of_heavy_requests_computes_at_once(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive().threads(2))?;
    let mut clients = gated.heavy_clients(MANY)?;
    let gate = &gated.gate;
    gate.wait_until_held(OFFLOADED_MAX)?;
    let what = "more heavy requests computed at once";
    gated
        .server
        .expect_never(what, |_| gate.held() > OFFLOADED_MAX)?;
    gated.gate.open();
    expect_own_replies(&mut clients)
}

fn a_heavy_request_is_cut_when_the_grace_is_over(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut client = gated.server.connect()?;
    client.send(&[request("burn", "slow"), request("shout", "late")].concat())?;
    gated.gate.wait_until_held(1)?;
    let Gated { server, gate } = gated;
    let stopping = server.begin_stop(Duration::ZERO);
    client.expect_reset_without_a_byte()?;
    // The stop waits for what computes.
    gate.open();
    let stopped = stopping.finish()?;
    stopped.expect(0, 1)?;
    let counts = stopped.counts()?;
    let actual = (counts.requests, counts.failed, counts.closed.cut);
    equal("requests, failed, cut", &actual, &(1, 1, 1))
}

fn heavy_requests_that_wait_are_not_begun_once_cut(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive())?;
    let mut clients = gated.heavy_clients(MANY)?;
    gated.gate.wait_until_held(OFFLOADED_MAX)?;
    let Gated { server, gate } = gated;
    let stopping = server.begin_stop(Duration::ZERO);
    for client in &mut clients {
        client.expect_reset_without_a_byte()?;
    }
    gate.open();
    stopping.finish()?.expect(0, MANY as u64)?;
    equal("transforms begun", &gate.transforms_begun(), &OFFLOADED_MAX)
}

fn connections_of_two_threads_get_their_own_replies(context: &Context) -> Check {
    let gated = Gated::start(context.keep_alive().threads(2))?;
    let mut clients = Vec::new();
    for number in 0..MANY {
        let mut client = gated.server.connect()?;
        let requests = [
            request("burn", &number.to_string()),
            request("shout", &format!("after {number}")),
        ];
        client.send(&requests.concat())?;
        clients.push(client);
    }
    gated.gate.wait_until_held(1)?;
    gated.gate.open();
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect_reply(&number.to_string())?;
        client.expect_reply(&format!("AFTER {number}"))?;
    }
    Ok(())
}
