//! A client under test: one run of the program's client.

use std::net::SocketAddr;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::lines::Lines;
use super::spawn::{Output, Pipes, spawn};
use super::{Program, process};
use crate::failure::{Check, During, Failure, ensure};
use crate::subject::process::POLL_INTERVAL;

/// A fetch that is not yet started.
#[must_use = "a fetch does nothing until it is started"]
pub struct Fetch {
    program: Arc<Program>,
    words: Vec<String>,
    shell: Vec<String>,
    stdout: Output,
    stderr: Output,
}

impl Fetch {
    pub(super) fn new(program: Arc<Program>) -> Self {
        Self {
            program,
            words: Vec::new(),
            shell: Vec::new(),
            stdout: Output::Read,
            stderr: Output::Read,
        }
    }

    /// Adds the address of a poem.
    pub fn from(mut self, address: SocketAddr) -> Self {
        self.words.push(address.to_string());
        self
    }

    /// Adds a word: the address of a poem by its host's name, or an option without a value.
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// Adds an option and its value.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.words.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Has a JSON object printed for each poem, which [`Fetched::statuses`] reads.
    pub fn json(mut self) -> Self {
        self.words.push("--json".to_owned());
        self
    }

    /// Allows it `count` descriptors.
    pub fn descriptors(self, count: u64) -> Self {
        self.under(format!("ulimit -n {count}"))
    }

    /// Lets a shell run `command` first, in the process that becomes the client.
    pub fn under(mut self, command: String) -> Self {
        self.shell.push(command);
        self
    }

    /// Sets its stdout.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// Sets its stderr.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started, or the program has no client.
    pub fn start(self) -> Check<Fetching> {
        if self.program.fetch.is_empty() {
            return Err(Failure::Needs("a client".to_owned()));
        }
        let mut words = Vec::new();
        for word in &self.program.fetch {
            match word.as_str() {
                "{fetch}" => words.extend(self.words.iter().cloned()),
                word => words.push(word.to_owned()),
            }
        }
        let streams = (self.stdout, self.stderr);
        Fetching::new(&words, &self.shell, streams, self.program.patience)
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub fn run(self) -> Check<Fetched> {
        self.start()?.end()
    }
}

/// A running client. Dropping it kills it.
pub struct Fetching {
    child: Child,
    stdout: Option<Lines>,
    stderr: Option<Lines>,
    patience: Duration,
    _pipes: Pipes,
}

impl Fetching {
    /// Starts a program with its stdout and stderr.
    pub(super) fn new(
        words: &[String],
        shell: &[String],
        (stdout, stderr): (Output, Output),
        patience: Duration,
    ) -> Check<Self> {
        let (mut child, pipes) = spawn(words, shell, stdout, stderr)?;
        Ok(Self {
            stdout: child.stdout.take().map(Lines::of),
            stderr: child.stderr.take().map(Lines::of),
            child,
            patience,
            _pipes: pipes,
        })
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> Check {
        let ended = self.child.try_wait().during("waiting for the client")?;
        ensure(ended.is_none(), || "the client has ended".to_owned())?;
        process::send(self.child.id(), signal)
    }

    /// Waits for a line of its progress that contains `words`.
    ///
    /// # Errors
    /// None comes in time, or its stderr is not read.
    pub fn wait_for_line(&self, words: &str) -> Check<String> {
        match &self.stderr {
            Some(stderr) => stderr.wait_for(words, self.patience),
            None => Err(Failure::broken("stderr is not read")),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn end(mut self) -> Check<Fetched> {
        let deadline = Instant::now() + self.patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().during("waiting for the client")? {
                break status;
            }
            ensure(Instant::now() < deadline, || {
                "the client does not end".to_owned()
            })?;
            thread::sleep(POLL_INTERVAL);
        };
        let all = |lines: &Option<Lines>| match lines {
            Some(lines) => lines.all(self.patience),
            None => Ok(String::new()),
        };
        Ok(Fetched {
            status,
            stdout: all(&self.stdout)?,
            stderr: all(&self.stderr)?,
        })
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        // Both fail harmlessly if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that has ended.
#[derive(Debug)]
pub struct Fetched {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it reported.
    pub stderr: String,
}

impl Fetched {
    /// Returns the status of each poem, such as `arrived` or `connection_lost`, in the order of the addresses.
    ///
    /// # Errors
    /// It did not print JSON objects.
    pub fn statuses(&self) -> Check<Vec<String>> {
        let status = |line: &str| -> Check<String> {
            let value: serde_json::Value =
                serde_json::from_str(line).during("parsing the client's output")?;
            let status = value.get("status").and_then(|status| status.as_str());
            let status = status.ok_or_else(|| Failure::broken("a line without a status"))?;
            Ok(status.to_owned())
        };
        self.stdout.lines().map(status).collect()
    }
}
