//! Processes of the command, and peers for them. Every wait is for an event, within one generous deadline.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use poetry::Counts;

/// A transform server in Python.
pub(crate) const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/peers/transform_server.py"
);

/// How long a wait may take; every test needs far less.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const MODELS: [&str; 4] = ["callbacks", "actors", "streams", "blocking"];

/// A poem.
pub(crate) const LANTERN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../poems/lantern.txt");

/// Creates the command with `arguments`, not started.
pub(crate) fn quatrain<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quatrain"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The command with `arguments`, started with the signals that it handles blocked, as some supervisors start programs.
pub(crate) fn start_with_blocked_signals(arguments: &[&str]) -> Process {
    let blocked = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGHUP,
    ];
    let blocked: SigSet = blocked.into_iter().collect();
    // The child inherits the mask of the thread that starts it.
    let start = move || {
        blocked.thread_block().unwrap();
        Process::start(quatrain(arguments))
    };
    thread::scope(|scope| scope.spawn(start).join().unwrap())
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Returns stderr, which must be one line.
    pub(crate) fn only_line(&self) -> &str {
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert!(
            !line.is_empty() && !line.contains('\n'),
            "not one line: {self:?}"
        );
        line
    }
}

/// Returns whether there is a Python that can run [`PYTHON`]; says that the test is skipped if not.
pub(crate) fn has_python(test: &str) -> bool {
    let version = Command::new("python3").arg("--version").output();
    let found = version.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("{test} is skipped: there is no python3");
    }
    found
}

/// Returns the last line of counts in `text`, which must add up.
pub(crate) fn counts(text: &str) -> Counts {
    let line = text.lines().rfind(|line| line.starts_with('{')).unwrap();
    let counts: Counts = serde_json::from_str(line).unwrap();
    assert_eq!(counts.check(), Ok(()));
    counts
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    Process::start(quatrain(arguments)).end()
}

/// A process whose output is read as it arrives; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Option<Lines>,
    stderr: Option<Lines>,
}

impl Process {
    /// Starts `command` and reads its output.
    pub(crate) fn start(mut command: Command) -> Self {
        Self::start_as(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts `command`, and reads its output where that is piped.
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
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        self.stderr.as_mut().unwrap().wait_for(words)
    }

    /// Waits for a line on stdout that contains `words`.
    pub(crate) fn wait_for_output(&mut self, words: &str) -> String {
        self.stdout.as_mut().unwrap().wait_for(words)
    }

    /// Waits for the `Serving` line on stdout; returns it and its address.
    pub(crate) fn wait_until_serving(&mut self) -> (String, SocketAddr) {
        let line = self.stdout.as_mut().unwrap().wait_for("Serving ");
        let (before, _) = line.rsplit_once(" with ").unwrap();
        let address = before.rsplit(' ').next().unwrap().parse().unwrap();
        (line, address)
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns whether the process has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Stops the process with SIGTERM, and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.end()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let stdout = self.stdout.take().map(Lines::all).unwrap_or_default();
        let stderr = self.stderr.take().map(Lines::all).unwrap_or_default();
        let status = self.wait().code();
        Ended {
            status,
            stdout,
            stderr,
        }
    }

    /// Waits for the end, and returns the signal that ended the process, if one did.
    pub(crate) fn signal_at_end(mut self) -> Option<i32> {
        self.wait().signal()
    }

    /// Waits for the end. A process that does not end in time is killed.
    fn wait(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id() as i32);
        let (ended, end) = channel::<()>();
        thread::spawn(move || {
            if end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                let _ = signal::kill(pid, Signal::SIGKILL);
            }
        });
        let status = self.child.wait().unwrap();
        drop(ended);
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream as they arrive.
struct Lines {
    arriving: Receiver<String>,
    text: String,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (send, arriving) = channel();
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
            arriving,
            text: String::new(),
        }
    }

    fn wait_for(&mut self, words: &str) -> String {
        loop {
            match self.arriving.recv_timeout(DEADLINE) {
                Ok(line) => {
                    self.text += &line;
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(error) => panic!("'{words}' is missing ({error}) in: {}", self.text),
            }
        }
    }

    /// Waits for the end, and returns all lines, including those of earlier waits.
    fn all(mut self) -> String {
        loop {
            match self.arriving.recv_timeout(DEADLINE) {
                Ok(line) => self.text += &line,
                Err(RecvTimeoutError::Disconnected) => return self.text,
                Err(RecvTimeoutError::Timeout) => panic!("it did not end; it wrote: {}", self.text),
            }
        }
    }
}

