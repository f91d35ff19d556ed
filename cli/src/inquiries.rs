//! Questions for a running server's counts: by `quatrain stats PID`, on a Unix socket whose name has no file, and by the thread
//! of the metrics. The thread that waits for signals answers them, so that asking costs a server no thread of its own.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use tracing::debug;

use crate::failure::cause;
use crate::stats::{self, ServiceCounts};

/// How long the thread of the metrics waits for counts. The answering thread never blocks for as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nothing is accepted after that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Who asked, and where the answer goes. Dropped without an answer if the server stops.
pub(crate) enum Question {
    Metrics(Sender<Vec<ServiceCounts>>),
    Process(UnixStream),
}

impl Question {
    /// Answers with the counts of every server.
    pub(crate) fn answer(self, counts: Vec<ServiceCounts>) {
        match self {
            Self::Metrics(asker) => {
                // It may have lost patience.
                let _ = asker.send(counts);
            }
            Self::Process(stream) => {
                if let Err(error) = write_lines(stream, stats::lines(&counts)) {
                    debug!("cannot answer `quatrain stats`: {}", cause(&error));
                }
            }
        }
    }
}

/// Writes what the socket's buffer takes: the lines of hundreds of servers. A thread waits for room for the rest, if there is any.
fn write_lines(mut stream: UnixStream, lines: String) -> io::Result<()> {
    let mut rest = lines.as_bytes();
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    let Some(writing) = Writing::begin() else {
        return Err(io::Error::other("too many askers read slowly"));
    };
    let rest = rest.to_vec();
    let write = move || {
        let _writing = writing;
        let written = stream.set_nonblocking(false).and_then(|()| {
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(&rest)
        });
        if let Err(error) = written {
            debug!("cannot answer `quatrain stats`: {}", cause(&error));
        }
    };
    let named = thread::Builder::new().name("stats".to_owned());
    named.spawn(write).map(drop)
}

/// One of the threads that wait for askers who read slowly.
struct Writing;

/// The threads that wait.
static WRITING: AtomicUsize = AtomicUsize::new(0);
/// The most of them; further askers get what their socket takes.
const WRITING_MAX: usize = 4;

impl Writing {
    fn begin() -> Option<Self> {
        let one_more = |now| (now < WRITING_MAX).then_some(now + 1);
        let begun = WRITING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        begun.ok().map(|_| Self)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where questions arrive.
pub(crate) struct Inquiries {
    /// Named after the process; none where the system has no such sockets, or the name is taken.
    listener: Option<UnixListener>,
    /// Until when nothing is accepted, after that failed.
    paused: Option<Instant>,
    /// A byte for each question of the metrics.
    woken: UnixStream,
    wake: UnixStream,
    asked: Receiver<Sender<Vec<ServiceCounts>>>,
    ask: Sender<Sender<Vec<ServiceCounts>>>,
}

impl Inquiries {
    /// Opens this process for questions.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn open() -> io::Result<Self> {
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let listener = socket::listen(std::process::id());
        if let Err(error) = &listener {
            debug!("`quatrain stats` cannot ask this process: {}", cause(error));
        }
        let (ask, asked) = mpsc::channel();
        Ok(Self {
            listener: listener.ok(),
            paused: None,
            woken,
            wake,
            asked,
            ask,
        })
    }

    /// Returns a way to ask from another thread.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn inquirer(&self) -> io::Result<Inquirer> {
        Ok(Inquirer {
            ask: self.ask.clone(),
            wake: self.wake.try_clone()?,
        })
    }

    /// Returns the descriptors that become readable when there is a question, and how long to wait for that at most.
    pub(crate) fn descriptors(&self) -> (impl Iterator<Item = BorrowedFd<'_>>, Option<Duration>) {
        let listener = self.listener.iter().filter(|_| self.paused.is_none());
        let listener = listener.map(AsFd::as_fd);
        let pause = self.paused.map(|_| PAUSE);
        ([self.woken.as_fd()].into_iter().chain(listener), pause)
    }

    /// Takes the questions that have arrived; of those by other processes at most one, so that whoever asks again and again holds
    /// up no signal.
    pub(crate) fn take(&mut self) -> VecDeque<Question> {
        let mut bytes = [0; 64];
        // One byte may stand for several questions, and what is left is read next time.
        let _ = io::Read::read(&mut self.woken, &mut bytes);
        let mut questions: VecDeque<Question> =
            self.asked.try_iter().map(Question::Metrics).collect();
        questions.extend(self.accept().map(Question::Process));
        questions
    }

    /// Accepts a process that may ask, if one has come.
    fn accept(&mut self) -> Option<UnixStream> {
        if self.paused.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.paused = None;
        match self.listener.as_ref()?.accept() {
            Ok((stream, _)) => {
                (may_ask(&stream) && stream.set_nonblocking(true).is_ok()).then_some(stream)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => {
                // Such as for want of a descriptor: the asker stays in the backlog.
                debug!("cannot accept `quatrain stats`: {}", cause(&error));
                self.paused = Some(Instant::now() + PAUSE);
                None
            }
        }
    }
}

/// Whether the process at the other end belongs to this user, or to root.
fn may_ask(stream: &UnixStream) -> bool {
    let peer = getsockopt(stream, PeerCredentials).map(|peer| Uid::from_raw(peer.uid()));
    peer.is_ok_and(|peer| peer.is_root() || peer == Uid::effective())
}

/// Asks for counts from another thread.
pub(crate) struct Inquirer {
    ask: Sender<Sender<Vec<ServiceCounts>>>,
    wake: UnixStream,
}

impl Inquirer {
    /// Returns the counts of every server, or `None` if the process stops.
    pub(crate) fn counts(&self) -> Option<Vec<ServiceCounts>> {
        let (answer, answers) = mpsc::channel();
        self.ask.send(answer).ok()?;
        // If the socket is full, a byte for an earlier question wakes the other end.
        let _ = (&self.wake).write(&[1]);
        answers.recv_timeout(PATIENCE).ok()
    }
}

/// Connects to the server with a process id, which answers without being asked.
///
/// # Errors
/// There is no such server, or it belongs to another user.
pub(crate) fn connect(process: u32) -> io::Result<UnixStream> {
    socket::connect(process)
}

#[cfg(target_os = "linux")]
mod socket {
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    fn address(process: u32) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(format!("quatrain-stats-{process}"))
    }

    pub(super) fn listen(process: u32) -> io::Result<UnixListener> {
        let listener = UnixListener::bind_addr(&address(process)?)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    pub(super) fn connect(process: u32) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&address(process)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod socket {
    use std::io;
    use std::os::unix::net::{UnixListener, UnixStream};

    pub(super) fn listen(_: u32) -> io::Result<UnixListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn connect(_: u32) -> io::Result<UnixStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn s23_one_asker_is_taken_between_two_looks_at_the_signals() {
        let mut inquiries = Inquiries::open().unwrap();
        let askers = [(); 10].map(|()| connect(std::process::id()).unwrap());
        for _ in &askers {
            assert_eq!(inquiries.take().len(), 1);
        }
        assert_eq!(inquiries.take().len(), 0);
    }
}
