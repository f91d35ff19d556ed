//! Interoperability: one subject's client fetches from another subject's servers.

use std::sync::Arc;
use std::time::Duration;

use crate::case::{Need, Role, Verdict, verdict};
use crate::context::Context;
use crate::failure::{Check, Failure, equal};
use crate::fetching::{expect_poem, named, plain, transformed as with_transform};
use crate::running::RunningServer;
use crate::subject::Subject;
use crate::wire::transformed;

/// One sentence about a client and the servers of another subject.
#[derive(Clone, Copy)]
pub struct InteropCase {
    /// The sentence, in snake case.
    pub name: &'static str,
    /// The rules of SEMANTICS.md that it tests.
    pub rules: &'static [&'static str],
    /// Tests the client against the servers with these poems.
    run: fn(&Context, &Context, &[String]) -> Check,
}

/// Every interoperability case.
pub const ALL: &[InteropCase] = &[
    InteropCase {
        name: "fetches_all_poems_concurrently",
        rules: &["S1", "S10", "S12"],
        run: fetches_all_poems_concurrently,
    },
    InteropCase {
        name: "fetches_slow_poems_that_interleave",
        rules: &["S1", "S10", "S12"],
        run: fetches_slow_poems_that_interleave,
    },
    InteropCase {
        name: "fetches_every_poem_transformed_by_a_one_shot_server",
        rules: &["S3", "S5", "S13"],
        run: fetches_every_poem_transformed_by_a_one_shot_server,
    },
    InteropCase {
        name: "fetches_every_poem_transformed_by_a_keep_alive_server",
        rules: &["S3", "S5", "S13"],
        run: fetches_every_poem_transformed_by_a_keep_alive_server,
    },
    InteropCase {
        name: "keeps_the_original_if_the_transform_is_refused",
        rules: &["S4", "S13"],
        run: keeps_the_original_if_the_transform_is_refused,
    },
    InteropCase {
        name: "fetches_every_poem_of_a_one_shot_library_by_its_name",
        rules: &["S8", "S10"],
        run: fetches_every_poem_of_a_one_shot_library_by_its_name,
    },
    InteropCase {
        name: "fetches_every_poem_of_a_keep_alive_library_by_its_name",
        rules: &["S8", "S10"],
        run: fetches_every_poem_of_a_keep_alive_library_by_its_name,
    },
    InteropCase {
        name: "fetches_named_poems_transformed",
        rules: &["S8", "S13"],
        run: fetches_named_poems_transformed,
    },
    InteropCase {
        name: "fetches_a_poem_through_a_proxy",
        rules: &["S9", "S10"],
        run: fetches_a_poem_through_a_proxy,
    },
];

impl InteropCase {
    /// Runs the case with a client, the servers of another subject, and these poems.
    pub fn test(
        self,
        client: &Arc<Subject>,
        servers: &Arc<Subject>,
        poems: &Arc<[String]>,
        seed: u64,
    ) -> Verdict {
        let client = Context::new(Arc::clone(client), Role::PoemClient, seed);
        let servers = Context::new(Arc::clone(servers), Role::TransformServer, seed);
        let poems = Arc::clone(poems);
        verdict(self.rules, seed, move || {
            (self.run)(&client, &servers, &poems)
        })
    }

    /// Returns whether `servers` has every server and counters.
    pub fn applies_to(&self, servers: &Subject) -> bool {
        servers.plays(Role::PoemServer)
            && servers.plays(Role::TransformServer)
            && servers.plays(Role::LibraryServer)
            && servers.plays(Role::Proxy)
            && servers.offers(Need::Counters)
    }
}

/// Starts a server for each poem.
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

/// Checks the counters of the poem servers: one connection each, served to its end, with every byte of the poem.
fn check_counts(running: &[RunningServer], poems: &[String]) -> Check {
    for (server, poem) in running.iter().zip(poems) {
        let counts = server.settled(1)?;
        let actual = (counts.answered, counts.closed.done, counts.bytes_out);
        equal(
            "poems served, connections done, bytes",
            &actual,
            &(1, 1, poem.len() as u64),
        )?;
    }
    Ok(())
}

fn fetches_all_poems_concurrently(client: &Context, servers: &Context, poems: &[String]) -> Check {
    let running = serve_all(servers, poems)?;
    let requests = running
        .iter()
        .map(|server| plain(server.address()))
        .collect();
    expect_all(&client.client()?.fetch(requests)?, poems)?;
    check_counts(&running, poems)
}