/// A running `quatrain serve`.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// The `Serving` line.
    pub(crate) line: String,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `serve` with `arguments`, and waits until the server listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Process::start(quatrain(["serve"].iter().chain(arguments)));
        let (line, address) = process.wait_until_serving();
        Self {
            line,
            ..Self::at(process, address)
        }
    }

    /// A server that was started elsewhere.
    pub(crate) fn at(process: Process, address: SocketAddr) -> Self {
        Self {
            process,
            line: String::new(),
            address,
        }
    }

    /// Connects to the server.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Connects and sends `request`.
    pub(crate) fn ask(&self, request: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        stream
    }

    /// Connects and sends half of a request; returns, once the server has read it, the connection and the other half. The
    /// server must have been started with `--log trace`.
    pub(crate) fn in_mid_request(&mut self) -> (TcpStream, Vec<u8>) {
        let request = netstring("shout.x");
        let (half, rest) = request.split_at(4);
        let mut stream = self.ask(half);
        self.process.wait_for("Read { bytes: 4 }");
        // A second read shows that the first has been processed.
        let (one, rest) = rest.split_at(1);
        stream.write_all(one).unwrap();
        self.process.wait_for("Read { bytes: 1 }");
        (stream, rest.to_vec())
    }

    /// Stops the server with SIGTERM, and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.process.stop()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads `stream` to its end.
pub(crate) fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Encodes `payload` as a netstring.
pub(crate) fn netstring(payload: &str) -> Vec<u8> {
    format!("{}:{payload},", payload.len()).into_bytes()
}

/// Creates a listener on a free port; returns it and the port for the command line.
pub(crate) fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

/// Returns a port on which no server listens.
pub(crate) fn closed_port() -> String {
    listener().1
}

/// Starts a server that sends `bytes` to one client and closes; returns its port.
pub(crate) fn serve_once(bytes: impl AsRef<[u8]> + Send + 'static) -> String {
    let (listener, port) = listener();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.write_all(bytes.as_ref());
    });
    port
}

/// A path whose file is removed when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates a path that no other test uses.
    pub(crate) fn path(name: &str) -> Self {
        Self(
            PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("{}-{name}", std::process::id())),
        )
    }

    /// Creates a file that holds `bytes`.
    pub(crate) fn file(name: &str, bytes: &[u8]) -> Self {
        let scratch = Self::path(name);
        std::fs::write(&scratch.0, bytes).unwrap();
        scratch
    }

    /// Creates a FIFO.
    pub(crate) fn fifo(name: &str) -> Self {
        let scratch = Self::path(name);
        nix::unistd::mkfifo(&scratch.0, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
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

/// A directory that is removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Creates a directory with `files`, each a name and its bytes.
    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(Scratch::path(&format!("folder-{next}")).as_str());
        std::fs::create_dir(&path).unwrap();
        let folder = Self(path);
        for (name, bytes) in files {
            folder.write(name, bytes);
        }
        folder
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Returns the path of the file called `name`.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.as_str())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// Replaces a file at once, as editors do.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) {
        self.write(".new", bytes);
        std::fs::rename(self.0.join(".new"), self.0.join(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).unwrap();
    }

    /// Creates a FIFO.
    pub(crate) fn fifo(&self, name: &str) {
        nix::unistd::mkfifo(&self.0.join(name), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    }

    /// Creates a directory in this one.
    pub(crate) fn directory(&self, name: &str) {
        std::fs::create_dir(self.0.join(name)).unwrap();
    }

    /// Removes the directory and all that is in it.
    pub(crate) fn remove_all(&self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
