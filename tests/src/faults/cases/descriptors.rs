//! Descriptors exhausted: fewer than connections (S17), or than fetches (S15).

use std::thread;
use std::time::{Duration, Instant};

use crate::WAIT_MAX;
use crate::connection::Connection;
use crate::failure::{Check, ensure, equal};
use crate::fake_servers::{Behaviour, FakeServer, Serves};
use crate::faults::guest::Guest;
use crate::faults::{Content, FaultContext, Observed, fault_cases, process};
use crate::gate::Gate;

fault_cases! {
    "descriptors exhausted":
    serves_its_clients_and_accepts_the_others_as_descriptors_become_free
        [S17] for [PoemServer TransformServer LibraryServer] [S9 S17] for [Proxy] marks [Linux],
    waits_for_its_own_descriptors [S15] for [Client] marks [Linux],
}

/// The descriptors that a server may have: some for itself, the others for connections.
const DESCRIPTORS: u64 = 48;
/// The descriptors of a client, far fewer than its fetches.
const CLIENT_DESCRIPTORS: u64 = 32;
const CLIENTS: usize = 60;
/// How many leave, so that others find room.
const LEAVING: usize = 30;

fn serves_its_clients_and_accepts_the_others_as_descriptors_become_free(
    context: &FaultContext,
) -> Check<Observed> {
    /// The rule says 2 %. This leaves room for a slow machine; a loop takes 50 % and more, also beside others.
    const PERCENT_MAX: u64 = 8;
    let server = context
        .server(Content::Lasting)
        .descriptors(DESCRIPTORS)
        .start()?;
    let mut warm_up = server.guest()?;
    warm_up.is_served()?;
    let mut guests: Vec<Guest> = (0..CLIENTS).map(|_| server.guest()).collect::<Check<_>>()?;
    wait_until_exhausted(server.id(), DESCRIPTORS, server.patience())?;
    let (since, lines_before) = (Instant::now(), server.log().lines().count());
    let percent = process::processor_percent(server.id())?;
    ensure(percent <= PERCENT_MAX, || {
        format!("uses {percent} % of a processor while its descriptors are exhausted")
    })?;
    guests[0].is_served()?;
    let lines = server.log().lines().count() - lines_before;
    let seconds = since.elapsed().as_secs() as usize;
    ensure(lines <= seconds + 1, || {
        format!("logs {lines} lines in {seconds} s while its descriptors are exhausted")
    })?;
    guests.drain(..LEAVING);
    let freed = Instant::now();
    server.wait_until("those that waited accepted", |counts| {
        counts.accepted > CLIENTS as u64
    })?;
    // One connection each 100 ms, the interval of S17's retries, would take twice as long.
    let together = Duration::from_millis(100) * (LEAVING as u32 / 2);
    ensure(freed.elapsed() < together, || {
        "those that waited are accepted one after another".to_owned()
    })?;
    guests.iter_mut().try_for_each(Guest::is_served)?;
    drop((guests, warm_up));
    server.settled()?;
    server.guest()?.is_served()?;
    server.settled()?;
    server.stop()?;
    Ok(Observed::that("those accepted before were served on")
        .and(format!("at most {PERCENT_MAX} % of a processor"))
        .and("at most one log line a second")
        .and("those that waited were accepted together when others left"))
}

/// Waits until almost every descriptor of a process is taken, and no other has been for a moment.
fn wait_until_exhausted(id: u32, descriptors: u64, patience: Duration) -> Check {
    const MOMENT: Duration = Duration::from_millis(300);
    let deadline = Instant::now() + patience;
    let (mut taken, mut since) = (0, Instant::now());
    while since.elapsed() < MOMENT || taken + 8 < descriptors as usize {
        let now = process::descriptors(id)?;
        if now != taken {
            (taken, since) = (now, Instant::now());
        }
        ensure(Instant::now() < deadline, || {
            format!("has {taken} descriptors open, and does not take the others")
        })?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Serves a poem to all connections once the case opens the gate.
#[derive(Debug)]
struct ServesTogether {
    poem: Serves,
    gate: Gate,
}

impl Behaviour for ServesTogether {
    fn serve(&self, connection: Connection) -> Check {
        self.gate.pass();
        self.poem.serve(connection)
    }
}

fn waits_for_its_own_descriptors(context: &FaultContext) -> Check<Observed> {
    const FETCHES: usize = 100;
    let gate = Gate::default();
    let server = FakeServer::start(ServesTogether {
        poem: Serves("A poem of a busy server.\n".into()),
        gate: gate.clone(),
    })?;
    let mut fetch = context.fetch().json().descriptors(CLIENT_DESCRIPTORS);
    for _ in 0..FETCHES {
        fetch = fetch.from(server.address());
    }
    let fetching = fetch.start()?;
    // No poem ends before the client has run out: one that is quick would never need more than it has.
    wait_until_exhausted(fetching.id(), CLIENT_DESCRIPTORS, WAIT_MAX)?;
    gate.open();
    let fetched = fetching.end()?;
    let arrived = fetched.statuses()?;
    let lost = arrived.iter().find(|status| *status != "arrived");
    equal("a fetch that did not arrive", &lost, &None)?;
    equal("the outcomes", &arrived.len(), &FETCHES)?;
    equal("the exit status", &fetched.status.code(), &Some(0))?;
    Ok(Observed::that(format!(
        "with {CLIENT_DESCRIPTORS} descriptors, all of {FETCHES} poems arrived"
    )))
}
