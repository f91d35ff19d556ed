//! A running server of the subject: connects to it, reads its counts, stops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use poetry::{Counts, Library, Summary};

use crate::WAIT_MAX;
use crate::connection::Connection;
use crate::context::framed_poems;
use crate::failure::{Check, During, Failure, ensure};
use crate::fake_servers::FakeServer;
use crate::journal::Journal;
use crate::subject::process::Process;

/// The server of a subject.
pub enum Server {
    /// A server in this process.
    InProcess(Box<dyn poetry::Server>),
    /// A server in its own process.
    Command(Process),
    /// A server that ran before the case and runs on after it.
    Running,
}

/// A running server. Dropping it stops it without grace, if the case has started it.
pub struct RunningServer {
    address: SocketAddr,
    server: Server,
    journal: Arc<Journal>,
    has_counters: bool,
    /// The same library as that of the server, if it is a library server.
    pub(crate) library: Option<Library>,
    /// The fake server that a proxy fetches from.
    pub(crate) upstream: Option<FakeServer>,
}

/// How often the counts are polled when no event announces a change.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

impl RunningServer {
    pub(crate) fn new(
        address: SocketAddr,
        server: Server,
        journal: Arc<Journal>,
        has_counters: bool,
    ) -> Self {
        Self {
            address,
            server,
            journal,
            has_counters,
            library: None,
            upstream: None,
        }
    }

    /// Returns the address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects to it.
    ///
    /// # Errors
    /// It does not accept.
    pub fn connect(&self) -> Check<Connection> {
        Connection::open(self.address)
    }

    /// Returns the journal of its events.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Returns whether its counts can be read.
    pub fn has_counters(&self) -> bool {
        self.has_counters
    }

    /// Returns its current counts.
    ///
    /// # Errors
    /// It has no counters, or the equation of S23 does not hold.
    pub fn counts(&self) -> Check<Counts> {
        if !self.has_counters {
            return Err(Failure::Needs("counters".to_owned()));
        }
        let counts = match &self.server {
            Server::InProcess(server) => server.counters(),
            Server::Command(process) => process.counts()?,
            Server::Running => return Err(Failure::Needs("counters".to_owned())),
        };
        counts.check().during("S23, while it runs")?;
        Ok(counts)
    }

    /// Replaces all poems of the library. Requests that are sent afterwards are answered with the new ones.
    ///
    /// # Errors
    /// It has no library, or the command cannot reload it.
    ///
    /// # Panics
    /// If a name is not a poem's name.
    pub fn reload(&self, poems: &[(&str, &str)]) -> Check {
        let poems = framed_poems(poems);
        match (&self.server, &self.library) {
            (Server::InProcess(_), Some(library)) => {
                library.replace(poems);
                Ok(())
            }
            (Server::Command(process), Some(_)) => {
                process.reload(&poems)?;
                // The command obeys signals in order: once it has counted, it has reloaded.
                self.counts().map(drop)
            }
            (Server::Running, _) => Err(Failure::Needs("another library".to_owned())),
            (_, None) => Err(Failure::Needs("a library".to_owned())),
        }
    }

