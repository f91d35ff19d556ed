//! `quatrain stats`: the counts of a running server, by its process id or by the address of its metrics.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use measure::analysis::words::thousands;
use measure::report::Table;
use poetry::limits::CONNECT_TIMEOUT;

use crate::args::{Address, StatsArgs, Target};
use crate::failure::{Ended, Failure, Status, cause};
use crate::inquiries;
use crate::line_writer::LineWriter;
use crate::metrics::COUNTS_PATH;
use crate::stats::ServiceCounts;
use crate::{output, resolve, table_layout};

/// How long an answer may take. A server answers as soon as it has looked at its signals.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of an answer: those of thousands of servers.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Asks a server for its counts, and prints them.
pub(crate) fn run(args: &StatsArgs, stderr: &LineWriter) -> Ended {
    let lines = match &args.server {
        Target::Process(process) => ask_process(*process)?,
        Target::Metrics(address) => ask_metrics(address)?,
    };
    let counts = lines.lines().map(serde_json::from_str).collect();
    let counts: Result<Vec<ServiceCounts>, _> = counts;
    let text = match counts {
        Err(error) => {
            return Err(Failure::trouble(format_args!(
                "the answer is not that of a quatrain server: {error}; is it one of the same version?"
            )));
        }
        Ok(_) if args.json => lines.trim_end().to_owned() + "\n",
        Ok(counts) => table_layout::for_stdout(&table(&counts)),
    };
    Ok(output::last_text(&text, Status::Success, stderr))
}

/// Asks the server with a process id, on this machine.
fn ask_process(process: u32) -> Result<String, Failure> {
    let asked = inquiries::connect(process).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        read_all(stream)
    });
    let answer = asked.map_err(|error| {
        let cause = match error.kind() {
            ErrorKind::ConnectionRefused => "no quatrain server has this process id".to_owned(),
            ErrorKind::Unsupported => {
                "this system has no such sockets; ask its --metrics".to_owned()
            }
            ErrorKind::WouldBlock => format!("it did not answer within {} s", PATIENCE.as_secs()),
            _ => cause(&error),
        };
        Failure::trouble(format_args!("cannot ask process {process}: {cause}"))
    })?;
    match answer.is_empty() {
        true => Err(Failure::trouble(format_args!(
            "process {process} did not answer: it is stopping, or another user's"
        ))),
        false => Ok(answer),
    }
}

/// Asks the server whose `--metrics` are at `address`.
fn ask_metrics(address: &Address) -> Result<String, Failure> {
    let failed = |cause: String| {
        Failure::trouble(format_args!(
            "cannot ask {address}: {cause}; is this the address of a server's --metrics?"
        ))
    };
    let resolved =
        resolve::first(address, CONNECT_TIMEOUT).map_err(|failure| failed(failure.to_string()))?;
    let asked = TcpStream::connect_timeout(&resolved, CONNECT_TIMEOUT).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(
            format!("GET {COUNTS_PATH} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes(),
        )?;
        read_all(stream)
    });
    let answer = asked.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => failed(format!("no answer within {} s", PATIENCE.as_secs())),
        _ => failed(cause(&error)),
    })?;
    match answer.split_once("\r\n\r\n") {
        Some((head, lines)) if head.starts_with("HTTP/1.1 200 ") => Ok(lines.to_owned()),
        Some((head, _)) if head.starts_with("HTTP/1.1 503 ") => {
            Err(failed("it is stopping".to_owned()))
        }
        _ => Err(failed(
            "the answer is not that of a quatrain server".to_owned(),
        )),
    }
}

/// Reads an answer to its end, within bounds.
fn read_all(stream: impl Read) -> io::Result<String> {
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Returns a table with a column for each server.
fn table(servers: &[ServiceCounts]) -> Table {
    let names = servers
        .iter()
        .map(|server| match server.service == server.role {
            true => server.address.clone(),
            false => format!("{} on {}", server.service, server.address),
        });
    let columns: Vec<String> = ["".to_owned()].into_iter().chain(names).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(&columns);
    let kinds = servers
        .iter()
        .map(|server| format!("{}, {}", server.role, server.model));
    table
        .rows
        .push(["serves".to_owned()].into_iter().chain(kinds).collect());
    let numbers: Vec<Vec<(String, u64, bool)>> = servers.iter().map(numbers).collect();
    for row in 0..numbers.first().map_or(0, Vec::len) {
        let of_row = || numbers.iter().map(|server| &server[row]);
        let (name, _, always) = &numbers[0][row];
        if *always || of_row().any(|(_, count, _)| *count > 0) {
            let cells = of_row().map(|(_, count, _)| thousands(*count as f64));
            table
                .rows
                .push([name.clone()].into_iter().chain(cells).collect());
        }
    }
    table
}

/// Returns the counts of a server: their names, and whether they are shown if they are 0.
fn numbers(server: &ServiceCounts) -> Vec<(String, u64, bool)> {
    let counts = &server.counts;
    let shown = |name: &str, count| (name.to_owned(), count, true);
    let reasons = |what: &'static str, reasons: &[(&str, u64)]| -> Vec<(String, u64, bool)> {
        let named = reasons.iter().map(|(reason, count)| {
            (
                format!("  {what}: {}", reason.replace('_', " ")),
                *count,
                false,
            )
        });
        named.collect()
    };
    let fetches = &counts.fetches;
    let mut numbers = vec![
        shown("connections accepted", counts.accepted),
        shown("  open", counts.open),
    ];
    numbers.extend(reasons("closed", &counts.closed.by_reason()));
    numbers.extend([
        shown("requests", counts.requests),
        shown("  answered", counts.answered),
    ]);
    numbers.extend(reasons("refused", &counts.refused.by_reason()));
    numbers.extend([
        ("  failed".to_owned(), counts.failed, false),
        shown("  in flight", counts.in_flight),
        shown("bytes read", counts.bytes_in),
        shown("bytes written", counts.bytes_out),
        ("fetches".to_owned(), fetches.begun, false),
        ("  cached".to_owned(), fetches.cached, false),
        ("  failed".to_owned(), fetches.failed, false),
        ("  cancelled".to_owned(), fetches.cancelled, false),
        ("  under way".to_owned(), fetches.under_way, false),
    ]);
    numbers
}
