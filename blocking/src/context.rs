//! The context of one fetch, which all its blocking calls share: its bounds, its observer, and whether it is cancelled.

use std::net::SocketAddr;
use std::time::Duration;

use poetry::error::{Timeout, is_short_of_descriptors};
use poetry::event::{Interest, Scene, Wait};
use poetry::{Cancel, FetchFailure, Kind, Limits, Peer, Reporter, Role};

use crate::buffers::Buffers;
use crate::deadlines::{CutShort, Stop, Timed, Wire, WriteTimeout};
use crate::descriptors::{Descriptors, Held};
use crate::net::{Connecting, HangUp, Socket};
use crate::sockets::{Holder, Sockets};

mod connecting;

/// What all fetches of one client share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Large buffers to borrow.
    pub(crate) buffers: Buffers,
    /// The connections that they hold.
    pub(crate) descriptors: Descriptors,
}

/// A connection of a client. Its descriptor is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Connected<'a> {
    /// The byte stream. Declared first, so that it is closed before the next line lets a waiting fetch try.
    pub(crate) wire: Timed<Socket>,
    _held: Held<'a>,
}

/// A connection that has been begun.
#[derive(Debug)]
struct Begun<'a> {
    connecting: Connecting,
    held: Held<'a>,
}

/// The context of one request's exchange with one server.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The client's bounds.
    pub(crate) limits: &'a Limits,
    /// What it shares with the client's other fetches.
    pub(crate) shared: &'a Shared,
    reporter: Reporter,
    scene: Scene,
    index: usize,
    cancel: &'a Cancel,
    sockets: &'a Sockets,
    total_deadline: Option<Duration>,
    received: u64,
    /// The connection to the first address, if it was begun beforehand.
    begun: Option<Begun<'a>>,
    /// Whether the fetch is cancelled and reads only what arrived before; see [`Context::drain`].
    drains: bool,
}

impl<'a> Context<'a> {
    /// Creates the context of the task and the worker in `scene`. The total deadline counts from `now`, the time of the
    /// wires' clock, [`net::now`](crate::net::now).
    pub(crate) fn new(
        scene: Scene,
        now: Duration,
        limits: &'a Limits,
        shared: &'a Shared,
        reporter: Reporter,
        cancel: &'a Cancel,
        sockets: &'a Sockets,
    ) -> Self {
        Self {
            limits,
            shared,
            reporter,
            scene,
            index: scene.task as usize,
            cancel,
            sockets,
            total_deadline: limits.total_deadline.map(|total| now.saturating_add(total)),
            received: 0,
            begun: None,
            drains: false,
        }
    }

    /// Creates the context of the transform that follows, within the rest of the same deadline.
    pub(crate) fn for_transform(&self) -> Self {
        let context = Self {
            reporter: self.reporter.for_role(Role::TransformClient),
            scene: Scene {
                parent: Some(self.scene.task),
                local: None,
                peer: None,
                ..self.scene
            },
            received: 0,
            begun: None,
            drains: false,
            ..*self
        };
        context.report(Kind::Running);
        context
    }

    /// Gives the task another number in its events.
    pub(crate) fn numbered(mut self, task: u64) -> Self {
        self.scene.task = task;
        self
    }

    /// Returns the number of bytes received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Hands the fetch to the thread numbered `worker`.
    pub(crate) fn in_thread(mut self, worker: u32) -> Self {
        self.scene.worker = worker;
        self.report(Kind::Running);
        self
    }

    /// Makes a call in which the thread sleeps until `wait` ends.
    fn sleeping<T>(&self, wait: Wait, call: impl FnOnce() -> T) -> T {
        self.report(Kind::Waiting(wait));
        let result = call();
        self.report(Kind::Running);
        result
    }

    /// Begins to connect to the first address of `peer` without waiting. If beginning fails, [`connect`](Self::connect)
    /// tries the address again and returns the failure. Returns false if there is no descriptor (S15).
    pub(crate) fn begin(&mut self, peer: &Peer) -> bool {
        let Ok(&[address, ..]) = peer.addresses() else {
            return true;
        };
        if self.is_cancelled() {
            return true;
        }
        match self.open(address) {
            Ok(begun) => {
                let registered = self.register_begun(&begun, address, Holder::None).is_ok();
                // A cancel of all fetches that came meanwhile leaves the connection to the threads, as `Sockets::cancel`
                // does.
                if registered && (!self.is_cancelled() || self.cancel.is_all()) {
                    self.report_connecting(address);
                    self.begun = Some(begun);
                }
                true
            }
            Err(error) => !is_short_of_descriptors(&error),
        }
    }

