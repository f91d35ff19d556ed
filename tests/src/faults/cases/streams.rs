//! Broken standard streams, and counts that no process reads (S22).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use crate::failure::{Check, During, ensure};
use crate::faults::{Content, FaultContext, Observed, Output, fault_cases};
use crate::subject::command::free_port;
use crate::subject::process::Folder;

fault_cases! {
    "stdout closed":
    serves_and_stops_with_stdout_closed [S22] for [PoemServer TransformServer LibraryServer Proxy],
    "stdout full":
    serves_and_stops_with_stdout_full [S22] for [PoemServer TransformServer LibraryServer Proxy],
    "stderr closed":
    serves_and_stops_with_stderr_closed [S22] for [PoemServer TransformServer LibraryServer Proxy],
    "stderr full":
    serves_and_stops_with_a_full_log_pipe [S22] for [PoemServer TransformServer LibraryServer Proxy],
    "stderr without a reader":
    serves_and_stops_when_the_reader_of_its_log_has_gone [S22] for [PoemServer TransformServer LibraryServer Proxy],
    "counts that are not read":
    serves_and_stops_though_no_process_reads_its_counts [S22 S23] for [PoemServer TransformServer LibraryServer Proxy] marks [Linux],
}

fn serves_and_stops_with_stdout_closed(context: &FaultContext) -> Check<Observed> {
    serves_and_stops(context, Output::Closed, Output::Read)
}

fn serves_and_stops_with_stdout_full(context: &FaultContext) -> Check<Observed> {
    serves_and_stops(context, Output::FullPipe, Output::Read)
}

fn serves_and_stops_with_stderr_closed(context: &FaultContext) -> Check<Observed> {
    serves_and_stops(context, Output::Read, Output::Closed)
}

fn serves_and_stops_with_a_full_log_pipe(context: &FaultContext) -> Check<Observed> {
    serves_and_stops(context, Output::Read, Output::FullPipe)
}

fn serves_and_stops_when_the_reader_of_its_log_has_gone(context: &FaultContext) -> Check<Observed> {
    serves_and_stops(context, Output::Read, Output::ReaderGone)
}

/// Serves a number of clients and some bad requests, all of which it logs, and stops.
fn serves_and_stops(context: &FaultContext, stdout: Output, stderr: Output) -> Check<Observed> {
    const CLIENTS: usize = 20;
    let server = context
        .server(Content::Quick)
        .port(free_port()?)
        .log("trace")
        .stdout(stdout)
        .stderr(stderr)
        .start()?;
    for _ in 0..CLIENTS {
        let mut bad = server.connect()?;
        bad.send(b"not a netstring")?;
        bad.half_close()?;
        bad.receive_to_end()?;
        server.serves()?;
    }
    server.settled()?;
    server.stop()?;
    Ok(Observed::that("served on").and("stopped with exit status 0"))
}

fn serves_and_stops_though_no_process_reads_its_counts(context: &FaultContext) -> Check<Observed> {
    const SIGNALS: usize = 200;
    let folder = Folder::new()?;
    let fifo = folder.file("counts");
    nix::unistd::mkfifo(fifo.as_str(), Mode::S_IRUSR | Mode::S_IWUSR).during("making a FIFO")?;
    let _reader = open_end(&fifo, OpenOptions::new().read(true))?;
    let mut filler = open_end(&fifo, OpenOptions::new().write(true))?;
    let filled = filler.write_all(&vec![b'x'; 16 << 20]);
    ensure(filled.is_err(), || "a FIFO without end".to_owned())?;
    let server = context.server(Content::Quick).stats(fifo).start()?;
    for _ in 0..SIGNALS {
        server.signal(Signal::SIGUSR1)?;
    }
    server.serves()?;
    server.stop()?;
    Ok(Observed::that("served on").and("stopped with exit status 0"))
}

/// Opens an end of a FIFO without waiting for the other.
fn open_end(fifo: &str, options: &mut OpenOptions) -> Check<File> {
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let opened = options.custom_flags(nonblocking).open(fifo);
    opened.during("opening a FIFO")
}
