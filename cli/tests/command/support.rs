//! Processes of the command, and peers for them. Every wait is for an event, under one generous deadline.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// No test needs nearly as long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const MODELS: [&str; 4] = ["callbacks", "actors", "streams", "blocking"];

/// A poem.
pub(crate) const LANTERN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../poems/lantern.txt");

/// The command with `arguments`, not started.
pub(crate) fn quatrain<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quatrain"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The only line on stderr.
    pub(crate) fn only_line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(
            !line.is_empty() && !line.contains('\n'),
            "not one line: {self:?}"
        );
        line
    }
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Process::start(quatrain(arguments)).end()
}

/// A process whose output is read as it comes; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Option<Lines>,
    stderr: Option<Lines>,
}

impl Process {
    /// Starts `command`. Output that it has not set elsewhere is read.
    pub(crate) fn start(mut command: Command) -> Self {
        Self::start_as(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts `command` with its output as it is set; what is piped is read.
    pub(crate) fn start_as(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(Lines::of);
        let stderr = child.stderr.take().map(Lines::of);
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Waits for a line on stderr that contains `words`.
    pub(crate) fn hear(&mut self, words: &str) -> String {
        self.stderr.as_mut().unwrap().wait_for(words)
    }

    /// Waits for the `Serving` line on stdout: the line, and the address it names.
    pub(crate) fn announced(&mut self) -> (String, SocketAddr) {
        let line = self.stdout.as_mut().unwrap().wait_for("Serving ");
        let (before, _) = line.rsplit_once(" with ").unwrap();
        let address = before.rsplit(' ').next().unwrap().parse().unwrap();
        (line, address)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Tells it to stop, and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.end()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let stdout = self.stdout.take().map(Lines::rest).unwrap_or_default();
        let stderr = self.stderr.take().map(Lines::rest).unwrap_or_default();
        let status = self.wait();
        Ended {
            status,
            stdout,
            stderr,
        }
    }

    /// The exit status; none if it had to be killed, since it did not end in time.
    fn wait(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id() as i32);
        let (ended, end) = channel::<()>();
        thread::spawn(move || {
            if end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                let _ = signal::kill(pid, Signal::SIGKILL);
            }
        });
        let status = self.child.wait().unwrap();
        drop(ended);
        status.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream as they come.
struct Lines {
    coming: Receiver<String>,
    heard: String,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (send, coming) = channel();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            loop {
                let mut line = Vec::new();
                match stream.read_until(b'\n', &mut line) {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
                if send.send(String::from_utf8(line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self {
            coming,
            heard: String::new(),
        }
    }

    fn wait_for(&mut self, words: &str) -> String {
        loop {
            match self.coming.recv_timeout(DEADLINE) {
                Ok(line) => {
                    self.heard += &line;
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(error) => panic!("'{words}' was not said ({error}); this was: {}", self.heard),
            }
        }
    }

    /// All lines, those that were waited for too.
    fn rest(mut self) -> String {
        loop {
            match self.coming.recv_timeout(DEADLINE) {
                Ok(line) => self.heard += &line,
                Err(RecvTimeoutError::Disconnected) => return self.heard,
                Err(RecvTimeoutError::Timeout) => panic!("it did not end; it said: {}", self.heard),
            }
        }
    }
}

/// A server of the command.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// The line it announced itself with.
    pub(crate) line: String,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `serve` with `arguments`, and waits until it serves.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Process::start(quatrain(["serve"].iter().chain(arguments)));
        let (line, address) = process.announced();
        Self {
            process,
            line,
            address,
        }
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// A connection, by which `request` was sent.
    pub(crate) fn ask(&self, request: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        stream
    }

    /// A connection with half of a request that the server knows of, and the rest of that request. The server must
    /// have been started with `--log trace`.
    pub(crate) fn in_mid_request(&mut self) -> (TcpStream, Vec<u8>) {
        let request = netstring("shout.x");
        let (half, rest) = request.split_at(4);
        let mut stream = self.ask(half);
        self.process.hear("Read { bytes: 4 }");
        // That it has read more shows that it is done with what it read before.
        let (one, rest) = rest.split_at(1);
        stream.write_all(one).unwrap();
        self.process.hear("Read { bytes: 1 }");
        (stream, rest.to_vec())
    }

    /// Tells it to stop, and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.process.stop()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What `stream` brings until its end.
pub(crate) fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The netstring of `payload`.
pub(crate) fn netstring(payload: &str) -> Vec<u8> {
    format!("{}:{payload},", payload.len()).into_bytes()
}

/// A listener on a free port, and that port for the command line.
pub(crate) fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> String {
    listener().1
}

/// A server that sends `bytes` to one client and closes, and its port.
pub(crate) fn sends(bytes: impl AsRef<[u8]> + Send + 'static) -> String {
    let (listener, port) = listener();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.write_all(bytes.as_ref());
    });
    port
}

/// A file that is gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A path that no other test uses.
    pub(crate) fn path(name: &str) -> Self {
        Self(
            PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("{}-{name}", std::process::id())),
        )
    }

    /// A file that holds `bytes`.
    pub(crate) fn file(name: &str, bytes: &[u8]) -> Self {
        let scratch = Self::path(name);
        std::fs::write(&scratch.0, bytes).unwrap();
        scratch
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn read(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