    /// Tries the addresses of `peer` in order, each for the connect timeout, all within the total deadline.
    ///
    /// # Errors
    /// Fails with the last address's failure to connect, at the total deadline, or on a cancel.
    pub(crate) fn connect(&mut self, peer: &Peer) -> Result<Connected<'a>, FetchFailure> {
        let mut failure = None;
        for &address in peer.addresses()? {
            if self.is_cancelled() {
                return self.drain().ok_or(FetchFailure::Cancelled);
            }
            match self.connect_to(address) {
                Ok((socket, held)) => return self.connected(socket, held),
                Err(FetchFailure::TimedOut(Timeout::Total)) => {
                    return Err(FetchFailure::TimedOut(Timeout::Total));
                }
                Err(other) => failure = Some(other),
            }
        }
        Err(self.unless_cancelled(failure.unwrap_or_else(FetchFailure::connect_timed_out)))
    }

    /// Registers a connection that has begun, so that a cancel finds it. One to itself is aborted instead (S11).
    fn register_begun(
        &self,
        Begun { connecting, .. }: &Begun<'_>,
        address: SocketAddr,
        holder: fn(HangUp) -> Holder,
    ) -> Result<(), FetchFailure> {
        if connecting.is_to_itself(address) {
            connecting.abort();
            return Err(FetchFailure::self_connected());
        }
        self.register(holder(connecting.hang_up()));
        Ok(())
    }

    /// Registers the connection, so that a later cancel finds it. An earlier one did not, so the caller must check for a
    /// cancel after this call.
    fn register(&self, holder: Holder) {
        self.sockets.register(self.index, holder);
    }

    fn report_connecting(&mut self, address: SocketAddr) {
        self.scene.peer = Some(address);
        self.report(Kind::Connecting);
    }

    fn connected(&mut self, socket: Socket, held: Held<'a>) -> Result<Connected<'a>, FetchFailure> {
        self.register(Holder::Thread(socket.hang_up()));
        if self.is_cancelled() {
            return Err(FetchFailure::Cancelled);
        }
        if self.reporter.wants(Interest::ALL) {
            self.scene.local = socket.local(); // A system call, which only observers need.
        }
        self.report(Kind::Connected);
        Ok(Connected {
            wire: Timed::new(socket),
            _held: held,
        })
    }

    /// Reads into `buffer`, and waits at most for the idle timeout and until the total deadline. Returns 0 at the peer's
    /// FIN.
    ///
    /// # Errors
    /// Fails on a timeout, a lost connection, or a cancel.
    pub(crate) fn read<W: Wire>(
        &mut self,
        wire: &mut Timed<W>,
        buffer: &mut [u8],
    ) -> Result<usize, FetchFailure> {
        let idle = self.limits.idle_timeout;
        let (read, timeout) = self.sleeping(Wait::Read, || match self.total_deadline {
            Some(deadline) if deadline.saturating_sub(wire.now()) <= idle => {
                (wire.read_until(buffer, deadline), Timeout::Total)
            }
            _ => (wire.read(buffer, idle), Timeout::Idle),
        });
        // ANCHOR: read_or_cancelled
        match read {
            // After a cancel hung up, 0 does not mean FIN. No cancel hangs up on a connection that drains.
            Ok(0) if !self.drains && self.is_cancelled() => Err(FetchFailure::Cancelled),
            Ok(length) => {
                self.count_received(length as u64);
                Ok(length)
            }
            Err(stop) => Err(self.failure(&stop, timeout)),
        }
        // ANCHOR_END: read_or_cancelled
    }

    /// Writes all of `bytes`, unless the peer takes none for the idle timeout or the total deadline passes.
    ///
    /// # Errors
    /// Fails on a timeout, a lost connection, or a cancel.
    pub(crate) fn write<W: Wire>(
        &mut self,
        wire: &mut Timed<W>,
        bytes: &[u8],
    ) -> Result<(), FetchFailure> {
        if self.drains {
            return Err(FetchFailure::Cancelled); // A cancelled fetch sends nothing more.
        }
        let timeout = WriteTimeout::new(self.limits.idle_timeout);
        wire.write_all(bytes, timeout.until(self.total_deadline), |_, _| true)
            .map_err(|CutShort { stop, .. }| match self.total_deadline {
                Some(deadline) if deadline <= wire.now() => self.failure(&stop, Timeout::Total),
                _ => self.failure(&stop, Timeout::Idle),
            })
    }

    /// Reports the end of the fetch: the length of the poem, or the failure.
    pub(crate) fn report_result(&self, result: Result<&str, &FetchFailure>) {
        self.report(match result {
            Ok(poem) => Kind::Finished {
                bytes: poem.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        });
    }

    fn count_received(&mut self, bytes: u64) {
        if bytes > 0 {
            self.received += bytes;
            self.report(Kind::Read { bytes });
        }
    }

    fn failure(&self, stop: &Stop, timeout: Timeout) -> FetchFailure {
        self.unless_cancelled(match stop {
            Stop::TimedOut => FetchFailure::TimedOut(timeout),
            Stop::Lost(cause) => FetchFailure::connection_lost(cause),
        })
    }

    /// Returns `failure`; or, if the fetch is cancelled, [`FetchFailure::Cancelled`], since the cancel caused the failure.
    fn unless_cancelled(&self, failure: FetchFailure) -> FetchFailure {
        if self.is_cancelled() {
            FetchFailure::Cancelled
        } else {
            failure
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled(self.index)
    }

    fn report(&self, kind: Kind) {
        self.reporter.report(self.scene, kind);
    }
}

#[cfg(test)]
mod tests;
