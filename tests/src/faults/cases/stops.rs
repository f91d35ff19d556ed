//! Signals to stop, with something in flight (S21, S11).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::connection::End;
use crate::failure::{Check, ensure, equal};
use crate::fake_servers::Listener;
use crate::faults::in_flight::InFlight;
use crate::faults::{FaultContext, Observed, fault_cases, process};

fault_cases! { "signals to stop":
    finishes_what_is_in_flight [S21]
        for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    resets_what_outlasts_the_grace [S21]
        for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    ends_at_once_at_a_second_signal [S21]
        for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    prints_the_poems_that_arrived_and_ends_with_the_signal_s_status [S11] for [Client],
}

const CLIENTS: usize = 3;
/// A grace that is not over before the case.
const LONG: Duration = Duration::from_secs(600);

fn finishes_what_is_in_flight(context: &FaultContext) -> Check<Observed> {
    let mut counts = None;
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (server, in_flight) = InFlight::start(context, CLIENTS, |launch| launch.grace(LONG))?;
        server.signal(signal)?;
        process::wait_until_deaf(server.address(), server.patience())?;
        in_flight.finish()?;
        equal("the exit status", &server.wait()?.code(), &Some(0))?;
        counts = server.last_counts()?;
    }
    Ok(Observed::that("new connections were refused at once")
        .and("what was in flight finished, then FIN")
        .and("exit status 0")
        .closed(counts.as_ref()))
}

fn resets_what_outlasts_the_grace(context: &FaultContext) -> Check<Observed> {
    let grace = Duration::from_millis(200);
    let (server, in_flight) =
        InFlight::start(context, CLIENTS, |launch| launch.grace(grace).delay(LONG))?;
    server.signal(Signal::SIGTERM)?;
    let ends = in_flight.ends()?;
    equal("the exit status", &server.wait()?.code(), &Some(1))?;
    let counts = server.last_counts()?;
    if let Some(counts) = &counts {
        equal("connections cut", &counts.closed.cut, &(CLIENTS as u64))?;
    }
    equal(
        "a connection in flight that saw FIN",
        &ends.contains(&End::Fin),
        &false,
    )?;
    Ok(Observed::that("exit status 1")
        .ends("connections", &ends)
        .closed(counts.as_ref()))
}

fn ends_at_once_at_a_second_signal(context: &FaultContext) -> Check<Observed> {
    let (server, _in_flight) =
        InFlight::start(context, CLIENTS, |launch| launch.grace(LONG).delay(LONG))?;
    server.signal(Signal::SIGTERM)?;
    process::wait_until_deaf(server.address(), server.patience())?;
    server.signal(Signal::SIGINT)?;
    equal("the exit status", &server.wait()?.code(), &Some(1))?;
    let counts = server.last_counts()?;
    if let Some(counts) = &counts {
        equal(
            "connections open at the end",
            &counts.open,
            &(CLIENTS as u64),
        )?;
    }
    Ok(Observed::that("exit status 1").and("its last counts were written"))
}

fn prints_the_poems_that_arrived_and_ends_with_the_signal_s_status(
    context: &FaultContext,
) -> Check<Observed> {
    const POEM: &str = "A poem that arrived.\n";
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (good, silent) = (Listener::new()?, Listener::new()?);
        let fetch = context.fetch().from(good.address()).from(silent.address());
        let mut fetching = fetch.start()?;
        let (mut complete, mut waiting) = (good.accept()?, silent.accept()?);
        complete.send(POEM.as_bytes())?;
        complete.half_close()?;
        // It has closed this connection, so the poem has arrived.
        complete.receive_to_end()?;
        fetching.signal(signal)?;
        let fetched = fetching.end()?;
        waiting.expect_closed()?;
        equal("the exit status", &fetched.status.code(), &Some(status))?;
        equal("what it prints", &fetched.stdout.as_str(), &POEM)?;
        ensure(fetched.stderr.contains("cancelled"), || {
            format!("expected a cancelled poem, got '{}'", fetched.stderr)
        })?;
    }
    Ok(Observed::that("the poem that had arrived was printed")
        .and("the other connection was closed")
        .and("exit status 130 after SIGINT, 143 after SIGTERM"))
}
