//! Standard streams of a fetch that fail (S11, S22).

use crate::failure::{Check, ensure, equal};
use crate::fake_servers::{FakeServer, Refuses, Serves};
use crate::faults::{FaultContext, Observed, Output, fault_cases};
use crate::wire::text;

fault_cases! {
    "stdout closed":
    a_stdout_closed_before_the_start_is_reported [S22] for [Client],
    "stdout full":
    a_stdout_without_room_is_reported [S22] for [Client],
    "stdout without a reader":
    a_stdout_whose_reader_has_gone_ends_it_quietly [S11 S22] for [Client],
    a_reader_that_leaves_in_the_middle_ends_it_quietly [S11 S22] for [Client],
    "stderr closed":
    a_closed_stderr_does_not_disturb_the_fetch [S22] for [Client],
    "stderr full":
    a_full_stderr_does_not_stall_the_fetch [S22] for [Client],
}

/// More bytes than a pipe holds.
const POEM_BYTES: usize = 1 << 20;

fn to(context: &FaultContext, stdout: Output, line: &str) -> Check<Observed> {
    let server = FakeServer::start(Serves(text(POEM_BYTES).into_bytes()))?;
    let fetch = context.fetch().option("--progress", "none");
    let fetched = fetch.from(server.address()).stdout(stdout).run()?;
    equal("the exit status", &fetched.status.code(), &Some(1))?;
    equal(
        "its lines",
        &fetched.stderr.lines().count(),
        &line.lines().count(),
    )?;
    ensure(fetched.stderr.starts_with(line), || {
        format!("expected '{line}' on stderr, got '{}'", fetched.stderr)
    })?;
    Ok(match line {
        "" => Observed::that("nothing on stderr"),
        _ => Observed::that("one line on stderr"),
    }
    .and("status 1"))
}

const CANNOT: &str = "quatrain: cannot write to stdout: ";

fn a_stdout_closed_before_the_start_is_reported(context: &FaultContext) -> Check<Observed> {
    to(context, Output::Closed, CANNOT)
}

fn a_stdout_whose_reader_has_gone_ends_it_quietly(context: &FaultContext) -> Check<Observed> {
    to(context, Output::ReaderGone, "")
}

fn a_reader_that_leaves_in_the_middle_ends_it_quietly(context: &FaultContext) -> Check<Observed> {
    to(context, Output::ReaderLeaves, "")
}

fn a_stdout_without_room_is_reported(context: &FaultContext) -> Check<Observed> {
    to(context, Output::FullDevice, CANNOT)
}

/// Fetches a poem and some that fail, so that there is something to report.
fn unreported(context: &FaultContext, stderr: Output) -> Check<Observed> {
    const FAILING: usize = 100;
    let poem = text(POEM_BYTES);
    let server = FakeServer::start(Serves(poem.clone().into_bytes()))?;
    let refuses = Refuses::new()?;
    let mut fetch = context.fetch().from(server.address());
    for _ in 0..FAILING {
        fetch = fetch.from(refuses.address());
    }
    let fetched = fetch.option("--progress", "lines").stderr(stderr).run()?;
    ensure(fetched.stdout == poem, || {
        format!("expected the poem, got {} bytes", fetched.stdout.len())
    })?;
    equal("the exit status", &fetched.status.code(), &Some(1))?;
    Ok(Observed::that("the poem was printed").and("status 1 for those that failed"))
}

fn a_full_stderr_does_not_stall_the_fetch(context: &FaultContext) -> Check<Observed> {
    unreported(context, Output::FullPipe)
}

fn a_closed_stderr_does_not_disturb_the_fetch(context: &FaultContext) -> Check<Observed> {
    unreported(context, Output::Closed)
}
