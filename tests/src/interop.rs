//! One subject's client against another's servers: whoever speaks the wire's language understands everybody.

use std::sync::Arc;
use std::time::Duration;

use crate::case::{Need, Role, Verdict, verdict};
use crate::context::Context;
use crate::failure::{Check, Failure, equal};
use crate::fetching::{expect_poem, plain, transformed as asked};
use crate::running::RunningServer;
use crate::subject::Subject;
use crate::wire::transformed;

/// A sentence about a client and the servers of another subject, and the poems they are given.
#[derive(Clone, Copy)]
pub struct Interop {
    /// The sentence, in snake case.
    pub name: &'static str,
    /// The rules of SEMANTICS.md that it tests.
    pub rules: &'static [&'static str],
    /// Finds out: the client's side, the servers' side, the poems.
    run: fn(&Context, &Context, &[String]) -> Check,
}

/// Every pairing.
pub const ALL: &[Interop] = &[
    Interop {
        name: "fetches_every_poem_at_once",
        rules: &["S1", "S10", "S12"],
        run: fetches_every_poem_at_once,
    },
    Interop {
        name: "fetches_slow_poems_as_they_come",
        rules: &["S1", "S10", "S12"],
        run: fetches_slow_poems_as_they_come,
    },
    Interop {
        name: "has_every_poem_transformed_in_one_shot",
        rules: &["S3", "S5", "S13"],
        run: has_every_poem_transformed_in_one_shot,
    },
    Interop {
        name: "has_every_poem_transformed_by_a_server_that_keeps_alive",
        rules: &["S3", "S5", "S13"],
        run: has_every_poem_transformed_by_a_server_that_keeps_alive,
    },
    Interop {
        name: "keeps_the_original_of_what_is_refused",
        rules: &["S4", "S13"],
        run: keeps_the_original_of_what_is_refused,
    },
];

impl Interop {
    /// Puts the pairing to a client and the servers of another subject, with these poems.
    pub fn test(
        self,
        client: &Arc<Subject>,
        servers: &Arc<Subject>,
        poems: &Arc<[String]>,
        seed: u64,
    ) -> Verdict {
        let client = Context::new(Arc::clone(client), seed);
        let servers = Context::new(Arc::clone(servers), seed);
        let poems = Arc::clone(poems);
        verdict(self.rules, seed, move || {
            (self.run)(&client, &servers, &poems)
        })
    }

    /// Whether the servers' side can be asked.
    pub fn suits(&self, servers: &Subject) -> bool {
        servers.plays(Role::PoemServer)
            && servers.plays(Role::TransformServer)
            && servers.offers(Need::Counters)
    }
}

/// A server for each poem.
fn serve_all(servers: &Context, poems: &[String]) -> Check<Vec<RunningServer>> {
    poems
        .iter()
        .map(|poem| servers.poem(poem).start())
        .collect()
}

fn expect_all<'p>(
    outcomes: &[poetry::Outcome],
    poems: impl IntoIterator<Item = &'p String>,
) -> Check {
    let mut pairs = outcomes.iter().zip(poems);
    pairs.try_for_each(|(outcome, poem)| expect_poem(outcome, poem))
}

/// The ledger of the poem servers: every connection served to its end, every byte of it received.
fn settle(running: &[RunningServer], poems: &[String]) -> Check {
    for (server, poem) in running.iter().zip(poems) {
        let counts = server.settled(1)?;
        let came = (counts.answered, counts.closed.done, counts.bytes_out);
        equal(
            "poems served, connections done, bytes",
            &came,
            &(1, 1, poem.len() as u64),
        )?;
    }
    Ok(())
}

fn fetches_every_poem_at_once(client: &Context, servers: &Context, poems: &[String]) -> Check {
    let running = serve_all(servers, poems)?;
    let requests = running
        .iter()
        .map(|server| plain(server.address()))
        .collect();
    expect_all(&client.client()?.fetch(requests)?, poems)?;
    settle(&running, poems)
}

fn fetches_slow_poems_as_they_come(client: &Context, servers: &Context, poems: &[String]) -> Check {
    let slow = |(number, poem): (usize, &String)| {
        // Chunks of 7, 8, 9 … bytes cut characters in every way, and the arrivals interleave.
        servers
            .slow_poem(poem, 7 + number, Duration::from_millis(1))
            .start()
    };
    let running = poems
        .iter()
        .enumerate()
        .map(slow)
        .collect::<Check<Vec<_>>>()?;
    let requests = running
        .iter()
        .map(|server| plain(server.address()))
        .collect();
    expect_all(&client.client()?.fetch(requests)?, poems)?;
    settle(&running, poems)
}

const TRANSFORMS: [&str; 3] = ["cummingsify", "shout", "reverse"];

/// Every poem by every transform, all at once, through one server.
fn has_transformed(
    client: &Context,
    servers: &Context,
    poems: &[String],
    via: &RunningServer,
) -> Check {
    let running = serve_all(servers, poems)?;
    let (mut requests, mut expected, mut bytes_out) = (Vec::new(), Vec::new(), 0);
    for transform in TRANSFORMS {
        for (server, poem) in running.iter().zip(poems) {
            requests.push(asked(server.address(), transform, via.address()));
            let reply = transformed(transform, poem);
            bytes_out += crate::wire::netstring(&reply).len() as u64;
            expected.push(reply);
        }
    }
    let count = requests.len() as u64;
    expect_all(&client.client()?.fetch(requests)?, &expected)?;
    let counts = via.settled(count)?;
    let came = (
        counts.requests,
        counts.answered,
        counts.closed.done,
        counts.bytes_out,
    );
    equal(
        "requests, answers, connections done, bytes",
        &came,
        &(count, count, count, bytes_out),
    )
}

fn has_every_poem_transformed_in_one_shot(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let via = servers.one_shot().start()?;
    has_transformed(client, servers, poems, &via)
}

fn has_every_poem_transformed_by_a_server_that_keeps_alive(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let via = servers.keep_alive().start()?;
    has_transformed(client, servers, poems, &via)
}

fn keeps_the_original_of_what_is_refused(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let running = serve_all(servers, poems)?;
    let via = servers.one_shot().start()?;
    let requests = running
        .iter()
        .map(|server| asked(server.address(), "gibberish", via.address()));
    let outcomes = client.client()?.fetch(requests.collect())?;
    for (outcome, poem) in outcomes.iter().zip(poems) {
        let name = via.address().to_string();
        crate::fetching::expect_original(outcome, poem, "refused", &name, |failure| {
            *failure == poetry::FetchFailure::Refused
        })?;
    }
    let counts = via.settled(poems.len() as u64)?;
    if counts.refused.transform_failed == poems.len() as u64 {
        Ok(())
    } else {
        Err(Failure::broken(format!(
            "expected every transform to have failed, came {counts:?}"
        )))
    }
}
