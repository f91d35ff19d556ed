//! A running command: its address, its counts and its end. Its files are removed with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use poetry::Counts;
use poetry::library::Poems;

use crate::WAIT_MAX;
use crate::failure::{Check, During, Failure, ensure};
use crate::kernel_sockets;
use crate::subject::last_words::LastWords;

/// The `{grace}` of every command. A case that needs another one runs against models only.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How often a condition outside this process is polled when no event announces it.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The longest pause between two looks whether a command listens.
const LISTEN_INTERVAL_MAX: Duration = Duration::from_millis(40);

/// A running command. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    folder: Folder,
    last_words: LastWords,
}

impl Process {
    pub(crate) fn start(program: &str, arguments: &[String], folder: Folder) -> Check<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .during(&format!("starting '{program}'"))?;
        let last_words = LastWords::of(child.stderr.take());
        Ok(Self {
            child: Mutex::new(child),
            folder,
            last_words,
        })
    }

    /// Reads the address from the line `Serving … on HOST:PORT with …`.
    pub(crate) fn read_address(&mut self) -> Check<SocketAddr> {
        let stdout = self.lock().stdout.take();
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout)
                .read_line(&mut line)
                .during("reading the command's output")?;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let with = words.iter().rposition(|&word| word == "with");
        let address = with.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok());
        address.ok_or_else(|| match line.is_empty() {
            true => self.ended_early(),
            false => Failure::Broken(format!(
                "expected 'Serving … on HOST:PORT with …', got '{}'",
                line.trim_end()
            )),
        })
    }

    /// Waits until the command listens on `port` of 127.0.0.1. Where the kernel does not say so, this costs it one connection.
    pub(crate) fn wait_until_listening(&self, port: u16) -> Check<SocketAddr> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let accepts = || TcpStream::connect(address).is_ok();
        let deadline = Instant::now() + WAIT_MAX;
        let mut pause = POLL_INTERVAL;
        while !kernel_sockets::listens(address).unwrap_or_else(accepts) {
            if self.status()?.is_some() {
                return Err(self.ended_early());
            }
            ensure(Instant::now() < deadline, || {
                format!(
                    "the command does not listen on {address} after {} s",
                    WAIT_MAX.as_secs()
                )
            })?;
            thread::sleep(pause);
            // On a machine with many sockets, looking for one takes the kernel milliseconds.
            pause = (pause * 2).min(LISTEN_INTERVAL_MAX);
        }
        Ok(address)
    }

    /// Describes the end of a command that was to serve.
    fn ended_early(&self) -> Failure {
        let deadline = Instant::now() + WAIT_MAX;
        while let Ok(None) = self.status()
            && Instant::now() < deadline
        {
            thread::sleep(POLL_INTERVAL);
        }
        let ended = match self.status() {
            Ok(Some(status)) => format!("the command ended before it served ({status})"),
            _ => {
                "the command closed its stdout without a line that says where it serves".to_owned()
            }
        };
        let last_line = self.last_words.line();
        let said = last_line.map_or_else(String::new, |line| format!(": {line}"));
        Failure::Broken(ended + &said)
    }

    fn status(&self) -> Check<Option<ExitStatus>> {
        self.lock().try_wait().during("waiting for the command")
    }

    /// Requests the counts by SIGUSR1 and waits for them.
    pub(crate) fn counts(&self) -> Check<Counts> {
        let before = self.lines().len();
        self.signal("USR1")?;
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let lines = self.lines();
            if lines.len() > before {
                return parse_counts(&lines[lines.len() - 1]);
            }
            ensure(Instant::now() < deadline, || {
                "no line of counts after SIGUSR1".to_owned()
            })?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the complete lines of the stats file.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.file("stats")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Replaces the files of the library, and requests that the command reads them by SIGHUP.
    pub(crate) fn reload(&self, poems: &Poems) -> Check {
        self.folder.write_library(poems)?;
        self.signal("HUP")
    }

    /// Stops the command by SIGTERM and waits for its end. Returns its status, and its last counts if it writes any.
    pub(crate) fn stop(&self) -> Check<(ExitStatus, Option<Counts>)> {
        self.signal("TERM")?;
        let deadline = Instant::now() + GRACE + WAIT_MAX;
        loop {
            if let Some(status) = self.status()? {
                let last = self.lines().last().map(|line| parse_counts(line));
                return Ok((status, last.transpose()?));
            }
            ensure(Instant::now() < deadline, || {
                "the command did not end after SIGTERM".to_owned()
            })?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn signal(&self, name: &str) -> Check {
        let id = self.lock().id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        let status = status.during("sending a signal")?;
        ensure(status.success(), || {
            format!("could not send SIG{name}: the command has ended")
        })
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.lock();
        // Both fail harmlessly if it has already ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Parses one line of JSON: the counts, or an object that has them under `counters`.
pub(crate) fn parse_counts(line: &str) -> Check<Counts> {
    let mut value: serde_json::Value = serde_json::from_str(line).during("parsing the counts")?;
    if let Some(inner) = value.get_mut("counters") {
        value = inner.take();
    }
    serde_json::from_value(value).during("parsing the counts")
}

/// A temporary folder for one process's files, removed on drop.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Check<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quatrain-suite-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).during("creating a folder")?;
        Ok(Self { path })
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path.join(name).to_string_lossy().into_owned()
    }

    /// Writes each poem to a file of its name, and removes all others. Returns their folder.
    pub(crate) fn write_library(&self, poems: &Poems) -> Check<String> {
        let library = self.file("library");
        // There is none before the first poems.
        let _ = fs::remove_dir_all(&library);
        fs::create_dir_all(&library).during("creating a folder")?;
        for (name, poem) in poems {
            let path = format!("{library}/{name}.txt");
            fs::write(path, poem.poem_bytes()).during("writing a poem of the library")?;
        }
        Ok(library)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A failure leaves a few bytes in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}
