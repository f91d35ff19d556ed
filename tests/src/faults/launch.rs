//! Starting a server: what it serves, within which limits, and with which broken streams.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::library::{FramedPoem, Library};
use poetry::{
    Clock, LibraryService, Limits, Pace, Peer, Poem, PoemService, ProxyService, Service,
    TransformService,
};

use super::daemon::Daemon;
use super::spawn::{Output, spawn};
use super::{FaultRole, Program, Witness};
use crate::failure::{Check, During, Failure};
use crate::fake_servers::{FakeServer, Serves};
use crate::subject::command;
use crate::subject::process::Folder;
use crate::wire::text;

/// The name of the only poem in a library.
pub const NAME: &str = "poem";

/// What a server serves.
#[derive(Debug, Clone)]
pub enum Content {
    /// A short poem at once, or transforms: a client is done at once.
    Quick,
    /// Something that keeps a client's connection open for as long as the client wants; see [`Guest`](super::guest::Guest).
    Lasting,
    /// This poem, at once.
    Poem(String),
    /// This poem, so many bytes at a time. Only poem servers have a pace.
    Slow(String, usize, Duration),
}

/// A server that is not yet started.
#[must_use = "a launch does nothing until it is started"]
pub struct Launch {
    pub(super) program: Arc<Program>,
    pub(super) role: FaultRole,
    pub(super) witness: Witness,
    content: Content,
    limits: Limits,
    threads: Option<usize>,
    grace: Duration,
    port: Option<u16>,
    lab: bool,
    log: Option<&'static str>,
    stdout: Output,
    stderr: Output,
    stats: Option<String>,
    shell: Vec<String>,
    upstream: Option<SocketAddr>,
}

impl Launch {
    pub(super) fn new(
        program: Arc<Program>,
        role: FaultRole,
        content: Content,
        witness: Witness,
    ) -> Self {
        Self {
            program,
            role,
            witness,
            content,
            limits: Limits::default(),
            threads: None,
            grace: Duration::from_secs(10),
            port: None,
            lab: false,
            log: None,
            stdout: Output::Read,
            stderr: Output::Read,
            stats: None,
            shell: Vec::new(),
            upstream: None,
        }
    }

    /// Changes the limits.
    pub fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Sets the number of threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets the grace of a shutdown; the default is 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Changes the time between two pieces of a slow poem.
    pub fn delay(mut self, time: Duration) -> Self {
        if let Content::Slow(_, _, delay) = &mut self.content {
            *delay = time;
        }
        self
    }

    /// Lets it listen on `port`.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Adds the lab transforms.
    pub fn lab(mut self) -> Self {
        self.lab = true;
        self
    }

    /// Sets the level of its log.
    pub fn log(mut self, level: &'static str) -> Self {
        self.log = Some(level);
        self
    }

    /// Sets its stdout. Unless it is read, a port must be set.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Sets its stderr.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Lets it write its counts to `path`, instead of to a file from which the case reads them.
    pub fn stats(mut self, path: String) -> Self {
        self.stats = Some(path);
        self
    }

    /// Allows it `count` descriptors.
    pub fn descriptors(self, count: u64) -> Self {
        self.under(format!("ulimit -n {count}"))
    }

    /// Lets a shell run `command` first, in the process that becomes the server.
    pub fn under(mut self, command: String) -> Self {
        self.shell.push(command);
        self
    }

    /// Sets the server from which a proxy fetches; by default one that serves the content.
    pub fn upstream(mut self, address: SocketAddr) -> Self {
        self.upstream = Some(address);
        self
    }

    /// Starts the server and waits until it listens. If its stdout is not read, that costs it a connection.
    ///
    /// # Errors
    /// It did not start, or the program has no such server.
    pub fn start(self) -> Check<Daemon> {
        let folder = Folder::new()?;
        let poem = self.poem();
        let upstream = match (self.role, self.upstream) {
            (FaultRole::Proxy, None) => Some(FakeServer::start(Serves(poem.clone().into()))?),
            _ => None,
        };
        let service = self.service(&poem, upstream.as_ref())?;
        let words = self.fill_in(&service, &folder)?;
        let (child, pipes) = spawn(&words, &self.shell, self.stdout, self.stderr)?;
        Daemon::attach(self, child, folder, poem, upstream, pipes)
    }

