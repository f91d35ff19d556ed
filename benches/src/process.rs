//! Servers as child processes: started on a core, found by the line they print, sampled while they run, stopped.
//!
//! A server is any program that prints the line `Serving … on HOST:PORT with …` when it accepts connections, or that accepts
//! them on the port it was told. Its cost is read from outside, so that all servers can be compared.

mod accepting;
mod launch;
mod serving;
mod usage;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poetry::Counts;

pub use accepting::free_port;
pub use launch::{Launch, ProcessError, START_STOP_TIMEOUT};
pub use serving::Serving;
pub use usage::usage_of;
pub use usage::{Usage, available_cores, kernel_memory, raise_descriptor_limit, with_affinity};

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    /// Disconnects when the server's stdout closes, that is, when it has ended.
    ended: Receiver<String>,
    address: SocketAddr,
    serving: Option<Serving>,
}

/// The result of stopping a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its final counts (S23), if it writes them.
    pub counts: Option<Counts>,
}

impl Process {
    /// Starts a server and waits for its line, or until it accepts connections on the port it was told.
    ///
    /// # Errors
    /// The server could not be started, ended, printed another line, or did not serve in time. It no longer runs then.
    pub fn start(launch: &Launch) -> Result<Self, ProcessError> {
        if let Some(stats) = &launch.stats {
            remove(stats)?;
        }
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if launch.sheltered {
            command.process_group(0);
        }
        if launch.quiet {
            command.stderr(Stdio::null());
        }
        let spawned = with_affinity(launch.core, || command.spawn())?;
        let mut child = spawned.map_err(|cause| ProcessError::Start {
            program: launch.name(),
            cause,
        })?;
        let lines = first_line(child.stdout.take())?;
        let address = match launch.port {
            Some(port) => accepting::wait(launch, port, &mut child).map(|address| (address, None)),
            None => wait_for_serving(launch, &lines, &mut child)
                .map(|serving| (serving.address, Some(serving))),
        };
        match address {
            Ok((address, serving)) => Ok(Self {
                launch: launch.clone(),
                child,
                ended: lines,
                address,
                serving,
            }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Returns the address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its parsed line, unless it was told its port.
    pub fn serving(&self) -> Option<&Serving> {
        self.serving.as_ref()
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Changes the timeout of [`stop`](Self::stop).
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.launch.timeout = timeout;
    }

    /// Returns its cost up to now.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    /// Returns the processor time of all its threads up to now, including ended ones; cheap and exact.
    pub fn cpu(&self) -> Option<Duration> {
        usage::cpu(self.pid())
    }

    /// Sends it SIGTERM, waits until it has ended, and reads its counts.
    ///
    /// # Errors
    /// It did not end in time and was killed, or its counts cannot be read.
    pub fn stop(mut self) -> Result<Ending, ProcessError> {
        kill(self.pid(), Signal::SIGTERM).map_err(io::Error::from)?;
        // At most one line is sent, by a server that was told its port; then this waits for the disconnect.
        while let ended = self.ended.recv_timeout(self.launch.timeout)
            && ended != Err(RecvTimeoutError::Disconnected)
        {
            if ended.is_err() {
                return Err(self.launch.late("end"));
            }
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

/// Kills and reaps a child; harmless if it has ended already.
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

/// Forwards the first line of `stdout`, discards the rest, and disconnects at its end.
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
                // The receiver is gone if the server was killed meanwhile.
                let _abandoned = sender.send(line);
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
    match lines.recv_timeout(launch.timeout) {
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

/// Reads the last line of a statistics file: the final counts.
fn read_counts(file: &std::path::Path) -> Result<Counts, ProcessError> {
    let problem = |cause: String| ProcessError::Stats {
        file: file.display().to_string(),
        cause,
    };
    let text = fs::read_to_string(file).map_err(|error| problem(error.to_string()))?;
    let line = text
        .lines()
        .last()
        .ok_or_else(|| problem("the file is empty".to_owned()))?;
    serde_json::from_str(line).map_err(|error| problem(error.to_string()))
}