    /// Waits until the counts satisfy `enough`.
    ///
    /// # Errors
    /// They do not within [`WAIT_MAX`]; the message names `what` was expected.
    pub fn wait_until(&self, what: &str, enough: impl Fn(&Counts) -> bool) -> Check<Counts> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let counts = self.counts()?;
            if enough(&counts) {
                return Ok(counts);
            }
            ensure(Instant::now() < deadline, || {
                format!("expected {what}, got {counts:?}")
            })?;
            self.journal.wait_for_next(POLL_INTERVAL);
        }
    }

    /// Waits until requests are in flight and the counts have not changed for a moment: the server cannot write its replies
    /// because the client does not read. A request in flight alone is not enough, since the server may be about to read.
    ///
    /// # Errors
    /// The server does not block within [`WAIT_MAX`].
    pub fn wait_until_blocked(&self) -> Check<Counts> {
        const MOMENT: Duration = Duration::from_millis(200);
        let deadline = Instant::now() + WAIT_MAX;
        let (mut last, mut since) = (self.counts()?, Instant::now());
        while last.in_flight == 0 || since.elapsed() < MOMENT {
            self.journal.wait_for_next(POLL_INTERVAL);
            let counts = self.counts()?;
            if counts != last {
                (last, since) = (counts, Instant::now());
            }
            ensure(Instant::now() < deadline, || {
                format!("expected replies that cannot be written, got {last:?}")
            })?;
        }
        Ok(last)
    }

    /// Checks for a moment that the counts do not satisfy `never`. The absence of an event cannot be awaited: a wrong subject
    /// that is slow may pass, but a correct one never fails.
    ///
    /// # Errors
    /// The counts satisfied `never`.
    pub fn expect_never(&self, what: &str, never: impl Fn(&Counts) -> bool) -> Check {
        const MOMENT: Duration = Duration::from_millis(100);
        let end = Instant::now() + MOMENT;
        while Instant::now() < end {
            let counts = self.counts()?;
            ensure(!never(&counts), || {
                format!("expected never {what}, got {counts:?}")
            })?;
            self.journal.wait_for_next(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Waits until exactly `accepted` connections have been accepted and all of them are closed.
    ///
    /// # Errors
    /// One stays open, or more or fewer were accepted.
    pub fn settled(&self, accepted: u64) -> Check<Counts> {
        self.wait_until(
            &format!("{accepted} connections, all of them closed"),
            |counts| counts.accepted == accepted && counts.open == 0 && counts.in_flight == 0,
        )
    }

    /// Checks the counts once exactly `accepted` connections have been accepted and all of them are closed, as a case's last
    /// step: a subject without counters has been tested by what its clients saw.
    ///
    /// # Errors
    /// Those of [`RunningServer::settled`] and of `check`.
    pub fn check_counts(&self, accepted: u64, check: impl FnOnce(&Counts) -> Check) -> Check {
        match self.has_counters {
            true => check(&self.settled(accepted)?),
            false => Ok(()),
        }
    }

    /// Stops it and waits for its end.
    ///
    /// # Errors
    /// It cannot be stopped, or its last counts or its exit status are wrong.
    pub fn stop(self, grace: Duration) -> Check<Stopped> {
        match self.server {
            Server::InProcess(server) => {
                let summary = server.shutdown(grace);
                summary.counters.check().during("S23, at the end")?;
                Ok(Stopped {
                    any_cut: summary.cut > 0,
                    counts: Some(summary.counters.clone()),
                    summary: Some(summary),
                })
            }
            Server::Running => Err(Failure::Needs("signals".to_owned())),
            Server::Command(process) => {
                let (status, counts) = process.stop()?;
                ensure(matches!(status.code(), Some(0 | 1)), || {
                    format!("expected exit status 0 or 1, got {status}")
                })?;
                Ok(Stopped {
                    any_cut: status.code() == Some(1),
                    counts,
                    summary: None,
                })
            }
        }
    }

    /// Begins to stop it, in another thread.
    pub fn begin_stop(self, grace: Duration) -> Stopping {
        let address = self.address;
        Stopping {
            address,
            thread: thread::spawn(move || self.stop(grace)),
        }
    }
}

/// A server that is stopping.
pub struct Stopping {
    address: SocketAddr,
    thread: JoinHandle<Check<Stopped>>,
}

impl Stopping {
    /// Waits until connecting to its address is refused.
    ///
    /// # Errors
    /// It is not within [`WAIT_MAX`].
    pub fn wait_until_refused(&self) -> Check {
        wait_until_refused(self.address)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Those of [`RunningServer::stop`], or it panicked.
    pub fn finish(self) -> Check<Stopped> {
        let result = self.thread.join();
        result.map_err(|panic| Failure::Broken(poetry::panics::message(&*panic)))?
    }
}

/// Waits until connecting to `address` is refused.
///
/// # Errors
/// It is not within [`WAIT_MAX`].
pub fn wait_until_refused(address: SocketAddr) -> Check {
    let deadline = Instant::now() + WAIT_MAX;
    while std::net::TcpStream::connect_timeout(&address, WAIT_MAX).is_ok() {
        ensure(Instant::now() < deadline, || {
            format!("expected {address} to refuse connections, but it still accepts them")
        })?;
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// The result of a stopped server.
#[derive(Debug)]
pub struct Stopped {
    /// Whether a connection was cut at the end of the grace period.
    pub any_cut: bool,
    /// The last counts, if the subject has counters.
    pub counts: Option<Counts>,
    /// The summary, if the subject is a model.
    pub summary: Option<Summary>,
}

impl Stopped {
    /// Expects that, of the connections in flight at the beginning of the shutdown, `finished` finished and `cut` were cut.
    ///
    /// # Errors
    /// Other numbers, or a connection or request remains at the end.
    pub fn expect(&self, finished: u64, cut: u64) -> Check {
        crate::failure::equal("whether any was cut", &self.any_cut, &(cut > 0))?;
        if let Some(counts) = &self.counts {
            crate::failure::equal("connections open at the end", &counts.open, &0)?;
            crate::failure::equal("requests in flight at the end", &counts.in_flight, &0)?;
        }
        let Some(summary) = &self.summary else {
            return Ok(());
        };
        ensure((summary.finished, summary.cut) == (finished, cut), || {
            format!("expected {finished} finished and {cut} cut, got {summary:?}")
        })
    }

    /// Returns the last counts.
    ///
    /// # Errors
    /// The subject has no counters.
    pub fn counts(&self) -> Check<&Counts> {
        self.counts
            .as_ref()
            .ok_or(Failure::Needs("counters".to_owned()))
    }
}
