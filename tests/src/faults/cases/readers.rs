//! Readers that stop: peers that take no byte of a long poem (S18).

use std::time::Duration;

use crate::connection::{Connection, End};
use crate::failure::{Check, ensure, equal};
use crate::faults::clients::ends;
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases, process};
use crate::wire::text;

// The kernel holds some megabytes for each reader that stops.
fault_cases! { "readers that stop":
    fifty_stopped_readers_cost_little_memory_and_are_reset [S5 S8 S9 S18]
        for [PoemServer LibraryServer Proxy] marks [Linux Alone],
    a_thousand_stopped_readers_cost_little_memory_and_are_reset [S5 S8 S9 S18]
        for [PoemServer LibraryServer Proxy] marks [Linux Long Alone],
}

fn fifty_stopped_readers_cost_little_memory_and_are_reset(
    context: &FaultContext,
) -> Check<Observed> {
    stopped_readers(context, 50)
}

fn a_thousand_stopped_readers_cost_little_memory_and_are_reset(
    context: &FaultContext,
) -> Check<Observed> {
    stopped_readers(context, 1_000)
}

fn stopped_readers(context: &FaultContext, count: usize) -> Check<Observed> {
    const POEM_BYTES: usize = 40_000_000;
    const BYTES_EACH_MAX: u64 = 128 << 10;
    let server = context
        .server(Content::Poem(text(POEM_BYTES)))
        .limits(|limits| {
            limits.write_timeout = Duration::from_secs(2);
            limits.frame_bytes_max = POEM_BYTES;
        })
        .start()?;
    // A proxy fetches the poem now. What the server holds for one client is not counted for each of the others.
    server.serves()?;
    let before = process::memory(server.id())?;
    let mut readers: Vec<Connection> = (0..count)
        .map(|_| stopped_reader(&server))
        .collect::<Check<_>>()?;
    wait_until_all_wait(&readers)?;
    let each = process::memory(server.id())?.saturating_sub(before) / count as u64;
    ensure(each <= BYTES_EACH_MAX, || {
        format!("a stopped reader costs {} KiB", each >> 10)
    })?;
    server.serves()?;
    let counts = server.wait_until("the stopped readers closed", |counts| counts.open == 0)?;
    let ends = ends(&mut readers)?;
    equal(
        "a stopped reader that saw FIN",
        &ends.contains(&End::Fin),
        &false,
    )?;
    if let Some(counts) = &counts {
        equal(
            "closed by the write timeout",
            &counts.closed.write,
            &(count as u64),
        )?;
    }
    server.serves()?;
    Ok(Observed::that("other clients were served")
        .and("at most 128 KiB of memory each")
        .ends("readers", &ends)
        .closed(counts.as_ref()))
}

fn stopped_reader(server: &Daemon) -> Check<Connection> {
    const BUFFER_BYTES: usize = 4_096;
    let mut reader = server.connect_narrow(BUFFER_BYTES)?;
    reader.send(&server.question())?;
    Ok(reader)
}

/// Waits until the server has begun to send to each of `readers`.
fn wait_until_all_wait(readers: &[Connection]) -> Check {
    readers.iter().try_for_each(Connection::wait_readable)
}
