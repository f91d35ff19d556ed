//! The fifth model's servers as processes: signals, counts and a log.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use poetry::event::Interest;
use poetry::{Event, Kind, Library, Model, Observer, Options, Server, Service};

use crate::Fifth;
use crate::command::read_library;
use crate::faults::CommandFlaw;
use crate::sink::Sink;

/// How a server runs as a process.
pub(crate) struct Conduct {
    pub(crate) port: u16,
    pub(crate) grace: Duration,
    /// The file for the counts.
    pub(crate) stats: Option<String>,
    /// The folder and the library that SIGHUP reads again.
    pub(crate) library: Option<(String, Library)>,
    /// Whether every event is logged, or only refusals and panics.
    pub(crate) logs_all: bool,
    pub(crate) flaw: Option<CommandFlaw>,
}

impl Conduct {
    fn has(&self, flaw: CommandFlaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Serves until a signal ends the server; then ends the process.
    pub(crate) fn run(self, name: &str, service: Service, options: &Options, fifth: &Fifth) -> ! {
        let signals: SigSet = [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGUSR1,
            Signal::SIGHUP,
        ]
        .into_iter()
        .collect();
        poetry::panics::silence_contained();
        // The threads that are started from now on leave these signals to this one.
        signals.thread_block().expect("blocked signals");
        let (stdout, stderr) = match self.has(CommandFlaw::BlocksOnSinks) {
            true => (
                Sink::Direct(Arc::new(|line| println!("{line}"))),
                Sink::Direct(Arc::new(|line| eprintln!("{line}"))),
            ),
            false => (Sink::to(std::io::stdout()), Sink::to(std::io::stderr())),
        };
        let stats = self.stats.as_deref().map(|path| self.open_stats(path));
        let interest = match self.logs_all {
            true => Interest::ALL,
            false => Interest::REFUSED | Interest::PANICKED,
        };
        let observer = Arc::new(Log(stderr.clone(), interest));
        let server = fifth
            .serve(self.listen(), service, options, observer)
            .expect("a server");
        stdout.line(&format!(
            "Serving {name} on {} with fifth",
            server.address()
        ));
        self.obey(server, &signals, stats, &stderr)
    }

    fn listen(&self) -> TcpListener {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        if self.has(CommandFlaw::ListensWithoutReuse) {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let socket = socket.expect("a socket");
            socket.bind(&address.into()).expect("a port");
            socket.listen(128).expect("a listener");
            return socket.into();
        }
        models::listen(address).expect("a port")
    }

    /// Opens the file for the counts without waiting for the reader of a FIFO. Writes block, in the thread of the sink.
    fn open_stats(&self, path: &str) -> Sink {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        let file = file.expect("a file for the counts");
        let flags = fcntl(&file, FcntlArg::F_GETFL).expect("flags");
        let blocking = OFlag::from_bits_retain(flags) - OFlag::O_NONBLOCK;
        fcntl(&file, FcntlArg::F_SETFL(blocking)).expect("a file that blocks");
        match self.has(CommandFlaw::BlocksOnSinks) {
            true => Sink::Direct(Arc::new(move |line| {
                writeln!(&file, "{line}").expect("a write")
            })),
            false => Sink::to(file),
        }
    }

    /// Does what signals request.
    fn obey(
        &self,
        server: Box<dyn Server>,
        signals: &SigSet,
        stats: Option<Sink>,
        stderr: &Sink,
    ) -> ! {
        loop {
            match signals.wait().expect("a signal") {
                Signal::SIGUSR1 => write_counts(stats.as_ref(), &server.counters()),
                Signal::SIGHUP => {
                    if let Some((folder, library)) = &self.library {
                        library.replace(read_library(folder).poems());
                    }
                }
                _ => break,
            }
        }
        let last = server.counters();
        if !self.has(CommandFlaw::IgnoresSecondSignal) {
            let (signals, stats) = (*signals, stats.clone());
            thread::spawn(move || {
                while matches!(signals.wait(), Ok(Signal::SIGUSR1 | Signal::SIGHUP)) {}
                write_counts(stats.as_ref(), &last);
                std::process::exit(1);
            });
        }
        let summary = server.shutdown(self.grace);
        write_counts(stats.as_ref(), &summary.counters);
        stderr.flush();
        std::process::exit(i32::from(summary.cut > 0));
    }
}

fn write_counts(stats: Option<&Sink>, counts: &poetry::Counts) {
    if let Some(stats) = stats {
        stats.line(&serde_json::to_string(counts).expect("counts as JSON"));
        stats.flush();
    }
}

/// A log: a line for each event of interest.
struct Log(Sink, Interest);

impl Observer for Log {
    fn interest(&self) -> Interest {
        self.1
    }

    fn observe(&self, event: &Event) {
        let line = match &event.kind {
            Kind::Panicked(message) => format!("panicked: {message}"),
            kind => format!("{kind:?}"),
        };
        self.0.line(&line);
    }
}
