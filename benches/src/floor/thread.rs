//! The floor in a thread of this process: the transform server of clients that are measured.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use mio::event::Event;
use mio::{Events, Token, Waker};

use super::{EVENTS, Floor};
use crate::poems::listen;
use crate::process::with_affinity;

/// The token that ends a poll. No connection has it, so it is not handled.
const STOP: Token = Token(usize::MAX - 1);

/// A floor running in its own thread. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct FloorThread {
    address: SocketAddr,
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl FloorThread {
    /// Serves on a free loopback port, on `core` if one is given; one-shot unless `keep_alive`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn start(keep_alive: bool, core: Option<usize>) -> io::Result<Self> {
        let floor = Floor::new(listen(SocketAddr::from(([127, 0, 0, 1], 0)))?, keep_alive)?;
        let address = floor.address()?;
        let stop = Waker::new(floor.poll.registry(), STOP)?;
        // The thread inherits the core.
        let thread = with_affinity(core, || {
            thread::Builder::new()
                .name("floor".to_owned())
                .spawn(move || run(floor))
        })??;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the address it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until it is stopped or accepting fails. After a failure clients fail, which voids their row.
fn run(mut floor: Floor) {
    let mut events = Events::with_capacity(EVENTS);
    let is_stop = |event: &Event| event.token() == STOP;
    while floor.turn(&mut events).is_ok() && !events.iter().any(is_stop) {}
}

impl Drop for FloorThread {
    fn drop(&mut self) {
        if self.stop.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            // The thread has printed its panic, if any.
            let _panicked = thread.join();
        }
    }
}
