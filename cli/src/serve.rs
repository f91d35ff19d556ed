//! `quatrain serve`: starts a server, prints where it listens, and does what signals request (S21, S23).

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use poetry::limits::CONNECT_TIMEOUT;
use poetry::{
    Counts, LibraryService, Model, PoemService, ProxyService, Server, Service, TransformService,
};
use tracing::{error, info, warn};

use crate::args::{
    LibraryArgs, PoemArgs, ProxyArgs, ServeArgs, ServeCommand, ServerArgs, TransformArgs,
};
use crate::closed_stdout;
use crate::failure::{
    Ended, Failure, Status, cause, cause_at_start, is_short_of_threads, without_number,
};
use crate::limits_in_force;
use crate::line_writer::{LineWriter, Sink, would_block};
use crate::log::ServerLog;
use crate::observe::Observation;
use crate::parent;
use crate::poem_directory::{PoemDirectory, Reloads};
use crate::poem_file;
use crate::recording::Recording;
use crate::resolve;
use crate::signals::{self, Request, Requests};
use crate::stats::Stats;
use crate::words::counted;

/// Runs a server until a signal ends it.
pub(crate) fn run(args: ServeArgs, stderr: &LineWriter) -> Ended {
    let options = args.command.options(models::clock());
    // Reading a library or resolving an upstream takes time: requests wait meanwhile.
    let mut requests = Requests::install(matches!(args.command, ServeCommand::Library(_)))?;
    let (args, offer) = match args.command {
        ServeCommand::Poem(args) => poem(args)?,
        ServeCommand::Transform(args) => transforms(args),
        ServeCommand::Library(args) => library(args, options.limits.frame_bytes_max)?,
        ServeCommand::Proxy(args) => proxy(args)?,
    };
    let pooled = pooled(&args)?;
    let model = pooled.as_deref().unwrap_or(args.model.model);
    if let Some(parent) = args.end_with_parent {
        parent::end_with(parent);
    }
    requests.take_stops()?;
    let reloads = offer.directory.map(Reloads::start).transpose()?;
    let stats = Stats::open(args.stats.as_deref(), stderr)?;
    let listener = listen(&args)?;
    let recording = Recording::start(args.record.as_deref(), &options.clock)?;
    let log = Arc::new(ServerLog::new(&offer.service));
    let (name, clock) = (model.name(), &options.clock);
    let observation = Observation::prepare(args.observe, args.lab, name, clock, stderr);
    let observer = observation.beside(recording.beside(log.clone()));
    let server = model
        .serve(listener, offer.service, &options, observer)
        .map_err(|error| {
            let (name, cause) = (model.name(), cause_at_start(&error));
            let fewer = match is_short_of_threads(&error) && options.threads.get() > 1 {
                true => ", or use fewer --threads",
                false => "",
            };
            Failure::new(format_args!("cannot serve with {name}: {cause}{fewer}"))
        })?;
    limits_in_force::report(&options.limits);
    let stdout = announce(&offer.name, server.address(), model.name());
    observation.while_running(&*server, || {
        obey(&*server, &mut requests, reloads.as_ref(), &stats, stderr);
    });
    let status = stop(server, requests, &args, stats, stderr);
    recording.finish();
    stdout.finish();
    log.finish();
    Ok(status)
}

/// Returns the model with `--pool`, if that option is set and the model supports it.
fn pooled(args: &ServerArgs) -> Result<Option<Box<dyn Model>>, Failure> {
    let Some(size) = args.pool else {
        return Ok(None);
    };
    let pooled = models::pooled(size);
    let (name, selected) = (pooled.name(), args.model.model.name());
    if selected != name {
        return Err(Failure::new(format_args!(
            "--pool {size} is not for --model {selected}; add --model {name}, or leave --pool out"
        )));
    }
    Ok(Some(pooled))
}

/// What a server offers.
struct Offer {
    /// As the `Serving` line names it.
    name: Vec<u8>,
    service: Service,
    /// What SIGHUP reads again.
    directory: Option<PoemDirectory>,
}

fn poem(args: PoemArgs) -> Result<(ServerArgs, Offer), Failure> {
    let poem = poem_file::read(&args.file)?;
    let pace = args.pace();
    let offer = Offer {
        name: in_one_line(&args.file),
        service: Service::Poem(PoemService { poem, pace }),
        directory: None,
    };
    Ok((args.server, offer))
}

