//! Many devices: each reports now and then from a new address, and vanishes without closing its connection (S16–S18).

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::connection::Connection;
use crate::failure::{Check, ensure, equal};
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases, process};
use crate::wire::{netstring, request, text};

fault_cases! {
    "devices that vanish":
    every_report_of_two_hundred_devices_is_answered [S16 S17 S18] for [TransformServer] marks [Linux],
    every_report_of_a_thousand_devices_is_answered [S16 S17 S18] for [TransformServer] marks [Linux Long],
}

fn every_report_of_two_hundred_devices_is_answered(context: &FaultContext) -> Check<Observed> {
    every_report_is_answered(context, 200, 3)
}

fn every_report_of_a_thousand_devices_is_answered(context: &FaultContext) -> Check<Observed> {
    every_report_is_answered(context, 1_000, 5)
}

/// The descriptors of the server: fewer than devices.
const DESCRIPTORS: u64 = 128;
/// The idle timeout, in time that is shortened: a connection that is silent for so long is taken for dead. A busy machine must not
/// take so long between accepting a connection and reading from it.
const IDLE_TIMEOUT: Duration = Duration::from_millis(500);

fn every_report_is_answered(
    context: &FaultContext,
    devices: usize,
    reports: usize,
) -> Check<Observed> {
    let server = context.server(Content::Quick).descriptors(DESCRIPTORS);
    let server = server.limits(|limits| limits.idle_timeout = IDLE_TIMEOUT);
    let server = server.start()?;
    let mut vanished = Vec::new();
    // The first round takes what the server then needs again in each.
    report_all(&server, devices, 0, &mut vanished)?;
    all_are_reclaimed(&server, &mut vanished)?;
    let before = (
        process::descriptors(server.id())?,
        process::memory(server.id())?,
    );
    for round in 1..reports {
        report_all(&server, devices, round, &mut vanished)?;
    }
    all_are_reclaimed(&server, &mut vanished)?;
    let after = (
        process::descriptors(server.id())?,
        process::memory(server.id())?,
    );
    equal("descriptors open after all", &after.0, &before.0)?;
    let grown = after.1.saturating_sub(before.1);
    ensure(grown <= MEMORY_MAX, || {
        format!("the server's memory has grown by {} KiB", grown >> 10)
    })?;
    let counts = server.settled()?;
    let all = (devices * reports) as u64;
    if let Some(counts) = &counts {
        let answered = (counts.answered, counts.closed.idle);
        equal("reports answered, connections idle", &answered, &(all, all))?;
    }
    server.serves()?;
    server.stop()?;
    Ok(
        Observed::that(format!("all of {all} reports were answered"))
            .and("every silent connection was closed by the idle timeout")
            .and("no more descriptors or memory after the last round than after the first"),
    )
}

/// What may remain in the allocator of a process that leaks nothing.
const MEMORY_MAX: u64 = 1 << 20;

/// Lets every device report once, from an address that it has not had before, and vanish: its connection stays open and silent.
fn report_all(
    server: &Daemon,
    devices: usize,
    round: usize,
    vanished: &mut Vec<Connection>,
) -> Check {
    const REPORT_BYTES: usize = 100;
    let report = text(REPORT_BYTES);
    let (question, answer) = (request("shout", &report), netstring(report.to_uppercase()));
    let first = vanished.len();
    for device in 0..devices {
        let mut connection = server.connect_from(source(device, round), None)?;
        connection.send(&question)?;
        vanished.push(connection);
    }
    for connection in &mut vanished[first..] {
        let reply = connection.receive(answer.len())?;
        crate::failure::same_bytes("the reply to a report", &reply, &answer)?;
    }
    Ok(())
}

/// Returns the address of a device in a round.
fn source(device: usize, round: usize) -> Ipv4Addr {
    let serial = u32::try_from(device * 16 + round).unwrap_or_default();
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + serial)
}

/// Expects that the server has closed every connection by itself.
fn all_are_reclaimed(server: &Daemon, vanished: &mut Vec<Connection>) -> Check {
    vanished
        .iter_mut()
        .try_for_each(|connection| connection.expect_closed().map(drop))?;
    server.settled()?;
    vanished.clear();
    Ok(())
}
