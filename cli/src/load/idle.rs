//! `quatrain load idle`: holds idle connections, and says what one costs the server.

use std::sync::mpsc;

use measure::Exchange;
use measure::analysis::words::{thousands, value};
use measure::load::{Held, LoadError, hold};
use measure::process::{kernel_memory, usage_of};
use measure::report::Table;
use poetry::limits::CONNECT_TIMEOUT;
use serde::Serialize;

use crate::args::LoadIdleArgs;
use crate::failure::{Ended, Failure, Status};
use crate::line_writer::LineWriter;
use crate::words::counted;
use crate::{hints, output, resolve, signals, table_layout};

use super::{Role, cannot_begin};

/// What was held, and the memory at several counts of connections, if the process is known.
#[derive(Serialize)]
struct Holding {
    address: String,
    held: usize,
    readings: Vec<Reading>,
    own_bytes_each: Option<f64>,
    kernel_bytes_each: Option<f64>,
}

/// Memory at one count of connections, in bytes (MEASURING 7).
#[derive(Clone, Copy, Serialize)]
struct Reading {
    /// Idle connections, each of which has made a request.
    connections: usize,
    /// The server's own memory (`RssAnon`).
    own: Option<u64>,
    /// The kernel's memory, on the whole machine.
    kernel: Option<u64>,
    /// The server's threads.
    threads: Option<u64>,
}

/// Holds connections for the time wanted, and prints what they cost.
pub(super) fn run(args: &LoadIdleArgs, stderr: &LineWriter) -> Ended {
    let (interrupt, interrupted) = mpsc::channel();
    let first = move |status| {
        // Nobody receives it once the connections are released.
        let _ = interrupt.send(status);
    };
    signals::on_interrupt(stderr, first)?;
    let (held, holding) = climb(args)?;
    let text = match args.json {
        true => output::json_line(&holding),
        false => words(&holding),
    };
    let printed = output::text(&text);
    let status = interrupted.recv_timeout(args.hold.0).ok();
    held.release().map_err(|error| failed(args, &error))?;
    match printed {
        Ok(()) => Ok(status.unwrap_or(Status::Success)),
        Err(error) => Ok(output::report_failure(&error, stderr)),
    }
}

/// Opens the connections, and reads the memory on the way.
fn climb(args: &LoadIdleArgs) -> Result<(Held, Holding), Failure> {
    let address = resolve::first(&args.address, CONNECT_TIMEOUT)
        .map_err(|cause| cannot_begin(&args.address, cause))?;
    let exchange = Exchange::cummingsify(measure::exchange::POEM_BYTES)
        .map_err(|cause| cannot_begin(&args.address, cause))?;
    let timeout = measure::Plan::STALL_TIMEOUT;
    let mut held = hold(address, exchange, 0, timeout).map_err(|error| failed(args, &error))?;
    let all = args.connections;
    let mut counts = vec![all.div_ceil(4), all.div_ceil(2), all];
    counts.dedup();
    let mut readings = Vec::new();
    for connections in counts {
        held.grow(connections)
            .map_err(|error| failed(args, &error))?;
        if let Some(pid) = args.pid {
            let usage = usage_of(pid);
            readings.push(Reading {
                connections,
                own: usage.own_memory,
                kernel: kernel_memory(),
                threads: usage.threads,
            });
        }
    }
    // A server without --keep-alive has closed them by now: then there are no figures.
    held.check().map_err(|error| failed(args, &error))?;
    let holding = Holding {
        address: args.address.to_string(),
        held: held.connections(),
        own_bytes_each: each(&readings, |reading| reading.own),
        kernel_bytes_each: each(&readings, |reading| reading.kernel),
        readings,
    };
    Ok((held, holding))
}

/// Returns the bytes of a connection, from the first reading to the last.
fn each(readings: &[Reading], of: impl Fn(&Reading) -> Option<u64>) -> Option<f64> {
    let (first, last) = (readings.first()?, readings.last()?);
    let connections = last.connections.checked_sub(first.connections)?;
    let bytes = of(last)? as f64 - of(first)? as f64;
    (connections > 0).then(|| bytes / connections as f64)
}

fn words(holding: &Holding) -> String {
    let connections = counted(holding.held as u64, "idle connection");
    let mut text = format!("{connections}, each after one request\n");
    if holding.readings.is_empty() {
        return text;
    }
    let mut table = Table::new(&["connections", "memory", "kernel's memory", "threads"]);
    let bytes = |bytes: Option<u64>| or_not(bytes.map(|bytes| value(bytes as f64, "B")));
    let row = |reading: &Reading| {
        vec![
            thousands(reading.connections as f64),
            bytes(reading.own),
            bytes(reading.kernel),
            or_not(reading.threads.map(|threads| threads.to_string())),
        ]
    };
    table.rows = holding.readings.iter().map(row).collect();
    table.notes = vec![format!(
        "{} {}",
        slope("of the server's own memory", holding.own_bytes_each, "."),
        slope(
            "in the kernel",
            holding.kernel_bytes_each,
            ", both ends together: that is of the whole machine, and means something only if it is quiet."
        )
    )];
    text.push('\n');
    text + &table_layout::for_stdout(&table)
}

/// Says what a connection costs of the memory that is somewhere.
fn slope(of: &str, bytes: Option<f64>, and: &str) -> String {
    match bytes {
        Some(bytes) => format!("A connection costs {} {of}{and}", value(bytes, "B")),
        None => format!("What a connection costs {of} is not available."),
    }
}

fn or_not(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "not available".to_owned())
}

fn failed(args: &LoadIdleArgs, error: &LoadError) -> Failure {
    let role = Role::Transform {
        one_shot: false,
        lab: false,
    };
    let hint = match error {
        LoadError::ClosedEarly { .. } | LoadError::Lost(_) => Some(format!(
            "was it started with --keep-alive, and does it allow as many connections and as long an idle time? to start one: \
             quatrain serve transform --keep-alive --port {}",
            args.address.port
        )),
        _ => hints::after_load(&args.address, error, role),
    };
    super::trouble(&args.address, error, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_that_the_system_does_not_tell_is_said_to_be_not_available() {
        let holding = Holding {
            address: "127.0.0.1:7".to_owned(),
            held: 100,
            readings: [25, 100]
                .map(|connections| Reading {
                    connections,
                    own: None,
                    kernel: Some(1_000 * connections as u64),
                    threads: None,
                })
                .to_vec(),
            own_bytes_each: None,
            kernel_bytes_each: Some(1_000.0),
        };
        let text = words(&holding).replace('\n', " ");
        for words in [
            "What a connection costs of the server's own memory is not available.",
            "A connection costs 1,000 B in the kernel, both ends together:",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}
