//! Readers that stop: clients that request a long poem and take no byte of it (S18). What each costs the server beyond the poem,
//! which all share (S8, S9), and that each is reset.
//!
//! Counted is `RssAnon`, the memory that the process holds itself. The kernel's buffers of the sockets are not in it: for a client
//! that does not read they hold up to some megabytes (`net.ipv4.tcp_wmem`), whatever the program does.

use std::time::Duration;

use crate::connection::{Connection, End};
use crate::failure::{Check, ensure, equal};
use crate::faults::clients::ends;
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases, process};
use crate::wire::text;

fault_cases! {
    "readers that stop":
    fifty_stopped_readers_cost_little_memory_and_are_reset
        [S18] for [PoemServer] [S8 S18] for [LibraryServer] [S9 S18] for [Proxy] marks [Linux OneAtATime],
    two_hundred_stalled_readers_cost_little_memory_each
        [S18] for [PoemServer] [S8 S18] for [LibraryServer] [S9 S18] for [Proxy] marks [Linux OneAtATime],
    a_thousand_stopped_readers_cost_little_memory_and_are_reset
        [S18] for [PoemServer] [S8 S18] for [LibraryServer] [S9 S18] for [Proxy] marks [Linux Long],
    ten_thousand_stalled_readers_cost_little_memory_each
        [S16 S18] for [PoemServer] [S8 S16 S18] for [LibraryServer] [S9 S16 S18] for [Proxy] marks [Linux Long],
}

fn fifty_stopped_readers_cost_little_memory_and_are_reset(
    context: &FaultContext,
) -> Check<Observed> {
    are_reset(context, 50)
}

fn two_hundred_stalled_readers_cost_little_memory_each(context: &FaultContext) -> Check<Observed> {
    cost_little_memory(context, 200)
}

fn a_thousand_stopped_readers_cost_little_memory_and_are_reset(
    context: &FaultContext,
) -> Check<Observed> {
    are_reset(context, 1_000)
}

fn ten_thousand_stalled_readers_cost_little_memory_each(context: &FaultContext) -> Check<Observed> {
    // One less than the default limit on connections, for the client that is served.
    cost_little_memory(context, 9_999)
}

const POEM_BYTES: usize = 40_000_000;
/// The poem repeats itself so often, since a long text takes long to make.
const PARTS: usize = 1_000;
/// Readers that connect together.
const AT_ONCE: usize = 50;
const KIB: u64 = 1 << 10;
const BYTES_EACH_MAX: u64 = 64 * KIB;
/// Its stack, and what the kernel needs to switch to it, come in whole pages.
const BYTES_EACH_MAX_OF_A_THREAD: u64 = 128 * KIB;

/// Starts a server of a long poem. A proxy fetches the poem, and every server touches what it needs for one client.
fn start(context: &FaultContext, write_timeout: Duration) -> Check<Daemon> {
    let content = Content::Poem(text(POEM_BYTES / PARTS).repeat(PARTS));
    let server = context.server(content).limits(|limits| {
        limits.write_timeout = write_timeout;
        limits.frame_bytes_max = POEM_BYTES;
    });
    let server = server.start()?;
    server.serves()?;
    server.settled()?;
    Ok(server)
}

/// Keeps readers that stop connected, and observes what they cost.
fn cost_little_memory(context: &FaultContext, count: usize) -> Check<Observed> {
    let server = start(context, Duration::from_secs(600))?;
    let before = process::memory(server.id())?;
    let mut readers = Vec::new();
    while readers.len() < count {
        let next = readers.len()..count.min(readers.len() + AT_ONCE);
        readers.extend(stopped_readers(&server, next)?);
        // Checked now and then, so that a server which copies the poem for each does not fill the memory of the machine.
        let max = bytes_each_max(&server, readers.len())?;
        costs_little(&server, before, readers.len(), max)?;
    }
    server.serves()?;
    let max = bytes_each_max(&server, count)?;
    costs_little(&server, before, count, max)?;
    for reader in readers {
        reader.reset()?;
    }
    let counts = server.settled()?;
    server.serves()?;
    server.stop()?;
    let cost = format!(
        "at most {} KiB for each of {count}, without the kernel's buffers",
        max / KIB
    );
    Ok(Observed::that(cost)
        .and("other clients were served")
        .closed(counts.as_ref()))
}

/// Lets the write timeout end the readers.
fn are_reset(context: &FaultContext, count: usize) -> Check<Observed> {
    let server = start(context, Duration::from_secs(2))?;
    let before = process::memory(server.id())?;
    let mut readers = stopped_readers(&server, 0..count)?;
    costs_little(&server, before, count, BYTES_EACH_MAX_OF_A_THREAD)?;
    server.serves()?;
    let counts = server.wait_until("the stopped readers closed", |counts| counts.open == 0)?;
    let ends = ends(&mut readers)?;
    let saw_fin = ends.contains(&End::Fin);
    equal("a stopped reader that saw FIN", &saw_fin, &false)?;
    if let Some(counts) = &counts {
        let closed = counts.closed.write;
        equal("closed by the write timeout", &closed, &(count as u64))?;
    }
    server.serves()?;
    Ok(Observed::that("other clients were served")
        .and("at most 128 KiB of memory each")
        .ends("reader", &ends)
        .closed(counts.as_ref()))
}

/// Returns how much memory each of `count` readers may cost.
fn bytes_each_max(server: &Daemon, count: usize) -> Check<u64> {
    let has_a_thread_each = process::threads(server.id())? >= count;
    Ok(match has_a_thread_each {
        true => BYTES_EACH_MAX_OF_A_THREAD,
        false => BYTES_EACH_MAX,
    })
}

fn costs_little(server: &Daemon, before: u64, readers: usize, max: u64) -> Check {
    let each = process::memory(server.id())?.saturating_sub(before) / readers as u64;
    ensure(each <= max, || {
        format!("each of {readers} stopped readers costs {} KiB", each / KIB)
    })
}

/// Connects readers with these numbers, and waits until the server has begun to send to each.
fn stopped_readers(server: &Daemon, numbers: std::ops::Range<usize>) -> Check<Vec<Connection>> {
    let readers: Vec<Connection> = numbers
        .map(|number| stopped_reader(server, number))
        .collect::<Check<_>>()?;
    readers.iter().try_for_each(Connection::wait_readable)?;
    Ok(readers)
}

/// Connects from one of several addresses, since one has too few ports for all. The reader requests the poem, and takes no byte.
fn stopped_reader(server: &Daemon, number: usize) -> Check<Connection> {
    const BUFFER_BYTES: usize = 4_096;
    const PER_SOURCE: usize = 1_000;
    let host = 2 + u8::try_from(number / PER_SOURCE).unwrap_or(u8::MAX);
    let source = [127, 0, 0, host].into();
    let mut reader = server.connect_from(source, Some(BUFFER_BYTES))?;
    reader.send(&server.question())?;
    Ok(reader)
}
