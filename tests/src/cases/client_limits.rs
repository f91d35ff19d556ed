//! The limits of a client (S15): concurrent fetches, the idle timeout and the length of a poem.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client_fetches::fetches_a_second_while_the_first_waits;
use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, Failure, ensure, equal};
use crate::fake_servers::{Behaviour, FakeServer, Listener, Serves};
use crate::fetching::{expect_poem, plain};
use crate::wire::text;

cases! { PoemClient:
    a_limit_of_one_fetches_one_poem_after_another [S10 S15],
    concurrent_fetches_stay_within_the_limit [S15],
    each_fetch_call_of_a_client_has_its_own_limit [S14 S15],
    incoming_data_restarts_the_idle_timeout [S15],
    a_poem_exactly_at_the_limit_is_accepted [S15],
}

/// Serves a poem, and records the peak of concurrent connections.
#[derive(Clone, Default)]
struct RecordsPeak {
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Behaviour for RecordsPeak {
    fn serve(&self, mut connection: Connection) -> Check {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        connection.send(b"half a ")?;
        // A pause in the middle of the poem, so that fetches beyond the limit would overlap.
        thread::sleep(Duration::from_millis(10));
        connection.send(b"poem")?;
        // Counted down before the client can see the end of the poem.
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

fn peak_of(context: &Context, fetches_max: usize) -> Check<usize> {
    let behaviour = RecordsPeak::default();
    let server = FakeServer::start(behaviour.clone())?;
    let client = context.client_with(|limits| limits.fetches_max = fetches_max)?;
    let outcomes = client.fetch(vec![plain(server.address()); 12])?;
    outcomes
        .iter()
        .try_for_each(|outcome| expect_poem(outcome, "half a poem"))?;
    Ok(behaviour.peak.load(Ordering::SeqCst))
}

fn a_limit_of_one_fetches_one_poem_after_another(context: &Context) -> Check {
    equal(
        "the peak of concurrent connections",
        &peak_of(context, 1)?,
        &1,
    )
}

fn concurrent_fetches_stay_within_the_limit(context: &Context) -> Check {
    let peak = peak_of(context, 3)?;
    ensure(peak <= 3, || {
        format!("expected at most 3 concurrent connections, got {peak}")
    })
}

fn each_fetch_call_of_a_client_has_its_own_limit(context: &Context) -> Check {
    // The first fetch uses up its limit; the second has its own.
    fetches_a_second_while_the_first_waits(&context.client_with(|limits| limits.fetches_max = 1)?)
}

fn incoming_data_restarts_the_idle_timeout(context: &Context) -> Check {
    const ATTEMPTS: usize = 5;
    let timeout = Duration::from_millis(600);
    let client = context.client_with(|limits| limits.idle_timeout = timeout)?;
    for _ in 0..ATTEMPTS {
        let listener = Listener::new()?;
        let fetching = client.start(vec![plain(listener.address())]);
        let mut server = listener.accept()?;
        let mut steady = true;
        for _ in 0..8 {
            let begun = Instant::now();
            drop(server.try_send(b"word "));
            // A pause that makes the server slow; it waits for nothing.
            thread::sleep(timeout / 6);
            steady &= begun.elapsed() < timeout / 2;
        }
        drop(server);
        let outcome = fetching.outcome()?;
        // An attempt in which a busy machine slowed the server down is inconclusive.
        if steady {
            return expect_poem(&outcome, &"word ".repeat(8));
        }
    }
    Err(Failure::Needs("a less busy machine".to_owned()))
}

fn a_poem_exactly_at_the_limit_is_accepted(context: &Context) -> Check {
    let server = FakeServer::start(Serves(text(70_000).into()))?;
    let client = context.client_with(|limits| limits.poem_bytes_max = 70_000)?;
    expect_poem(&client.fetch_one(plain(server.address()))?, &text(70_000))
}
