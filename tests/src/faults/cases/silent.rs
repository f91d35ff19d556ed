//! Silent peers: connected, and nothing more (S18, S15).

use std::time::Duration;

use crate::connection::Connection;
use crate::failure::{Check, equal};
use crate::fake_servers::{FakeServer, NeverAnswers, Serves};
use crate::faults::clients::ends;
use crate::faults::{Content, FaultContext, Observed, fault_cases};

fault_cases! { "silent peers":
    closes_them_after_the_idle_timeout [S18] for [TransformServer LibraryServer],
    gives_up_a_server_after_the_idle_timeout_and_prints_the_other_poems [S11 S15] for [Client],
}

fn closes_them_after_the_idle_timeout(context: &FaultContext) -> Check<Observed> {
    const PEERS: usize = 50;
    let launch = context.server(Content::Quick);
    let server = launch
        .limits(|limits| limits.idle_timeout = Duration::from_secs(1))
        .start()?;
    let mut peers: Vec<Connection> = (0..PEERS).map(|_| server.connect()).collect::<Check<_>>()?;
    server.serves()?;
    let ends = ends(&mut peers)?;
    let counts = server.settled()?;
    if let Some(counts) = &counts {
        equal("closed as idle", &counts.closed.idle, &(PEERS as u64))?;
    }
    server.serves()?;
    server.stop()?;
    Ok(Observed::that("other clients were served")
        .ends("silent connections", &ends)
        .closed(counts.as_ref()))
}

fn gives_up_a_server_after_the_idle_timeout_and_prints_the_other_poems(
    context: &FaultContext,
) -> Check<Observed> {
    let silent = FakeServer::start(NeverAnswers)?;
    let good = FakeServer::start(Serves(b"A poem.\n".to_vec()))?;
    let fetch = context.fetch().json().option("--idle-timeout", "1");
    let fetched = fetch.from(silent.address()).from(good.address()).run()?;
    let statuses = fetched.statuses()?;
    equal(
        "the outcomes",
        &statuses.join(", ").as_str(),
        &"timed_out, arrived",
    )?;
    equal("the exit status", &fetched.status.code(), &Some(1))?;
    Ok(Observed::that("the silent server's poem timed out")
        .and("the other arrived")
        .and("exit status 1"))
}
