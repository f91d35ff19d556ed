//! Threads exhausted: the system starts no further one, or none at all (S16, S21, T1).

use std::time::Duration;

use crate::failure::{Check, Failure, ensure, equal};
use crate::fake_servers::{FakeServer, Serves};
use crate::faults::cgroup::ThreadBound;
use crate::faults::guest::Guest;
use crate::faults::{Content, FaultContext, FaultRole, Observed, fault_cases};
use crate::wire::text;

fault_cases! {
    "no further thread":
    serves_every_client_with_the_threads_that_it_has [S16 T1] for [PoemServer TransformServer LibraryServer Proxy] marks [Root],
    fetches_every_poem_with_few_threads [S10 T1] for [Client] marks [Root],
    "no thread at all":
    without_threads_it_serves_or_says_that_threads_are_missing [S21] for [PoemServer TransformServer LibraryServer Proxy] marks [Root],
    does_not_start_without_a_thread_and_says_so [S11] for [Client] marks [Root],
}

const CLIENTS: usize = 12;
/// Threads that the server may start for them.
const THREADS: u64 = 4;

/// Connects more clients than further threads are allowed. They are served in the order in which they came; each leaves as soon
/// as it has been served, which frees its thread, if it has one.
fn serves_every_client_with_the_threads_that_it_has(context: &FaultContext) -> Check<Observed> {
    let bound = ThreadBound::new()?;
    let server = context
        .server(Content::Lasting)
        .under(bound.join())
        .start()?;
    let mut first = server.guest()?;
    served(context, &mut first)?;
    bound.allow_more(THREADS)?;
    let mut guests: Vec<Guest> = (0..CLIENTS).map(|_| server.guest()).collect::<Check<_>>()?;
    // These have a thread, if each needs one: they are served while the others stay.
    let first_ones = &mut guests[..THREADS as usize];
    first_ones
        .iter_mut()
        .try_for_each(|guest| served(context, guest))?;
    for mut guest in guests {
        served(context, &mut guest)?;
        drop(guest);
    }
    let ended = server.ended()?;
    ensure(ended.is_none(), || {
        format!("the server has ended: {ended:?}")
    })?;
    drop(first);
    bound.allow("max")?;
    served(context, &mut server.guest()?)?;
    let counts = server.settled()?;
    server.stop()?;
    drop(server);
    let accepted = counts.map_or(0, |counts| counts.accepted);
    let all = format!("all of {CLIENTS} clients were served");
    ensure(accepted == 0 || accepted == CLIENTS as u64 + 2, || {
        format!("accepted {accepted} connections")
    })?;
    Ok(Observed::that(all).and("served on when there were threads again"))
}

/// Expects that a client is served. One of a proxy has then got some bytes: it takes long to read the whole poem.
fn served(context: &FaultContext, guest: &mut Guest) -> Check {
    match context.role() {
        FaultRole::Proxy => guest.connection().wait_readable(),
        _ => guest.is_served(),
    }
}

/// Whether the error of a program names what is missing.
fn names_threads(error: &str) -> bool {
    ["thread", "Resource temporarily unavailable"]
        .iter()
        .any(|word| error.contains(word))
}

fn without_threads_it_serves_or_says_that_threads_are_missing(
    context: &FaultContext,
) -> Check<Observed> {
    let bound = ThreadBound::new()?;
    bound.allow("1")?;
    match context.server(Content::Quick).under(bound.join()).start() {
        Ok(server) => {
            server.serves()?;
            server.stop()?;
            Ok(Observed::that("served with one thread"))
        }
        // It ended with status 2; the text has the first line of its log.
        Err(Failure::Needs(error)) if names_threads(&error) => {
            Ok(Observed::that("status 2").and("the error says what is missing"))
        }
        Err(failure) => Err(failure),
    }
}

fn does_not_start_without_a_thread_and_says_so(context: &FaultContext) -> Check<Observed> {
    let server = FakeServer::start(Serves(text(100).into_bytes()))?;
    let bound = ThreadBound::new()?;
    bound.allow("1")?;
    let fetch = context.fetch().from(server.address()).under(bound.join());
    let ended = fetch.run()?;
    equal("the exit status", &ended.status.code(), &Some(2))?;
    equal("its stdout", &ended.stdout.as_str(), &"")?;
    let lines = ended.stderr.lines().count();
    ensure(lines == 1 && names_threads(&ended.stderr), || {
        let stderr = &ended.stderr;
        format!("expected one line on stderr that names threads, got '{stderr}'")
    })?;
    Ok(Observed::that("status 2").and("one line on stderr"))
}

fn fetches_every_poem_with_few_threads(context: &FaultContext) -> Check<Observed> {
    const POEMS: usize = 30;
    /// Those of the command itself, and a few for fetches.
    const THREADS_MAX: &str = "8";
    let server = FakeServer::start(Serves(text(10_000).into_bytes()))?;
    let bound = ThreadBound::new()?;
    bound.allow(THREADS_MAX)?;
    let mut fetch = context.fetch().json().under(bound.join());
    for _ in 0..POEMS {
        fetch = fetch.from(server.address());
    }
    let fetched = fetch.option("--deadline", &Duration::from_secs(15).as_secs().to_string());
    let fetched = fetched.run()?;
    let arrived = fetched.statuses()?;
    let arrived = arrived.iter().filter(|status| *status == "arrived").count();
    equal("the poems that arrived", &arrived, &POEMS)?;
    equal("the exit status", &fetched.status.code(), &Some(0))?;
    Ok(Observed::that(format!(
        "with {THREADS_MAX} threads, all of {POEMS} poems arrived"
    )))
}
