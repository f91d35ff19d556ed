//! `quatrain serve`: starts a server, prints where it listens, and does what signals request (S21, S23).

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use poetry::limits::CONNECT_TIMEOUT;
use poetry::{Counts, Model, PoemService, Server, Service, TransformService};
use tracing::{error, info, warn};

use crate::args::{Bounds, PoemArgs, ServeArgs, ServeCommand, TransformArgs};
use crate::closed_stdout;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::{LineWriter, Sink, would_block};
use crate::log::ServerLog;
use crate::parent;
use crate::poem_file;
use crate::resolve;
use crate::signals::{self, Request, Requests};
use crate::stats::Stats;

/// Runs a server until a signal ends it.
pub(crate) fn run(args: ServeArgs, stderr: &LineWriter) -> Ended {
    let offer = match args.command {
        ServeCommand::Poem(args) => poem(args)?,
        ServeCommand::Transform(args) => transforms(args),
    };
    let bounds = offer.bounds;
    let pooled = pooled(&bounds)?;
    let model = pooled.as_deref().unwrap_or(bounds.model.model);
    if let Some(parent) = bounds.end_with_parent {
        parent::end_with(parent);
    }
    let requests = Requests::install()?;
    let stats = Stats::open(bounds.stats.as_deref(), stderr)?;
    let listener = listen(&bounds)?;
    let log = Arc::new(ServerLog::new());
    let options = bounds.options(models::clock());
    let server = model
        .serve(listener, offer.service, &options, log.clone())
        .map_err(|error| {
            let (name, cause) = (model.name(), cause(&error));
            Failure::new(format_args!("cannot serve with {name}: {cause}"))
        })?;
    let stdout = announce(&offer.name, server.address(), model.name());
    let status = obey(server, requests, &bounds, stats, stderr);
    stdout.finish();
    log.finish();
    Ok(status)
}

/// Returns the model with `--pool`, if that option is set and the model supports it.
fn pooled(bounds: &Bounds) -> Result<Option<Box<dyn Model>>, Failure> {
    let Some(size) = bounds.pool else {
        return Ok(None);
    };
    let pooled = models::pooled(size);
    let (name, selected) = (pooled.name(), bounds.model.model.name());
    if selected != name {
        return Err(Failure::new(format_args!(
            "--pool {size} is not for --model {selected}; add --model {name}, or leave --pool out"
        )));
    }
    Ok(Some(pooled))
}

/// What a server offers, and within which bounds.
struct Offer {
    /// As the `Serving` line names it.
    name: Vec<u8>,
    service: Service,
    bounds: Bounds,
}

fn poem(args: PoemArgs) -> Result<Offer, Failure> {
    let poem = poem_file::read(&args.file)?;
    let pace = args.pace();
    let name = args.file.into_os_string().into_encoded_bytes();
    // A newline in the file's name must not end the `Serving` line.
    let name = name
        .into_iter()
        .map(|byte| if byte == b'\n' { b'?' } else { byte })
        .collect();
    Ok(Offer {
        name,
        service: Service::Poem(PoemService { poem, pace }),
        bounds: args.bounds,
    })
}

fn transforms(args: TransformArgs) -> Offer {
    let service = TransformService {
        keep_alive: args.keep_alive,
        lab: args.lab.then(models::clock),
    };
    Offer {
        name: b"transforms".to_vec(),
        service: Service::Transform(service),
        bounds: args.bounds,
    }
}

fn listen(bounds: &Bounds) -> Result<TcpListener, Failure> {
    let address = resolve::interface(&bounds.iface, bounds.port, CONNECT_TIMEOUT)?;
    models::listen(address).map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "choose another --port, or --port 0 for a free one",
            io::ErrorKind::PermissionDenied => "choose a --port above 1023",
            io::ErrorKind::AddrNotAvailable => "choose an --iface of this machine",
            _ => "choose another --iface or --port",
        };
        let cause = cause(&error);
        Failure::new(format_args!(
            "cannot listen on {address}: {cause}; {advice}"
        ))
    })
}

/// Prints the one line on stdout, without waiting for its reader: the server runs whether or not it is read (S22).
pub(crate) fn announce(what: &[u8], address: SocketAddr, model: &str) -> LineWriter {
    let mut line = b"Serving ".to_vec();
    line.extend_from_slice(what);
    line.extend_from_slice(format!(" on {address} with {model}\n").as_bytes());
    let stdout = LineWriter::new("stdout", Announcement { address });
    stdout.push_directly(&line);
    stdout
}

/// The process's stdout, for a server's `Serving` line.
struct Announcement {
    address: SocketAddr,
}

impl Sink for Announcement {
    fn write(&self, lines: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = closed_stdout::check()
            .and_then(|()| stdout.write_all(lines))
            .and_then(|()| stdout.flush());
        if let Err(error) = written {
            let (address, cause) = (self.address, cause(&error));
            warn!("cannot print the address on stdout ({cause}): serving on {address}");
        }
    }

    fn is_full(&self) -> bool {
        would_block(io::stdout())
    }

    fn report_dropped(&self, _: u64) {
        warn!(
            "cannot print the address on stdout: serving on {}",
            self.address
        );
    }
}

/// Does what signals request until one requests a stop, then stops the server.
fn obey(
    server: Box<dyn Server>,
    mut requests: Requests,
    bounds: &Bounds,
    stats: Stats,
    stderr: &LineWriter,
) -> Status {
    while requests.next() == Request::Report {
        stats.write(&server.counters());
        if let Some(details) = server.details() {
            stderr.line(details.trim_end());
        }
    }
    info!(
        "stopping: requests and poems in flight have {} s to finish",
        bounds.grace
    );
    exit_on_second_signal(requests, server.counters(), stats.clone(), stderr.clone());
    let summary = server.shutdown(bounds.grace.0);
    stats.write_last(&summary.counters);
    if summary.cut > 0 {
        warn!(
            "stopped: {} finished, {} cut",
            summary.finished, summary.cut
        );
        return Status::Trouble;
    }
    info!("stopped: {} finished", summary.finished);
    Status::Success
}

/// Watches for a second signal during the shutdown. The server's counts are not available then, so `counts` are those
/// from the start of the shutdown.
fn exit_on_second_signal(mut requests: Requests, counts: Counts, stats: Stats, stderr: LineWriter) {
    let watch = move || {
        while requests.next() == Request::Report {
            info!("stopping: the counts will be written at exit");
        }
        warn!("ended at once by a second signal; the counts are those of the first");
        stats.write_last(&counts);
        // Without open connections nothing was cut (S21).
        let status = match counts.open {
            0 => Status::Success,
            _ => Status::Trouble,
        };
        signals::exit(&stderr, status);
    };
    let named = thread::Builder::new().name("signals".to_owned());
    if let Err(error) = named.spawn(watch) {
        error!("a second signal will be ignored: {error}");
    }
}
