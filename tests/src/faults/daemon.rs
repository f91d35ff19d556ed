//! A running server: its address, its clients, its counts, its log and its end. Dropping it kills it.

use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use poetry::Counts;

use super::launch::Launch;
use super::lines::Lines;
use super::spawn::Pipes;
use super::{FaultRole, Witness, process};
use crate::failure::{Check, During, Failure, ensure, equal};
use crate::fake_servers::FakeServer;
use crate::subject::process::{Folder, POLL_INTERVAL, parse_counts};

/// The exit status of a program that does not know its options.
const UNUSABLE: i32 = 2;

/// A running server.
pub struct Daemon {
    pub(super) role: FaultRole,
    child: Mutex<Child>,
    id: u32,
    address: SocketAddr,
    folder: Folder,
    poem: String,
    log: Option<Lines>,
    has_counts: bool,
    stops_in_order: bool,
    /// Whether the case has told it to end.
    is_told_to_end: AtomicBool,
    witness: Witness,
    patience: Duration,
    _upstream: Option<FakeServer>,
    _pipes: Pipes,
}

impl Daemon {
    pub(super) fn attach(
        launch: Launch,
        mut child: Child,
        folder: Folder,
        poem: String,
        upstream: Option<FakeServer>,
        pipes: Pipes,
    ) -> Check<Self> {
        let log = child.stderr.take().map(Lines::of);
        let output = child.stdout.take().map(Lines::of);
        let mut daemon = Self {
            role: launch.role,
            id: child.id(),
            child: Mutex::new(child),
            address: ([127, 0, 0, 1], launch.chosen_port().unwrap_or(0)).into(),
            folder,
            poem,
            log,
            has_counts: launch.has_counts(),
            stops_in_order: launch.program.stops_in_order(),
            is_told_to_end: AtomicBool::new(false),
            witness: launch.witness.clone(),
            patience: launch.program.patience(),
            _upstream: upstream,
            _pipes: pipes,
        };
        match output {
            Some(output) if launch.reads_stdout() => daemon.address = daemon.announced(&output)?,
            _ => daemon.wait_until_accepting()?,
        }
        Ok(daemon)
    }

