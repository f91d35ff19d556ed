//! A server of the subject that runs: connected to, asked for its counts, told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use poetry::{Counts, Summary};

use crate::PATIENCE;
use crate::connection::Connection;
use crate::failure::{Check, During, Failure, ensure};
use crate::journal::Journal;
use crate::subject::process::Process;

/// The server itself, in one of its two forms.
pub enum Server {
    /// Through the contract.
    InProcess(Box<dyn poetry::Server>),
    /// As a process.
    Command(Process),
}

/// A server that runs. Dropping it stops it without grace.
pub struct RunningServer {
    address: SocketAddr,
    server: Server,
    journal: Arc<Journal>,
    counts: bool,
}

/// How often the counts are looked at when no event announces a change.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl RunningServer {
    pub(crate) fn new(
        address: SocketAddr,
        server: Server,
        journal: Arc<Journal>,
        counts: bool,
    ) -> Self {
        Self {
            address,
            server,
            journal,
            counts,
        }
    }

    /// Where it listens.
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

    /// Its events so far, and those to come.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What it has counted by now.
    ///
    /// # Errors
    /// It does not count, or the equation of S23 does not hold.
    pub fn counts(&self) -> Check<Counts> {
        if !self.counts {
            return Err(Failure::Needs("counters".to_owned()));
        }
        let counts = match &self.server {
            Server::InProcess(server) => server.counters(),
            Server::Command(process) => process.counts()?,
        };
        counts.check().during("S23, while it runs")?;
        Ok(counts)
    }

    /// Waits until the counts satisfy `enough`.
    ///
    /// # Errors
    /// They do not within the suite's patience; `what` was waited for.
    pub fn wait_until(&self, what: &str, enough: impl Fn(&Counts) -> bool) -> Check<Counts> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.counts()?;
            if enough(&counts) {
                return Ok(counts);
            }
            ensure(Instant::now() < deadline, || {
                format!("expected {what}, came {counts:?}")
            })?;
            self.journal.wait_a_moment(LOOK_AGAIN);
        }
    }

    /// Waits until replies wait in the server and nothing has moved for a moment: whoever does not read them has made it
    /// wait. Before that a server may have a request in flight and be about to read.
    ///
    /// # Errors
    /// It does not come to that within the suite's patience.
    pub fn wait_until_stuck(&self) -> Check<Counts> {
        const MOMENT: Duration = Duration::from_millis(200);
        let deadline = Instant::now() + PATIENCE;
        let (mut last, mut since) = (self.counts()?, Instant::now());
        while last.in_flight == 0 || since.elapsed() < MOMENT {
            self.journal.wait_a_moment(LOOK_AGAIN);
            let counts = self.counts()?;
            if counts != last {
                (last, since) = (counts, Instant::now());
            }
            ensure(Instant::now() < deadline, || {
                format!("expected replies that wait, came {last:?}")
            })?;
        }
        Ok(last)
    }

    /// Looks for a moment whether something happens that must not: `never` must not become true of the counts. What
    /// does not happen cannot be waited for, so a subject that is slow to do wrong may escape; none that does right
    /// fails.
    ///
    /// # Errors
    /// It happened.
    pub fn expect_never(&self, what: &str, never: impl Fn(&Counts) -> bool) -> Check {
        const MOMENT: Duration = Duration::from_millis(100);
        let end = Instant::now() + MOMENT;
        while Instant::now() < end {
            let counts = self.counts()?;
            ensure(!never(&counts), || {
                format!("expected never {what}, came {counts:?}")
            })?;
            self.journal.wait_a_moment(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Waits until no connection is open of the `accepted` there must have been.
    ///
    /// # Errors
    /// One stays open, or more or fewer came.
    pub fn settled(&self, accepted: u64) -> Check<Counts> {
        self.wait_until(
            &format!("{accepted} connections, all of them closed"),
            |counts| counts.accepted == accepted && counts.open == 0 && counts.in_flight == 0,
        )
    }

    /// Stops it, and waits for that.
    ///
    /// # Errors
    /// It cannot be told to.
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
            Server::Command(process) => {
                let (status, counts) = process.stop()?;
                ensure(matches!(status.code(), Some(0 | 1)), || {
                    format!("expected exit status 0 or 1, came {status}")
                })?;
                Ok(Stopped {
                    any_cut: status.code() == Some(1),
                    counts,
                    summary: None,
                })
            }
        }
    }

    /// Begins to stop it, and leaves the waiting to another thread.
    pub fn begin_stop(self, grace: Duration) -> Stopping {
        let address = self.address;
        Stopping {
            address,
            thread: thread::spawn(move || self.stop(grace)),
        }
    }
}

/// A server that has been told to stop.
pub struct Stopping {
    address: SocketAddr,
    thread: JoinHandle<Check<Stopped>>,
}

impl Stopping {
    /// Waits until nobody accepts at its address any more.
    ///
    /// # Errors
    /// Somebody does.
    pub fn wait_until_refused(&self) -> Check {
        wait_until_refused(self.address)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It did not end well.
    pub fn finish(self) -> Check<Stopped> {
        let result = self.thread.join();
        result.map_err(|panic| Failure::Broken(poetry::panics::message(&*panic)))?
    }
}

/// Waits until connecting to `address` is refused.
///
/// # Errors
/// It is not within the suite's patience.
pub fn wait_until_refused(address: SocketAddr) -> Check {
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect_timeout(&address, PATIENCE).is_ok() {
        ensure(Instant::now() < deadline, || {
            format!("expected nobody at {address}, and somebody still listens")
        })?;
        thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// A server that has ended.
#[derive(Debug)]
pub struct Stopped {
    /// Whether a connection was cut because the grace was over.
    pub any_cut: bool,
    /// The last counts, where there are any.
    pub counts: Option<Counts>,
    /// The summary, from a model.
    pub summary: Option<Summary>,
}

impl Stopped {
    /// Expects so many connections in flight at the beginning of the shutdown to have finished and been cut.
    ///
    /// # Errors
    /// Others, or that something is open at the end.
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
            format!("expected {finished} finished and {cut} cut, came {summary:?}")
        })
    }

    /// The last counts.
    ///
    /// # Errors
    /// There are none.
    pub fn counts(&self) -> Check<&Counts> {
        self.counts
            .as_ref()
            .ok_or(Failure::Needs("counters".to_owned()))
    }
}
