//! Cancelling (S14): one task or all of them, at any moment, closes their sockets at once.

use std::time::Duration;

use poetry::{Cancel, FetchFailure, Outcome};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, Failure};
use crate::fake_servers::{FakeServer, Listener, NeverAccepts, Serves};
use crate::fetching::{expect_failure, expect_poem, plain};

cases! { PoemClient:
    cancelling_one_task_leaves_the_others_running [S11 S14],
    cancelling_all_ends_every_task [S11 S14],
    a_cancelled_fetch_closes_its_socket_at_once [S14],
    a_task_cancelled_before_the_start_is_not_fetched [S14],
    a_task_cancelled_before_its_turn_never_starts [S14 S15],
    a_cancel_while_connecting_ends_the_fetch [S14],
    cancelling_a_finished_task_keeps_its_poem [S14],
    cancelling_an_unknown_task_does_nothing [S14],
    a_client_can_be_reused_after_a_cancel [S14],
}

fn expect_cancelled(outcome: &Outcome, address: &str) -> Check {
    expect_failure(outcome, "cancelled", address, |failure| {
        *failure == FetchFailure::Cancelled
    })
}

fn cancelling_one_task_leaves_the_others_running(context: &Context) -> Check {
    let listeners = [Listener::new()?, Listener::new()?, Listener::new()?];
    let requests = listeners
        .iter()
        .map(|listener| plain(listener.address()))
        .collect();
    let fetching = context.client()?.start(requests);
    let servers = listeners
        .iter()
        .map(Listener::accept)
        .collect::<Check<Vec<_>>>()?;
    fetching.cancel.task(1);
    let [mut first, mut second, mut third] =
        <[_; 3]>::try_from(servers).map_err(|_| Failure::broken("expected three servers"))?;
    second.expect_closed()?;
    first.send(b"the first")?;
    third.send(b"the third")?;
    drop((first, third));
    let outcomes = fetching.outcomes()?;
    expect_poem(&outcomes[0], "the first")?;
    expect_cancelled(&outcomes[1], &listeners[1].address().to_string())?;
    expect_poem(&outcomes[2], "the third")
}

fn cancelling_all_ends_every_task(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address()); 20]);
    let mut servers = (0..20)
        .map(|_| listener.accept())
        .collect::<Check<Vec<_>>>()?;
    servers[7].send(b"half a ")?;
    fetching.cancel.all();
    let outcomes = fetching.outcomes()?;
    outcomes
        .iter()
        .try_for_each(|outcome| expect_cancelled(outcome, &listener.address().to_string()))?;
    servers
        .iter_mut()
        .try_for_each(|server| server.expect_closed().map(drop))
}

fn a_cancelled_fetch_closes_its_socket_at_once(context: &Context) -> Check {
    let listener = Listener::new()?;
    let other = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![plain(listener.address()), plain(other.address())]);
    let (mut server, other) = (listener.accept()?, other.accept()?);
    server.send(b"half a ")?;
    fetching.wait_read(0, 7)?;
    fetching.cancel.task(0);
    // The socket closes while the other fetch is still under way.
    server.expect_closed()?;
    drop(other);
    fetching.outcomes().map(drop)
}

fn a_task_cancelled_before_the_start_is_not_fetched(context: &Context) -> Check {
    let (listener, good) = (
        Listener::new()?,
        FakeServer::start(Serves(b"the poem".into()))?,
    );
    let cancel = Cancel::new();
    cancel.task(0);
    let requests = vec![plain(listener.address()), plain(good.address())];
    let outcomes = context.client()?.start_with(requests, cancel).outcomes()?;
    expect_cancelled(&outcomes[0], &listener.address().to_string())?;
    expect_poem(&outcomes[1], "the poem")
}

fn a_task_cancelled_before_its_turn_never_starts(context: &Context) -> Check {
    let (listener, never) = (Listener::new()?, Listener::new()?);
    let client = context.client_with(|limits| limits.fetches_max = 1)?;
    let fetching = client.start(vec![plain(listener.address()), plain(never.address())]);
    let mut server = listener.accept()?;
    fetching.cancel.task(1);
    server.send(b"the poem")?;
    drop(server);
    let outcomes = fetching.outcomes()?;
    expect_poem(&outcomes[0], "the poem")?;
    expect_cancelled(&outcomes[1], &never.address().to_string())?;
    never.expect_no_client()
}

fn a_cancel_while_connecting_ends_the_fetch(context: &Context) -> Check {
    let never = NeverAccepts::new()?;
    // A blocking connect cannot be interrupted; only this timeout ends it.
    let client = context.client_with(|limits| limits.connect_timeout = Duration::from_secs(2))?;
    let fetching = client.start(vec![plain(never.address())]);
    fetching.journal().wait_for("a connecting task", |events| {
        events
            .iter()
            .any(|event| event.kind == poetry::Kind::Connecting)
    })?;
    fetching.cancel.all();
    expect_cancelled(&fetching.outcome()?, &never.address().to_string())
}

fn cancelling_a_finished_task_keeps_its_poem(context: &Context) -> Check {
    let (listener, good) = (
        Listener::new()?,
        FakeServer::start(Serves(b"the poem".into()))?,
    );
    let fetching = context
        .client()?
        .start(vec![plain(good.address()), plain(listener.address())]);
    let server = listener.accept()?;
    fetching
        .journal()
        .wait_for("the first poem finished", |events| {
            events
                .iter()
                .any(|event| matches!(event.kind, poetry::Kind::Finished { .. }))
        })?;
    fetching.cancel.all();
    let outcomes = fetching.outcomes()?;
    drop(server);
    expect_poem(&outcomes[0], "the poem")?;
    expect_cancelled(&outcomes[1], &listener.address().to_string())
}

fn cancelling_an_unknown_task_does_nothing(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    fetching.cancel.task(1);
    fetching.cancel.task(usize::MAX);
    server.send(b"the poem")?;
    drop(server);
    expect_poem(&fetching.outcome()?, "the poem")
}

fn a_client_can_be_reused_after_a_cancel(context: &Context) -> Check {
    let (listener, good) = (
        Listener::new()?,
        FakeServer::start(Serves(b"the poem".into()))?,
    );
    let client = context.client()?;
    let fetching = client.start(vec![plain(listener.address())]);
    let server = listener.accept()?;
    fetching.cancel.all();
    expect_cancelled(&fetching.outcome()?, &listener.address().to_string())?;
    drop(server);
    expect_poem(&client.fetch_one(plain(good.address()))?, "the poem")
}
