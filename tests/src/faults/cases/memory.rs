//! Memory under pressure: what a client that stops reading costs the server beyond the poem that all share (S5, S8, S9, S18).
//!
//! Counted is `RssAnon`, the memory that the process holds itself. The kernel's buffers of the sockets are not in it: for a client
//! that does not read they hold up to some megabytes (`net.ipv4.tcp_wmem`), whatever the program does.

use std::time::Duration;

use crate::connection::Connection;
use crate::failure::{Check, ensure};
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases, process};
use crate::wire::text;

fault_cases! { "memory under pressure":
    two_hundred_stalled_readers_cost_little_memory_each [S5 S8 S9 S18]
        for [PoemServer LibraryServer Proxy] marks [Linux],
    ten_thousand_stalled_readers_cost_little_memory_each [S5 S8 S9 S16 S18]
        for [PoemServer LibraryServer Proxy] marks [Linux Long],
}

fn two_hundred_stalled_readers_cost_little_memory_each(context: &FaultContext) -> Check<Observed> {
    cost_little_memory(context, 200)
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

fn cost_little_memory(context: &FaultContext, count: usize) -> Check<Observed> {
    let content = Content::Poem(text(POEM_BYTES / PARTS).repeat(PARTS));
    let server = context.server(content).limits(|limits| {
        limits.write_timeout = Duration::from_secs(600);
        limits.frame_bytes_max = POEM_BYTES;
    });
    let server = server.start()?;
    // A proxy fetches the poem now, and the server touches what it needs for one client.
    server.serves()?;
    server.settled()?;
    let before = process::memory(server.id())?;
    let mut readers = Vec::new();
    while readers.len() < count {
        let next = readers.len()..count.min(readers.len() + AT_ONCE);
        let joining: Vec<Connection> = next
            .map(|index| stalled_reader(&server, index))
            .collect::<Check<_>>()?;
        joining.iter().try_for_each(Connection::wait_readable)?;
        readers.extend(joining);
        // Checked now and then, so that a server which copies the poem for each does not fill the memory of the machine.
        costs_little(&server, before, readers.len())?;
    }
    server.serves()?;
    costs_little(&server, before, count)?;
    let max = bytes_each_max(&server, count)?;
    for reader in readers {
        reader.reset()?;
    }
    let counts = server.settled()?;
    server.serves()?;
    server.stop()?;
    Ok(Observed::that(format!(
        "at most {} KiB for each of {count}, without the kernel's buffers",
        max / KIB
    ))
    .and("other clients were served")
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

fn costs_little(server: &Daemon, before: u64, readers: usize) -> Check {
    let each = process::memory(server.id())?.saturating_sub(before) / readers as u64;
    let max = bytes_each_max(server, readers)?;
    ensure(each <= max, || {
        format!("each of {readers} stalled readers costs {} KiB", each / KIB)
    })
}

/// Connects from one of several addresses, since one has too few ports for all. The reader requests the poem, and takes no byte.
fn stalled_reader(server: &Daemon, index: usize) -> Check<Connection> {
    const BUFFER_BYTES: usize = 4_096;
    const PER_SOURCE: usize = 1_000;
    let host = 2 + u8::try_from(index / PER_SOURCE).unwrap_or(u8::MAX);
    let source = [127, 0, 0, host].into();
    let mut reader = server.connect_from(source, Some(BUFFER_BYTES))?;
    reader.send(&server.question())?;
    Ok(reader)
}