fn fetches_slow_poems_that_interleave(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let slow = |(number, poem): (usize, &String)| {
        // Chunks of 7, 8, 9 … bytes split characters at every position, and interleave as they arrive.
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
    check_counts(&running, poems)
}

const TRANSFORMS: [&str; 3] = ["cummingsify", "shout", "reverse"];

/// Fetches every poem with every transform, all at once, through one transform server.
fn fetch_transformed(
    client: &Context,
    servers: &Context,
    poems: &[String],
    via: &RunningServer,
) -> Check {
    let running = serve_all(servers, poems)?;
    let (mut requests, mut expected, mut bytes_out) = (Vec::new(), Vec::new(), 0);
    for transform in TRANSFORMS {
        for (server, poem) in running.iter().zip(poems) {
            requests.push(with_transform(server.address(), transform, via.address()));
            let reply = transformed(transform, poem);
            bytes_out += crate::wire::netstring(&reply).len() as u64;
            expected.push(reply);
        }
    }
    let count = requests.len() as u64;
    expect_all(&client.client()?.fetch(requests)?, &expected)?;
    let counts = via.settled(count)?;
    let actual = (
        counts.requests,
        counts.answered,
        counts.closed.done,
        counts.bytes_out,
    );
    equal(
        "requests, answers, connections done, bytes",
        &actual,
        &(count, count, count, bytes_out),
    )
}

fn fetches_every_poem_transformed_by_a_one_shot_server(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let via = servers.one_shot().start()?;
    fetch_transformed(client, servers, poems, &via)
}

fn fetches_every_poem_transformed_by_a_keep_alive_server(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let via = servers.keep_alive().start()?;
    fetch_transformed(client, servers, poems, &via)
}

/// The name of a poem in a library of all poems.
fn name_of(number: usize) -> String {
    format!("poem {number}")
}

/// Prepares the poems of a library.
fn catalogue(poems: &[String]) -> Vec<(String, &str)> {
    let numbered = poems.iter().enumerate();
    numbered
        .map(|(number, poem)| (name_of(number), poem.as_str()))
        .collect()
}

/// Fetches every poem three times by its name, all at once, from `library`.
fn fetch_by_name(client: &Context, library: &RunningServer, poems: &[String]) -> Check {
    let all = || poems.iter().enumerate().cycle().take(3 * poems.len());
    let requests = all().map(|(number, _)| named(library.address(), &name_of(number)));
    expect_all(
        &client.client()?.fetch(requests.collect())?,
        all().map(|(_, poem)| poem),
    )?;
    let count = 3 * poems.len() as u64;
    let counts = library.settled(count)?;
    let bytes = all().map(|(_, poem)| crate::wire::netstring(poem).len() as u64);
    let actual = (counts.answered, counts.closed.done, counts.bytes_out);
    equal(
        "poems served, connections done, bytes",
        &actual,
        &(count, count, bytes.sum()),
    )
}

fn fetches_every_poem_of_a_one_shot_library_by_its_name(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let catalogue = catalogue(poems);
    let entries: Vec<_> = catalogue.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    fetch_by_name(client, &servers.library(&entries).start()?, poems)
}

fn fetches_every_poem_of_a_keep_alive_library_by_its_name(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let catalogue = catalogue(poems);
    let entries: Vec<_> = catalogue.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    fetch_by_name(
        client,
        &servers.library_keep_alive(&entries).start()?,
        poems,
    )
}

fn fetches_named_poems_transformed(client: &Context, servers: &Context, poems: &[String]) -> Check {
    let catalogue = catalogue(poems);
    let entries: Vec<_> = catalogue.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    let library = servers.library(&entries).start()?;
    let via = servers.one_shot().start()?;
    let request = |number| {
        let transform = poetry::Via {
            transform: "shout".to_owned(),
            peer: via.address().into(),
        };
        named(library.address(), &name_of(number)).via(transform)
    };
    let requests = (0..poems.len()).map(request).collect();
    let expected: Vec<String> = poems
        .iter()
        .map(|poem| transformed("shout", poem))
        .collect();
    expect_all(&client.client()?.fetch(requests)?, &expected)?;
    library.settled(poems.len() as u64).map(drop)
}

fn fetches_a_poem_through_a_proxy(client: &Context, servers: &Context, poems: &[String]) -> Check {
    const CLIENTS: u64 = 20;
    for poem in poems {
        let delay = Duration::from_millis(1);
        let upstream = servers.slow_poem(poem, 100, delay).start()?;
        let proxy = servers.proxy(upstream.address()).start()?;
        let requests = vec![plain(proxy.address()); CLIENTS as usize];
        let outcomes = client.client()?.fetch(requests)?;
        expect_all(&outcomes, std::iter::repeat(poem))?;
        let counts = proxy.settled(CLIENTS)?;
        let actual = (counts.answered, counts.fetches.begun, counts.bytes_out);
        let bytes = CLIENTS * poem.len() as u64;
        equal(
            "poems served, fetches, bytes",
            &actual,
            &(CLIENTS, 1, bytes),
        )?;
        check_counts(&[upstream], std::slice::from_ref(poem))?;
    }
    Ok(())
}

fn keeps_the_original_if_the_transform_is_refused(
    client: &Context,
    servers: &Context,
    poems: &[String],
) -> Check {
    let running = serve_all(servers, poems)?;
    let via = servers.one_shot().start()?;
    let requests = running
        .iter()
        .map(|server| with_transform(server.address(), "gibberish", via.address()));
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
            "expected every transform to fail, got {counts:?}"
        )))
    }
}