fn transforms(args: TransformArgs) -> (ServerArgs, Offer) {
    let service = TransformService {
        keep_alive: args.keep_alive,
        lab: args.server.lab.then(models::clock),
        offload: args.offload,
    };
    let offer = Offer {
        name: b"transforms".to_vec(),
        service: Service::Transform(service),
        directory: None,
    };
    (args.server, offer)
}

fn library(args: LibraryArgs, frame_bytes_max: usize) -> Result<(ServerArgs, Offer), Failure> {
    let mut name = b"library ".to_vec();
    name.extend(in_one_line(&args.directory));
    let directory = PoemDirectory::open(args.directory, frame_bytes_max)?;
    let library = directory.library();
    name.extend(format!(" ({})", counted(library.len() as u64, "poem")).into_bytes());
    let offer = Offer {
        name,
        service: Service::Library(LibraryService {
            library,
            keep_alive: args.keep_alive,
        }),
        directory: Some(directory),
    };
    Ok((args.server, offer))
}

fn proxy(args: ProxyArgs) -> Result<(ServerArgs, Offer), Failure> {
    let wait = args.upstream_bounds.connect_timeout.0;
    let upstream = resolve::wait_for_peer(&args.upstream, wait);
    if let Err(failure) = upstream.addresses() {
        let failure = without_number(&failure.to_string());
        return Err(Failure::new(format_args!(
            "cannot be a proxy of {upstream}: {failure}; give the address of a poem server, such as 10001"
        )));
    }
    let offer = Offer {
        name: format!("proxy of {upstream}").into_bytes(),
        service: Service::Proxy(ProxyService {
            upstream,
            ttl: args.cache_ttl.map(|ttl| ttl.0),
        }),
        directory: None,
    };
    Ok((args.server, offer))
}

/// Returns `path` as it was given, but for newlines, which would end the `Serving` line.
fn in_one_line(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes
        .map(|&byte| if byte == b'\n' { b'?' } else { byte })
        .collect()
}

fn listen(args: &ServerArgs) -> Result<TcpListener, Failure> {
    let address = resolve::interface(&args.iface, args.port, CONNECT_TIMEOUT)?;
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

// ANCHOR: obey
/// Does what signals request until one requests a stop.
fn obey(
    server: &dyn Server,
    requests: &mut Requests,
    reloads: Option<&Reloads>,
    stats: &Stats,
    stderr: &LineWriter,
) {
    loop {
        match requests.next() {
            Request::Stop => break,
            Request::Reload => reloads.iter().for_each(|reloads| reloads.ask()),
            Request::Report => {
                stats.write(&server.counters());
                if let Some(details) = server.details() {
                    stderr.line(details.trim_end());
                }
            }
        }
    }
}

/// Stops the server.
fn stop(
    server: Box<dyn Server>,
    requests: Requests,
    args: &ServerArgs,
    stats: Stats,
    stderr: &LineWriter,
) -> Status {
    info!(
        "stopping: requests and poems in flight have {} s to finish",
        args.grace
    );
    exit_on_second_signal(requests, server.counters(), stats.clone(), stderr.clone());
    let summary = server.shutdown(args.grace.0);
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
// ANCHOR_END: obey

/// Watches for a second signal during the shutdown. The server's counts are not available then, so `counts` are those
/// from the start of the shutdown, and its open connections count as cut (S21).
fn exit_on_second_signal(mut requests: Requests, counts: Counts, stats: Stats, stderr: LineWriter) {
    let watch = move || {
        loop {
            match requests.next() {
                Request::Stop => break,
                Request::Report => info!("stopping: the counts will be written at exit"),
                Request::Reload => info!("stopping: the poems are not read again"),
            }
        }
        warn!("ended at once by a second signal; the counts are those of the first");
        stats.write_last(&counts);
        let status = match counts.open {
            0 => Status::Success,
            _ => Status::Trouble,
        };
        signals::exit(&stderr, status);
    };
    let named = thread::Builder::new().name("signals".to_owned());
    if let Err(error) = named.spawn(watch) {
        let cause = cause_at_start(&error);
        error!("a second signal will be ignored: {cause}");
    }
}
