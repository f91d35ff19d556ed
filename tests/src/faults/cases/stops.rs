//! Signals to stop, with something in flight (S21).

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::connection::End;
use crate::failure::{Check, equal};
use crate::faults::in_flight::InFlight;
use crate::faults::{FaultContext, Observed, fault_cases, process};

fault_cases! {
    "SIGTERM and SIGINT":
    finishes_what_is_in_flight [S21] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    "clients that outlast the grace":
    resets_what_outlasts_the_grace [S21] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
    "a second signal":
    ends_at_once_at_a_second_signal [S21] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
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
        .ends("connection", &ends)
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
    Ok(Observed::that("exit status 1").and("the counts of the first signal were written"))
}