    /// Returns the port that was set.
    pub(super) fn chosen_port(&self) -> Option<u16> {
        self.port
    }

    pub(super) fn reads_stdout(&self) -> bool {
        self.stdout == Output::Read
    }

    pub(super) fn has_counts(&self) -> bool {
        self.program.counts() && self.stats.is_none()
    }

    fn poem(&self) -> String {
        /// More bytes than the kernel buffers for one connection.
        const LASTING_BYTES: usize = 12 << 20;
        match (&self.content, self.role) {
            (Content::Poem(poem) | Content::Slow(poem, ..), _) => poem.clone(),
            (Content::Lasting, FaultRole::Proxy) => text(LASTING_BYTES),
            (Content::Lasting, _) => text(20_000),
            (Content::Quick, _) => text(600),
        }
    }

    fn service(&self, poem: &str, upstream: Option<&FakeServer>) -> Check<Service> {
        let slow = |num_bytes: usize, delay| Pace::Slow {
            num_bytes: NonZeroUsize::new(num_bytes).unwrap_or(NonZeroUsize::MIN),
            delay,
        };
        Ok(match self.role {
            FaultRole::PoemServer => Service::Poem(PoemService {
                poem: Poem::from(poem),
                pace: match self.content {
                    Content::Lasting => slow(1, Duration::from_millis(50)),
                    Content::Slow(_, num_bytes, delay) => slow(num_bytes, delay),
                    _ => Pace::Fast,
                },
            }),
            FaultRole::TransformServer => Service::Transform(TransformService {
                keep_alive: true,
                lab: self.lab.then(Clock::stopped),
                offload: false,
            }),
            FaultRole::LibraryServer => {
                let name = NAME.parse().during("naming the poem")?;
                let framed = FramedPoem::from(&Poem::from(poem));
                Service::Library(LibraryService {
                    library: Library::new([(name, framed)].into()),
                    keep_alive: true,
                })
            }
            FaultRole::Proxy => {
                let fake = upstream.map(FakeServer::address);
                let address = self.upstream.or(fake);
                let address = address.ok_or(Failure::broken("a proxy without an upstream"))?;
                Service::Proxy(ProxyService {
                    upstream: Peer::from(address),
                    ttl: None,
                })
            }
            FaultRole::Client => return Err(Failure::broken("a client serves nothing")),
        })
    }

    fn fill_in(&self, service: &Service, folder: &Folder) -> Check<Vec<String>> {
        let mut filled = Vec::new();
        let option = |name: &str, value: Option<String>| {
            value.map_or(Vec::new(), |value| vec![name.to_owned(), value])
        };
        for word in &self.program.serve {
            match word.as_str() {
                "{mode}" => filled.extend(command::mode(service, folder)?),
                "{limits}" => filled.extend(command::limits(service.role(), &self.limits)?),
                "{listen}" => {
                    filled.extend(option("--port", self.port.map(|port| port.to_string())))
                }
                "{threads}" => {
                    let threads = self.threads.map(|threads| threads.to_string());
                    filled.extend(option("--threads", threads));
                }
                "{grace}" => {
                    let grace = self.grace.as_secs_f64().to_string();
                    filled.extend(option("--grace", Some(grace)));
                }
                "{log}" => filled.extend(option("--log", self.log.map(str::to_owned))),
                "{stats}" => {
                    let path = self.stats.clone().unwrap_or_else(|| folder.file("stats"));
                    filled.extend(option("--stats", Some(path)));
                }
                word => filled.push(word.to_owned()),
            }
        }
        Ok(filled)
    }
}