    /// Reads the address from the line `Serving … on HOST:PORT with …`.
    fn announced(&self, output: &Lines) -> Check<SocketAddr> {
        let found = output.wait_for("Serving ", self.patience);
        if found.is_err() {
            // It has closed its stdout, so it is about to end.
            self.wait()?;
        }
        let address = found.as_ref().ok().and_then(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let with = words.iter().rposition(|&word| word == "with")?;
            words.get(with.checked_sub(1)?)?.parse().ok()
        });
        if let Some(address) = address {
            return Ok(address);
        }
        Err(self.not_started(&format!("{found:?}")))
    }

    /// Returns why it did not start. It lacks a feature if it does not know its options.
    fn not_started(&self, seen: &str) -> Failure {
        let ended = self.ended().ok().flatten();
        // What a server that has ended wrote may not have been read yet.
        let whole = self.log.as_ref().filter(|_| ended.is_some());
        let whole = whole.and_then(|log| log.all(self.patience).ok());
        let log = whole.unwrap_or_else(|| self.log());
        let first = log.lines().next().unwrap_or_default();
        match ended.and_then(|status| status.code()) {
            Some(UNUSABLE) => Failure::Needs(format!("such a server: {first}")),
            _ => Failure::Broken(format!("the server did not start: {seen}, {first}")),
        }
    }

    fn wait_until_accepting(&self) -> Check {
        let deadline = Instant::now() + self.patience;
        while std::net::TcpStream::connect(self.address).is_err() {
            if self.ended()?.is_some() || Instant::now() > deadline {
                return Err(self.not_started("it does not accept connections"));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns the poem that it serves.
    pub fn poem(&self) -> &str {
        &self.poem
    }

    /// Returns how long a case waits for an event.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Returns the path of a file in the folder of its files, such as that of a library.
    pub fn file(&self, name: &str) -> String {
        self.folder.file(name)
    }

    /// Returns its counts, or `None` if the program has no counters.
    ///
    /// # Errors
    /// It writes none, or the equation of S23 does not hold.
    pub fn counts(&self) -> Check<Option<Counts>> {
        if !self.has_counts {
            return Ok(None);
        }
        let before = self.stats_lines().len();
        self.signal(Signal::SIGUSR1)?;
        let deadline = Instant::now() + self.patience;
        loop {
            let lines = self.stats_lines();
            if lines.len() > before {
                return self.last_counts();
            }
            ensure(Instant::now() < deadline, || {
                "no line of counts after SIGUSR1".to_owned()
            })?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the counts that it wrote last.
    ///
    /// # Errors
    /// They are not counts, or the equation of S23 does not hold.
    pub fn last_counts(&self) -> Check<Option<Counts>> {
        let lines = self.stats_lines();
        let Some(line) = lines.last() else {
            return Ok(None);
        };
        let counts = parse_counts(line)?;
        counts.check().during("S23")?;
        Ok(Some(counts))
    }

    fn stats_lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.file("stats")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Waits until the counts satisfy `enough`. For a program without counters it waits for a moment instead.
    ///
    /// # Errors
    /// They do not in time; the message names `what` was expected.
    pub fn wait_until(
        &self,
        what: &str,
        enough: impl Fn(&Counts) -> bool,
    ) -> Check<Option<Counts>> {
        /// How long a program without counters may take.
        const MOMENT: Duration = Duration::from_millis(300);
        let deadline = Instant::now() + self.patience;
        loop {
            let Some(counts) = self.counts()? else {
                thread::sleep(MOMENT);
                return Ok(None);
            };
            if enough(&counts) {
                return Ok(Some(counts));
            }
            ensure(Instant::now() < deadline, || {
                format!("expected {what}, got {counts:?}")
            })?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits until no connection is open.
    ///
    /// # Errors
    /// One stays open.
    pub fn settled(&self) -> Check<Option<Counts>> {
        self.wait_until("no open connection", |counts| {
            counts.open == 0 && counts.in_flight == 0
        })
    }

    /// Returns what it has logged so far.
    pub fn log(&self) -> String {
        self.log.as_ref().map(Lines::text).unwrap_or_default()
    }

    /// Waits for a line of its log that contains `words`.
    ///
    /// # Errors
    /// None comes in time, or its log is not read.
    pub fn wait_for_line(&self, words: &str) -> Check<String> {
        match &self.log {
            Some(log) => log.wait_for(words, self.patience),
            None => Err(Failure::broken("the log is not read")),
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Check {
        ensure(self.ended()?.is_none(), || {
            "the server has ended by itself".to_owned()
        })?;
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGKILL) {
            self.is_told_to_end.store(true, Ordering::SeqCst);
        }
        process::send(self.id, signal)
    }

    /// Returns how it ended, if it has.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn ended(&self) -> Check<Option<ExitStatus>> {
        self.lock().try_wait().during("waiting for the server")
    }

    /// Waits for its end. Its log is then complete.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait(&self) -> Check<ExitStatus> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(status) = self.ended()? {
                if let Some(log) = &self.log {
                    log.all(self.patience)?;
                }
                return Ok(status);
            }
            ensure(Instant::now() < deadline, || {
                "the server does not end".to_owned()
            })?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Stops it by SIGTERM, and expects that it ends with status 0: it has finished everything. A program without `{grace}` need only
    /// still run.
    ///
    /// # Errors
    /// It ends otherwise, or has ended by itself.
    pub fn stop(&self) -> Check {
        self.signal(Signal::SIGTERM)?;
        let status = self.wait()?.code();
        match self.stops_in_order {
            true => equal("the exit status", &status, &Some(0)),
            false => Ok(()),
        }
    }

    /// Returns how it ended, if it was not told to. A program without `{grace}` may be about to end.
    fn ended_by_itself(&self) -> Option<ExitStatus> {
        const MOMENT: Duration = Duration::from_millis(300);
        if self.is_told_to_end.load(Ordering::SeqCst) {
            return None;
        }
        let deadline = Instant::now() + MOMENT;
        loop {
            let ended = self.ended().ok().flatten();
            if ended.is_some() || self.stops_in_order || Instant::now() > deadline {
                return ended;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns why it ended, as its log says.
    fn last_words(&self) -> String {
        let log = self.log();
        let mut lines = log.lines().filter(|line| !line.trim().is_empty());
        // A panic's message is on the line after its place.
        let panic = lines.by_ref().position(|line| line.contains("panicked at"));
        let words = match panic {
            Some(_) => lines.next(),
            None => log.lines().next_back(),
        };
        words.unwrap_or("nothing logged").to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(status) = self.ended_by_itself() {
            let last = self.last_words();
            self.witness
                .note(format!("the server had ended, {status}: {last}"));
        }
        let mut child = self.lock();
        // Both fail harmlessly if it has already ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}
