//! Questions for a running server's counts: by `quatrain stats PID`, on a Unix socket whose name has no file, and by the thread
//! of the metrics. The thread that waits for signals answers them, so that asking costs a server no thread of its own.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use tracing::debug;

use crate::failure::cause;
use crate::stats::{self, ServiceCounts};

/// How long the thread of the metrics waits for counts. The answering thread never blocks for as long.
const PATIENCE: Duration = Duration::from_secs(1);

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
            Self::Process(mut stream) => {
                // The buffer of a new socket takes the lines of hundreds of servers at once.
                if let Err(error) = stream.write_all(stats::lines(&counts).as_bytes()) {
                    debug!("cannot answer `quatrain stats`: {}", cause(&error));
                }
            }
        }
    }
}

/// Where questions arrive.
pub(crate) struct Inquiries {
    /// Named after the process; none where the system has no such sockets, or the name is taken.
    listener: Option<UnixListener>,
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

    /// Returns the descriptors that become readable when there is a question.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = self.listener.iter().map(AsFd::as_fd);
        [self.woken.as_fd()].into_iter().chain(listener)
    }

    /// Takes the questions that have arrived.
    pub(crate) fn take(&mut self) -> VecDeque<Question> {
        let mut bytes = [0; 64];
        // One byte may stand for several questions, and what is left is read next time.
        let _ = io::Read::read(&mut self.woken, &mut bytes);
        let mut questions: VecDeque<Question> =
            self.asked.try_iter().map(Question::Metrics).collect();
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            if may_ask(&stream) && stream.set_nonblocking(true).is_ok() {
                questions.push_back(Question::Process(stream));
            }
        }
        questions
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
