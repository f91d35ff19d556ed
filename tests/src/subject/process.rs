//! A command that runs: where it listens, what it has counted, how it ends. Its files live and die with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use poetry::Counts;

use crate::PATIENCE;
use crate::failure::{Check, During, Failure, ensure};

/// The grace of every command that is asked for one; cases that need another say so to a model.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How often a condition outside this process is looked at, that nothing announces.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A command that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    folder: Folder,
}

impl Process {
    pub(crate) fn start(program: &str, arguments: &[String], folder: Folder) -> Check<Self> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .during("starting the command")?;
        Ok(Self {
            child: Mutex::new(child),
            folder,
        })
    }

    /// The address in the line `Serving … on HOST:PORT with …`.
    pub(crate) fn announced(&mut self) -> Check<SocketAddr> {
        let stdout = self.lock().stdout.take();
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout)
                .read_line(&mut line)
                .during("reading what the command says")?;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let with = words.iter().rposition(|&word| word == "with");
        let address = with.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok());
        address.ok_or_else(|| {
            Failure::Broken(format!(
                "expected 'Serving … on HOST:PORT with …', came '{}'",
                line.trim_end()
            ))
        })
    }

    /// Asks for the counts, by SIGUSR1, and waits for them.
    pub(crate) fn counts(&self) -> Check<Counts> {
        let before = self.lines().len();
        self.signal("USR1")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            if lines.len() > before {
                return parse_counts(&lines[lines.len() - 1]);
            }
            ensure(Instant::now() < deadline, || {
                "SIGUSR1 brought no line of counts".to_owned()
            })?;
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// The whole lines of the stats file.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.file("stats")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// Tells it to stop, and waits for its end: its status, and its last counts if it writes any.
    pub(crate) fn stop(&self) -> Check<(ExitStatus, Option<Counts>)> {
        self.signal("TERM")?;
        let deadline = Instant::now() + GRACE + PATIENCE;
        loop {
            if let Some(status) = self.lock().try_wait().during("waiting for the command")? {
                let last = self.lines().last().map(|line| parse_counts(line));
                return Ok((status, last.transpose()?));
            }
            ensure(Instant::now() < deadline, || {
                "SIGTERM did not end it".to_owned()
            })?;
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn signal(&self, name: &str) -> Check {
        let id = self.lock().id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        let status = status.during("sending a signal")?;
        ensure(status.success(), || {
            format!("SIG{name} could not be sent: it has ended")
        })
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.lock();
        // It may have ended by itself; then there is nothing to kill.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The counts in one line of JSON, alone or under `counters`.
fn parse_counts(line: &str) -> Check<Counts> {
    let mut value: serde_json::Value = serde_json::from_str(line).during("reading the counts")?;
    if let Some(inner) = value.get_mut("counters") {
        value = inner.take();
    }
    serde_json::from_value(value).during("reading the counts")
}

/// A folder of one process's files, removed with it.
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
        fs::create_dir_all(&path).during("making a folder")?;
        Ok(Self { path })
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a few bytes in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.path);
    }
}
