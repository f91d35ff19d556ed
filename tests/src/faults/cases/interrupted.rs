//! A fetch that is interrupted (S11, S14).

use nix::sys::signal::Signal;

use crate::connection::Connection;
use crate::failure::{Check, equal};
use crate::fake_servers::{FakeServer, Listener, Serves};
use crate::faults::{FaultContext, Observed, fault_cases};
use crate::wire::text;

fault_cases! {
    "SIGTERM and SIGINT":
    sigint_prints_what_has_arrived [S11 S14] for [Client],
    sigterm_prints_what_has_arrived [S11 S14] for [Client],
}

/// Interrupts a fetch of which one poem has arrived, one is half received, and one has not begun.
fn interrupted(context: &FaultContext, signal: Signal) -> Check<Observed> {
    const ARRIVED: &str = "A poem that has arrived.\n";
    let good = FakeServer::start(Serves(ARRIVED.into()))?;
    let (half, silent) = (Listener::new()?, Listener::new()?);
    let fetch = context.fetch().from(good.address());
    let fetch = fetch.from(half.address()).from(silent.address());
    let mut fetching = fetch.start()?;
    let mut half: Connection = half.accept()?;
    let mut silent = silent.accept()?;
    half.send(text(1_000).as_bytes())?;
    fetching.wait_for_line("Task 1 finished")?;
    fetching.signal(signal)?;
    half.receive_to_end()?;
    silent.receive_to_end()?;
    let fetched = fetching.end()?;
    equal("what is printed", &fetched.stdout.as_str(), &ARRIVED)?;
    let status = 128 + signal as i32;
    equal("the exit status", &fetched.status.code(), &Some(status))?;
    let cancelled = fetched.stderr.matches(": cancelled\n").count();
    equal("the poems reported as cancelled", &cancelled, &2)?;
    Ok(Observed::that("the other two connections were closed")
        .and("the poem that had arrived was printed")
        .and(format!("status {status}")))
}

fn sigint_prints_what_has_arrived(context: &FaultContext) -> Check<Observed> {
    interrupted(context, Signal::SIGINT)
}

fn sigterm_prints_what_has_arrived(context: &FaultContext) -> Check<Observed> {
    interrupted(context, Signal::SIGTERM)
}
