//! A running server: its address, its clients, its counts, its log and its end. Dropping it kills it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use poetry::Counts;

use super::launch::{Launch, NAME, Pipes};
use super::{FaultRole, guest::Guest, process};
use crate::connection::{Connection, End};
use crate::failure::{Check, During, Failure, ensure, equal};
use crate::fake_servers::FakeServer;
use crate::subject::process::{Folder, POLL_INTERVAL, parse_counts};
use crate::wire::{netstring, request};

/// The exit status of a program that does not know its options.
const UNUSABLE: i32 = 2;

/// A running server.
pub struct Daemon {
    role: FaultRole,
    child: Mutex<Child>,
    id: u32,
    address: SocketAddr,
    folder: Folder,
    poem: String,
    log: Option<Lines>,
    has_counts: bool,
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
        let log = self.log();
        let first = log.lines().next().unwrap_or_default();
        match self.ended()?.and_then(|status| status.code()) {
            Some(UNUSABLE) => Err(Failure::Needs(format!("such a server: {first}"))),
            _ => Err(Failure::Broken(format!(
                "the server did not start: {found:?}, {first}"
            ))),
        }
    }

    fn wait_until_accepting(&self) -> Check {
        let deadline = Instant::now() + self.patience;
        while std::net::TcpStream::connect(self.address).is_err() {
            ensure(Instant::now() < deadline, || {
                "the server does not accept connections".to_owned()
            })?;
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

    /// Connects to it.
    ///
    /// # Errors
    /// It does not accept.
    pub fn connect(&self) -> Check<Connection> {
        let connection = Connection::open(self.address)?;
        connection.set_patience(self.patience)?;
        Ok(connection)
    }

    /// Connects with a receive buffer of about `bytes`.
    ///
    /// # Errors
    /// It does not accept.
    pub fn connect_narrow(&self, bytes: usize) -> Check<Connection> {
        let connection = Connection::open_narrow(self.address, bytes)?;
        connection.set_patience(self.patience)?;
        Ok(connection)
    }

    /// Connects as a client whose connection lasts.
    ///
    /// # Errors
    /// It does not accept.
    pub fn guest(&self) -> Check<Guest> {
        Guest::connect(self, self.role)
    }

    /// Returns what a client sends for one reply; nothing for servers that are not asked.
    pub fn question(&self) -> Vec<u8> {
        match self.role {
            FaultRole::TransformServer => request("shout", "ahoy"),
            FaultRole::LibraryServer => netstring(NAME),
            _ => Vec::new(),
        }
    }

    /// Returns what the server sends for one [`question`](Self::question).
    pub fn answer(&self) -> Vec<u8> {
        match self.role {
            FaultRole::TransformServer => netstring("AHOY"),
            FaultRole::LibraryServer => netstring(&self.poem),
            _ => self.poem.clone().into_bytes(),
        }
    }

    /// Expects that a new client is served, to its end.
    ///
    /// # Errors
    /// It is not.
    pub fn serves(&self) -> Check {
        let mut client = self.connect()?;
        if !self.question().is_empty() {
            client.send(&self.question())?;
            client.half_close()?;
        }
        let last = client.expect_last("the answer to a new client", &self.answer());
        last.map_err(|failure| Failure::Broken(format!("a new client is not served: {failure}")))
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
        process::send(self.id, signal)
    }

    /// Returns how it ended, if it has.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn ended(&self) -> Check<Option<ExitStatus>> {
        self.lock().try_wait().during("waiting for the server")
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait(&self) -> Check<ExitStatus> {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            ensure(Instant::now() < deadline, || {
                "the server does not end".to_owned()
            })?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Stops it by SIGTERM, and expects that it ends with status 0 and served to the last.
    ///
    /// # Errors
    /// It ends otherwise.
    pub fn stop(&self) -> Check {
        self.signal(Signal::SIGTERM)?;
        equal("the exit status", &self.wait()?.code(), &Some(0))
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let mut child = self.lock();
        // Both fail harmlessly if it has already ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Receives every connection to its end; returns the ends.
///
/// # Errors
/// One does not end.
pub fn ends(connections: &mut [Connection]) -> Check<Vec<End>> {
    let end = |connection: &mut Connection| Ok(connection.receive_to_end()?.1);
    connections.iter_mut().map(end).collect()
}

/// A stream of text that a thread reads as it arrives.
pub(super) struct Lines(Arc<(Mutex<Text>, Condvar)>);

#[derive(Default)]
struct Text {
    text: String,
    ended: bool,
}

impl Lines {
    pub(super) fn of(stream: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Text::default()), Condvar::new()));
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(stream.read_until(b'\n', &mut line), Ok(read) if read > 0) {
                let line = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                locked(&own).text.push_str(&line);
                own.1.notify_all();
            }
            locked(&own).ended = true;
            own.1.notify_all();
        });
        Self(shared)
    }

    /// Returns what has arrived so far.
    pub(super) fn text(&self) -> String {
        locked(&self.0).text.clone()
    }

    /// Waits for the end of the stream; returns all of it.
    pub(super) fn all(&self, patience: Duration) -> Check<String> {
        self.wait(patience, |text| text.ended.then(|| text.text.clone()))
            .ok_or_else(|| Failure::broken("the output does not end"))
    }

    /// Waits for a complete line that contains `words`.
    pub(super) fn wait_for(&self, words: &str, patience: Duration) -> Check<String> {
        let find = |text: &Text| {
            let whole = text.text.rfind('\n').map_or("", |end| &text.text[..end]);
            let found = whole.lines().find(|line| line.contains(words));
            found
                .map(|line| Some(line.to_owned()))
                .or(text.ended.then_some(None))
        };
        self.wait(patience, find)
            .flatten()
            .ok_or_else(|| Failure::Broken(format!("no line with '{words}'")))
    }

    fn wait<T>(&self, patience: Duration, find: impl Fn(&Text) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut text = locked(&self.0);
        loop {
            if let Some(found) = find(&text) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.0.1.wait_timeout(text, left);
            text = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn locked(shared: &(Mutex<Text>, Condvar)) -> MutexGuard<'_, Text> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}
