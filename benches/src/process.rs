//! Servers as child processes: started on a core, found by the line they print, costed while they run, stopped.
//!
//! A server is whatever prints one line `Serving … on HOST:PORT with …` when it accepts connections (DESIGN,
//! "Subjects"). What it costs is read from outside, so that any server can be compared with any other.

mod launch;
mod serving;
mod usage;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poetry::Counts;

pub use launch::{Launch, PATIENCE, ProcessError};
pub use serving::Serving;
pub use usage::{Usage, available_cores, kernel_memory, raise_descriptor_limit, with_affinity};

/// A server that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    /// Says nothing more, and hangs up when the server's stdout is closed: when it has ended.
    ended: Receiver<String>,
    serving: Serving,
}

/// What a server leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub status: ExitStatus,
    /// Its last counts (S23), where it offers them.
    pub counts: Option<Counts>,
}

impl Process {
    /// Starts a server and waits for its line.
    ///
    /// # Errors
    /// It could not be started, ended, printed something else or nothing in time. It does not run then.
    pub fn start(launch: &Launch) -> Result<Self, ProcessError> {
        if let Some(stats) = &launch.stats {
            remove(stats)?;
        }
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if launch.quiet {
            command.stderr(Stdio::null());
        }
        let spawned = with_affinity(launch.core, || command.spawn())?;
        let mut child = spawned.map_err(|cause| ProcessError::Start {
            program: launch.name(),
            cause,
        })?;
        let lines = first_line(child.stdout.take())?;
        match wait_for_serving(launch, &lines, &mut child) {
            Ok(serving) => Ok(Self {
                launch: launch.clone(),
                child,
                ended: lines,
                serving,
            }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.serving.address
    }

    /// What its line said.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Changes how long it may take to end.
    pub fn set_patience(&mut self, patience: Duration) {
        self.launch.patience = patience;
    }

    /// What it has cost by now.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// The processor time all its threads have used by now, those that ended too; cheap and exact.
    pub fn cpu(&self) -> Option<Duration> {
        usage::cpu(self.pid())
    }

    /// Asks it to stop (SIGTERM), waits until it has, and reads the counts it left.
    ///
    /// # Errors
    /// It did not end in time, and was killed; or its counts cannot be read.
    pub fn stop(mut self) -> Result<Ending, ProcessError> {
        kill(self.pid(), Signal::SIGTERM).map_err(io::Error::from)?;
        // Its line was the only one: what comes now is that stdout is closed.
        let ended = self.ended.recv_timeout(self.launch.patience);
        if ended == Err(RecvTimeoutError::Timeout) {
            return Err(self.launch.late("end"));
        }
        let status = self.child.wait()?;
        let counts = self.launch.stats.as_deref().map(read_counts).transpose()?;
        Ok(Ending { status, counts })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a child that nobody waits for; one that has ended already is left in peace.
fn end(child: &mut Child) {
    let _gone = child.kill();
    let _reaped = child.wait();
}

fn remove(file: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sends on the first line of `stdout`, reads the rest away, and hangs up at its end.
fn first_line(stdout: Option<impl Read + Send + 'static>) -> io::Result<Receiver<String>> {
    let (sender, lines) = mpsc::channel();
    let Some(stdout) = stdout else {
        return Ok(lines);
    };
    thread::Builder::new()
        .name("stdout".to_owned())
        .spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            if matches!(stdout.read_line(&mut line), Ok(bytes) if bytes > 0) {
                // Nobody listens any more if the server was given up.
                let _given_up = sender.send(line);
            }
            let _rest = io::copy(&mut stdout, &mut io::sink());
        })?;
    Ok(lines)
}

fn wait_for_serving(
    launch: &Launch,
    lines: &Receiver<String>,
    child: &mut Child,
) -> Result<Serving, ProcessError> {
    match lines.recv_timeout(launch.patience) {
        Ok(line) => line.parse().map_err(|_| ProcessError::Line {
            program: launch.name(),
            line: line.trim_end().to_owned(),
        }),
        Err(RecvTimeoutError::Disconnected) => Err(ProcessError::Ended {
            program: launch.name(),
            status: child.wait()?.to_string(),
        }),
        Err(RecvTimeoutError::Timeout) => Err(launch.late("serve")),
    }
}

/// The last line of a statistics file: the counts at the end.
fn read_counts(file: &std::path::Path) -> Result<Counts, ProcessError> {
    let flaw = |cause: String| ProcessError::Stats {
        file: file.display().to_string(),
        cause,
    };
    let text = fs::read_to_string(file).map_err(|error| flaw(error.to_string()))?;
    let line = text
        .lines()
        .last()
        .ok_or_else(|| flaw("the file is empty".to_owned()))?;
    serde_json::from_str(line).map_err(|error| flaw(error.to_string()))
}
