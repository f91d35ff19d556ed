//! Waiting for a moment more exactly than the kernel's poll does, which on Linux waits for whole milliseconds.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

pub(super) use system::Timer;

/// The token of the timer's events; they only end the wait.
pub(super) const TOKEN: Token = Token(usize::MAX);

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::{AsFd, AsRawFd};

    use mio::Interest;
    use mio::unix::SourceFd;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    use super::{Duration, Registry, TOKEN, io};

    /// A timer of the kernel, exact to some ten microseconds.
    pub(in crate::load) struct Timer(TimerFd);

    impl Timer {
        pub(in crate::load) fn new(registry: &Registry) -> io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
            let fd = timer.as_fd().as_raw_fd();
            registry.register(&mut SourceFd(&fd), TOKEN, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Ends a wait that begins now after `until`, if it has not ended by then. Returns how long to poll.
        pub(in crate::load) fn end_wait(
            &mut self,
            until: Duration,
            longest: Duration,
        ) -> io::Result<Duration> {
            if until.is_zero() {
                return Ok(Duration::ZERO);
            }
            let once = Expiration::OneShot(until.into());
            self.0.set(once, TimerSetTimeFlags::empty())?;
            Ok(longest)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Duration, Registry, io};

    /// The poll's own timeout.
    pub(in crate::load) struct Timer;

    impl Timer {
        pub(in crate::load) fn new(_: &Registry) -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns how long to poll: `until`, or `longest` if that is shorter.
        pub(in crate::load) fn end_wait(
            &mut self,
            until: Duration,
            longest: Duration,
        ) -> io::Result<Duration> {
            Ok(until.min(longest))
        }
    }
}
