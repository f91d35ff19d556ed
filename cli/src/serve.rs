//! `quatrain serve`: sets a server up, says where it is, and does what signals ask of it (S21, S23).

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use poetry::limits::{CONNECT_TIMEOUT, POEM_BYTES_MAX};
use poetry::{Counts, Model, Poem, PoemService, Server, Service, TransformService};
use tracing::{error, info, warn};

use crate::args::{Bounds, PoemArgs, ServeArgs, ServeCommand, TransformArgs};
use crate::failure::{Ended, Failure, Status, cause};
use crate::log::ServerLog;
use crate::lossy::Lossy;
use crate::parent;
use crate::resolve;
use crate::signals::{self, Asked, Requests};
use crate::stats::Stats;

/// Runs a server until a signal ends it.
pub(crate) fn run(args: ServeArgs, stderr: &Lossy) -> Ended {
    let (what, service, bounds) = match args.command {
        ServeCommand::Poem(args) => poem(args)?,
        ServeCommand::Transform(args) => transforms(args),
    };
    let pooled = pooled(&bounds)?;
    let model = pooled.as_deref().unwrap_or(bounds.model.model);
    if let Some(parent) = bounds.end_with_parent {
        parent::end_with(parent);
    }
    let requests = Requests::begin()?;
    let stats = Stats::open(bounds.stats.as_deref(), stderr)?;
    let listener = listen(&bounds)?;
    let log = Arc::new(ServerLog::new());
    let server = model
        .serve(
            listener,
            service,
            &bounds.options(models::clock()),
            log.clone(),
        )
        .map_err(|error| {
            Failure::new(format_args!(
                "cannot serve with {}: {}",
                model.name(),
                cause(&error)
            ))
        })?;
    announce(&what, server.address(), model.name());
    let status = obey(server, requests, &bounds, stats, stderr);
    log.finish();
    Ok(status)
}

/// The model with `--pool`, if that is asked for and the model has such a shape.
fn pooled(bounds: &Bounds) -> Result<Option<Box<dyn Model>>, Failure> {
    let Some(size) = bounds.pool else {
        return Ok(None);
    };
    let pooled = models::pooled(size);
    let (name, asked) = (pooled.name(), bounds.model.model.name());
    if asked != name {
        return Err(Failure::new(format_args!(
            "--pool {size} is not for --model {asked}; add --model {name}, or leave --pool out"
        )));
    }
    Ok(Some(pooled))
}

/// What is served, as the `Serving` line names it, and with which bounds.
type Set = (Vec<u8>, Service, Bounds);

fn poem(args: PoemArgs) -> Result<Set, Failure> {
    let poem = read_poem(&args.file)?;
    let pace = args.pace();
    let name = args.file.into_os_string().into_encoded_bytes();
    // A line is a line, whatever a file is called.
    let name = name
        .into_iter()
        .map(|byte| if byte == b'\n' { b'?' } else { byte })
        .collect();
    Ok((name, Service::Poem(PoemService { poem, pace }), args.bounds))
}

fn transforms(args: TransformArgs) -> Set {
    let service = TransformService {
        keep_alive: args.keep_alive,
        lab: args.lab.then(models::clock),
    };
    (
        b"transforms".to_vec(),
        Service::Transform(service),
        args.bounds,
    )
}

/// The poem in the file at `path`.
pub(crate) fn read_poem(path: &Path) -> Result<Poem, Failure> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // No longer than what a client takes: a device may never end.
    let limit = POEM_BYTES_MAX as u64;
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let cause = cause(&error);
            Failure::new(format_args!(
                "cannot read {shown}: {cause}; give the path of a text file"
            ))
        })?;
    if bytes.len() > POEM_BYTES_MAX {
        return Err(Failure::new(format_args!(
            "{shown} is longer than {limit} bytes; give a shorter poem"
        )));
    }
    Poem::from_utf8(&bytes).map_err(|error| {
        let at = error.valid_up_to();
        Failure::new(format_args!(
            "{shown} is not UTF-8 at byte {at}; save the poem as UTF-8"
        ))
    })
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
        Failure::new(format_args!(
            "cannot listen on {address}: {}; {advice}",
            cause(&error)
        ))
    })
}

/// The one line on stdout. That nobody reads it is no reason not to serve (S22).
pub(crate) fn announce(what: &[u8], address: SocketAddr, model: &str) {
    let mut line = b"Serving ".to_vec();
    line.extend_from_slice(what);
    line.extend_from_slice(format!(" on {address} with {model}\n").as_bytes());
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(&line).and_then(|()| stdout.flush()) {
        let cause = cause(&error);
        warn!("cannot say where on stdout ({cause}): serving on {address}");
    }
}

/// Does what signals ask until one asks to stop, then stops.
fn obey(
    server: Box<dyn Server>,
    mut requests: Requests,
    bounds: &Bounds,
    stats: Stats,
    stderr: &Lossy,
) -> Status {
    while requests.next() == Asked::Report {
        stats.write(&server.counters());
        if let Some(details) = server.details() {
            stderr.line(details.trim_end());
        }
    }
    info!(
        "stopping: what is in flight has {} s to finish",
        bounds.grace
    );
    end_at_the_second(requests, server.counters(), stats.clone(), stderr.clone());
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
    Status::Fine
}

/// While the server shuts down nobody can ask it for its counts, so `counts` are those when that began.
fn end_at_the_second(mut requests: Requests, counts: Counts, stats: Stats, stderr: Lossy) {
    let watch = move || {
        while requests.next() == Asked::Report {
            info!("stopping: the counts come at exit");
        }
        warn!("ended at once; the counts are those of when it was first told to stop");
        stats.write_last(&counts);
        signals::end(&stderr, Status::Trouble);
    };
    let named = thread::Builder::new().name("signals".to_owned());
    if let Err(error) = named.spawn(watch) {
        error!("a second signal will not be heard: {error}");
    }
}
