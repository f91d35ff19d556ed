//! Cancelling (S14): one task, or all, at any moment, and the sockets are closed at once.

use std::time::Duration;

use poetry::{Cancel, FetchFailure, Outcome};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, Failure};
use crate::fake_servers::{FakeServer, Listener, NeverAccepts, Serves};
use crate::fetching::{expect_failure, expect_poem, plain};

cases! { PoemClient:
    cancelling_one_task_leaves_the_others [S11 S14],
    cancelling_all_ends_every_task [S11 S14],
    a_cancelled_fetch_closes_its_socket_at_once [S14],
    what_was_cancelled_before_the_start_is_not_fetched [S14],
    a_task_cancelled_before_its_turn_is_never_begun [S14 S15],
    a_cancel_while_connecting_ends_the_fetch [S14],
    cancelling_what_has_arrived_takes_nothing_back [S14],
    cancelling_a_task_that_is_not_there_does_nothing [S14],
    a_client_can_be_used_again_after_a_cancel [S14],
}

fn cancelled(outcome: &Outcome, address: &str) -> Check {
    expect_failure(outcome, "cancelled", address, |failure| {
        *failure == FetchFailure::Cancelled
    })
}

fn cancelling_one_task_leaves_the_others(context: &Context) -> Check {
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
        <[_; 3]>::try_from(servers).map_err(|_| Failure::broken("three servers"))?;
    second.expect_closed()?;
    first.send(b"the first")?;
    third.send(b"the third")?;
    drop((first, third));
    let outcomes = fetching.outcomes()?;
    expect_poem(&outcomes[0], "the first")?;
    cancelled(&outcomes[1], &listeners[1].address().to_string())?;
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
        .try_for_each(|outcome| cancelled(outcome, &listener.address().to_string()))?;
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
    // Closed while the other fetch, and so the whole, is still under way.
    server.expect_closed()?;
    drop(other);
    fetching.outcomes().map(drop)
}

fn what_was_cancelled_before_the_start_is_not_fetched(context: &Context) -> Check {
    let (listener, good) = (
        Listener::new()?,
        FakeServer::start(Serves(b"the poem".into()))?,
    );
    let cancel = Cancel::new();
    cancel.task(0);
    let requests = vec![plain(listener.address()), plain(good.address())];
    let outcomes = context.client()?.start_with(requests, cancel).outcomes()?;
    cancelled(&outcomes[0], &listener.address().to_string())?;
    expect_poem(&outcomes[1], "the poem")
}

fn a_task_cancelled_before_its_turn_is_never_begun(context: &Context) -> Check {
    let (listener, never) = (Listener::new()?, Listener::new()?);
    let client = context.client_with(|limits| limits.fetches_max = 1)?;
    let fetching = client.start(vec![plain(listener.address()), plain(never.address())]);
    let mut server = listener.accept()?;
    fetching.cancel.task(1);
    server.send(b"the poem")?;
    drop(server);
    let outcomes = fetching.outcomes()?;
    expect_poem(&outcomes[0], "the poem")?;
    cancelled(&outcomes[1], &never.address().to_string())?;
    never.expect_no_client()
}

fn a_cancel_while_connecting_ends_the_fetch(context: &Context) -> Check {
    let never = NeverAccepts::new()?;
    // A blocking connect cannot be interrupted; it ends by this.
    let client = context.client_with(|limits| limits.connect_timeout = Duration::from_secs(2))?;
    let fetching = client.start(vec![plain(never.address())]);
    fetching
        .journal()
        .wait_for("a task that connects", |events| {
            events
                .iter()
                .any(|event| event.kind == poetry::Kind::Connecting)
        })?;
    fetching.cancel.all();
    cancelled(&fetching.outcome()?, &never.address().to_string())
}

fn cancelling_what_has_arrived_takes_nothing_back(context: &Context) -> Check {
    let (listener, good) = (
        Listener::new()?,
        FakeServer::start(Serves(b"the poem".into()))?,
    );
    let fetching = context
        .client()?
        .start(vec![plain(good.address()), plain(listener.address())]);
    let server = listener.accept()?;
    fetching.journal().wait_for("a poem finished", |events| {
        events
            .iter()
            .any(|event| matches!(event.kind, poetry::Kind::Finished { .. }))
    })?;
    fetching.cancel.all();
    let outcomes = fetching.outcomes()?;
    drop(server);
    expect_poem(&outcomes[0], "the poem")?;
    cancelled(&outcomes[1], &listener.address().to_string())
}

fn cancelling_a_task_that_is_not_there_does_nothing(context: &Context) -> Check {
    let listener = Listener::new()?;
    let fetching = context.client()?.start(vec![plain(listener.address())]);
    let mut server = listener.accept()?;
    fetching.cancel.task(1);
    fetching.cancel.task(usize::MAX);
    server.send(b"the poem")?;
    drop(server);
    expect_poem(&fetching.outcome()?, "the poem")
}

fn a_client_can_be_used_again_after_a_cancel(context: &Context) -> Check {
    let (listener, good) = (
        Listener::new()?,
        FakeServer::start(Serves(b"the poem".into()))?,
    );
    let client = context.client()?;
    let fetching = client.start(vec![plain(listener.address())]);
    let server = listener.accept()?;
    fetching.cancel.all();
    cancelled(&fetching.outcome()?, &listener.address().to_string())?;
    drop(server);
    expect_poem(&client.fetch_one(plain(good.address()))?, "the poem")
}
