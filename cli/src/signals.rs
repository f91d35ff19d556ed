//! Signals, as values that a thread waits for.

use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::failure::Status;
use crate::lossy::Lossy;

/// What somebody asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR1.
    Report,
}

/// What a server is asked by signals.
pub(crate) struct Requests(Signals);

impl Requests {
    /// From now on SIGTERM, SIGINT and SIGUSR1 do nothing but come out of [`Requests::next`].
    pub(crate) fn begin() -> Result<Self, Failure> {
        Signals::new([SIGTERM, SIGINT, SIGUSR1])
            .map(Self)
            .map_err(failure)
    }

    /// Blocks until the next.
    pub(crate) fn next(&mut self) -> Asked {
        match self.0.forever().next() {
            Some(SIGUSR1) => Asked::Report,
            _ => Asked::Stop,
        }
    }
}

/// Calls `first` for the first SIGTERM or SIGINT; the second ends the process at once.
pub(crate) fn on_interrupt(
    stderr: &Lossy,
    first: impl FnOnce() + Send + 'static,
) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failure)?;
    let stderr = stderr.clone();
    let watch = move || {
        let mut coming = signals.forever();
        coming.next();
        first();
        coming.next();
        end(&stderr, Status::Trouble);
    };
    let named = thread::Builder::new().name("signals".to_owned());
    named.spawn(watch).map(drop).map_err(failure)
}

/// Ends the process at once, whatever it is doing.
pub(crate) fn end(stderr: &Lossy, status: Status) -> ! {
    stderr.finish();
    std::process::exit(status.code().into())
}

fn failure(error: io::Error) -> Failure {
    Failure::new(format_args!("cannot watch for signals: {error}"))
}
