//! Where threads wait for the connections of a listener that others use too: another process, or the server that follows. Such a
//! listener must not be shut down, which would close it for the others as well; so the threads wait for an event of their own
//! besides.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

#[cfg(target_os = "linux")]
pub(crate) use self::linux::Door;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::unix::Door;

/// Linux wakes one of the threads that wait in one epoll for each connection, as it does with threads that wait in `accept`.
#[cfg(target_os = "linux")]
mod linux {
    use rustix::buffer::spare_capacity;
    use rustix::event::{EventfdFlags, epoll, eventfd};

    use super::*;

    /// A door for any number of threads.
    #[derive(Debug)]
    pub(crate) struct Door {
        events: OwnedFd,
        closed: OwnedFd,
    }

    impl Door {
        /// Watches `listener`, which must not block.
        pub(crate) fn of(listener: &TcpListener) -> io::Result<Self> {
            let door = Self {
                events: epoll::create(epoll::CreateFlags::CLOEXEC)?,
                closed: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            };
            let arrives = epoll::EventFlags::IN;
            epoll::add(
                &door.events,
                listener,
                epoll::EventData::new_u64(0),
                arrives,
            )?;
            epoll::add(
                &door.events,
                &door.closed,
                epoll::EventData::new_u64(1),
                arrives,
            )?;
            Ok(door)
        }

        /// Waits until there may be a connection, or until the door is closed.
        pub(crate) fn wait(&self) -> io::Result<()> {
            let mut events = Vec::with_capacity(1);
            match epoll::wait(&self.events, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        /// Wakes all threads, now and whenever they wait again.
        pub(crate) fn close(&self) {
            // Only a full counter would refuse this, and then the event is there already.
            let _ = rustix::io::write(&self.closed, &1_u64.to_ne_bytes());
        }
    }
}

/// Elsewhere a connection wakes all threads that wait, and one of them gets it.
#[cfg(not(target_os = "linux"))]
mod unix {
    use std::io::{PipeReader, PipeWriter};
    use std::sync::{Mutex, PoisonError};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    /// A door for any number of threads.
    #[derive(Debug)]
    pub(crate) struct Door {
        listener: OwnedFd,
        closed: PipeReader,
        /// The pipe is at its end when this has been dropped.
        open: Mutex<Option<PipeWriter>>,
    }

    impl Door {
        pub(crate) fn of(listener: &TcpListener) -> io::Result<Self> {
            let (closed, open) = io::pipe()?;
            Ok(Self {
                listener: listener.try_clone()?.into(),
                closed,
                open: Mutex::new(Some(open)),
            })
        }

        pub(crate) fn wait(&self) -> io::Result<()> {
            let mut fds = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&self.closed, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        pub(crate) fn close(&self) {
            drop(
                self.open
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            );
        }
    }
}
