//! Signals, as values that a thread waits for.
//!
//! A supervisor may start the command with these signals blocked, so they are unblocked once their handlers are installed.
//! Threads that are started later inherit that.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::failure::{Failure, Status, cause_at_start};
use crate::inquiries::{Inquirer, Inquiries, Question};
use crate::line_writer::LineWriter;

/// What a signal, or another program, requests of a server.
pub(crate) enum Request {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR1.
    Report,
    /// SIGHUP.
    Reload,
    /// `quatrain stats`, or a scrape of the metrics.
    Counts(Question),
}

/// The requests that signals and questions make of a server.
pub(crate) struct Requests {
    signals: SignalDelivery<UnixStream, SignalOnly>,
    arrived: VecDeque<i32>,
    inquiries: Inquiries,
    questions: VecDeque<Question>,
}

impl Requests {
    /// Takes over SIGUSR1: from now on it only comes out of [`Requests::next`]. SIGHUP too, if the server `reloads`; otherwise
    /// it keeps its default action.
    pub(crate) fn install(reloads: bool) -> Result<Self, Failure> {
        let (read, write) = UnixStream::pair().map_err(failure)?;
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, [SIGUSR1]);
        let signals = signals.map_err(failure)?;
        if reloads {
            signals.handle().add_signal(SIGHUP).map_err(failure)?;
            unblock_all([Signal::SIGHUP])?;
        }
        unblock()?;
        Ok(Self {
            signals,
            arrived: VecDeque::new(),
            inquiries: Inquiries::open().map_err(failure)?,
            questions: VecDeque::new(),
        })
    }

    /// Returns a way to ask for counts from another thread: [`Request::Counts`].
    pub(crate) fn inquirer(&self) -> Result<Inquirer, Failure> {
        self.inquiries.inquirer().map_err(failure)
    }

    /// Takes over SIGTERM and SIGINT too. Until then they end the process at once: there is no server to stop.
    pub(crate) fn take_stops(&mut self) -> Result<(), Failure> {
        [SIGTERM, SIGINT]
            .into_iter()
            .try_for_each(|signal| self.signals.handle().add_signal(signal))
            .map_err(failure)
    }

    /// Blocks until the next request. Signals come before questions.
    pub(crate) fn next(&mut self) -> Request {
        loop {
            self.arrived.extend(self.signals.pending());
            if let Some(signal) = self.arrived.pop_front() {
                return match signal {
                    SIGUSR1 => Request::Report,
                    SIGHUP => Request::Reload,
                    _ => Request::Stop,
                };
            }
            self.questions.extend(self.inquiries.take());
            if let Some(question) = self.questions.pop_front() {
                return Request::Counts(question);
            }
            self.wait();
        }
    }

    /// Blocks until something may have arrived.
    fn wait(&self) {
        let (inquiries, pause) = self.inquiries.descriptors();
        let descriptors = [self.signals.get_read().as_fd()]
            .into_iter()
            .chain(inquiries);
        let mut polled: Vec<PollFd<'_>> = descriptors
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        let timeout = pause.and_then(|pause| PollTimeout::try_from(pause).ok());
        // An error, such as an interrupt, is a reason to look.
        let _ = poll(&mut polled, timeout.unwrap_or(PollTimeout::NONE));
    }
}

/// Calls `first` with the status for the first SIGTERM or SIGINT. The second ends the process immediately.
pub(crate) fn on_interrupt(
    stderr: &LineWriter,
    first: impl FnOnce(Status) + Send + 'static,
) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failure)?;
    let stderr = stderr.clone();
    let watch = move || {
        let mut arriving = signals.forever();
        let status = Status::Interrupted {
            signal: arriving.next().unwrap_or(SIGINT),
        };
        first(status);
        arriving.next();
        exit(&stderr, status);
    };
    let named = thread::Builder::new().name("signals".to_owned());
    named.spawn(watch).map_err(failure)?;
    unblock()
}

/// Returns where the status for the first SIGTERM or SIGINT will be noted. The second ends the process immediately.
pub(crate) fn note_interrupt(stderr: &LineWriter) -> Result<Arc<OnceLock<Status>>, Failure> {
    let interrupted = Arc::new(OnceLock::new());
    let noted = Arc::clone(&interrupted);
    on_interrupt(stderr, move |status| {
        // There is only one first signal.
        let _ = noted.set(status);
    })?;
    Ok(interrupted)
}

/// Unblocks the signals that end a command or ask for its counts, in this thread and those it will start.
pub(crate) fn unblock() -> Result<(), Failure> {
    unblock_all([Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1])
}

fn unblock_all<const N: usize>(signals: [Signal; N]) -> Result<(), Failure> {
    let signals: SigSet = signals.into_iter().collect();
    signals
        .thread_unblock()
        .map_err(|error| failure(error.into()))
}

/// Ends the process immediately.
pub(crate) fn exit(stderr: &LineWriter, status: Status) -> ! {
    stderr.finish();
    std::process::exit(status.code().into())
}

fn failure(error: io::Error) -> Failure {
    let cause = cause_at_start(&error);
    Failure::new(format_args!("cannot watch for signals: {cause}"))
}
