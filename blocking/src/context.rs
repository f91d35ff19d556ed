//! What accompanies one connection of a client: its bounds, who is told, and who may call it off.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poetry::cancel::Target;
use poetry::error::Timeout;
use poetry::event::{Interest, Scene};
use poetry::{Cancel, FetchFailure, Kind, Limits, Peer, Reporter, Role};

use crate::buffers::{Buffers, ReadBuffer};
use crate::deadlines::{CutShort, Stop, Timed, Wire, WriteTimeout};
use crate::net::{Connecting, Hook, Socket};

/// The connections of one fetch, so that a cancel finds them: a slot for each request.
#[derive(Debug)]
pub struct Sockets(Box<[Mutex<Option<Hook>>]>);

impl Sockets {
    /// Room for the connections of `requests` requests, one at a time each.
    pub fn new(requests: usize) -> Self {
        Self((0..requests).map(|_| Mutex::default()).collect())
    }

    /// Hangs up what `target` names.
    pub fn hang_up(&self, target: Target) {
        let slots = match target {
            Target::All => &self.0[..],
            Target::Task(index) => self.0.get(index..=index).unwrap_or_default(),
        };
        for slot in slots {
            // A slot is whole after every statement, so a lock poisoned elsewhere is no harm.
            if let Some(hook) = &*slot.lock().unwrap_or_else(PoisonError::into_inner) {
                hook.hang_up();
            }
        }
    }

    fn enter(&self, index: usize, hook: Hook) {
        if let Some(slot) = self.0.get(index) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
        }
    }
}

/// One request's talk with one server, as all its calls need to know it.
#[derive(Debug)]
pub struct Context<'a> {
    /// The client's bounds.
    pub limits: &'a Limits,
    /// Large buffers to borrow.
    pub buffers: &'a Buffers,
    reporter: Reporter,
    scene: Scene,
    index: usize,
    cancel: &'a Cancel,
    sockets: &'a Sockets,
    total_deadline: Option<Duration>,
    received: u64,
    /// The connection to the first address, if it has been begun beforehand.
    begun: Option<Connecting>,
}

impl<'a> Context<'a> {
    /// The context of the task and the worker in `scene`, which begins `now` by the wires' clock ([`now`](crate::net::now)): the
    /// total deadline counts from then.
    pub fn new(
        scene: Scene,
        now: Duration,
        limits: &'a Limits,
        buffers: &'a Buffers,
        reporter: Reporter,
        cancel: &'a Cancel,
        sockets: &'a Sockets,
    ) -> Self {
        Self {
            limits,
            buffers,
            reporter,
            scene,
            index: scene.task as usize,
            cancel,
            sockets,
            total_deadline: limits.total_deadline.map(|total| now.saturating_add(total)),
            received: 0,
            begun: None,
        }
    }

    /// The context of the transform that follows, within what is left of the same deadline.
    pub fn for_transform(&self) -> Self {
        Self {
            reporter: self.reporter.for_role(Role::TransformClient),
            scene: Scene {
                parent: Some(self.scene.task),
                local: None,
                peer: None,
                ..self.scene
            },
            received: 0,
            begun: None,
            ..*self
        }
    }

    /// Bytes that have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The thread numbered `worker` goes on with it.
    pub fn in_thread(mut self, worker: u32) -> Self {
        self.scene.worker = worker;
        self
    }

    /// Begins to connect to the first address of `peer` without waiting. What cannot be begun now is left to
    /// [`connect`](Self::connect), which says why.
    pub fn begin(&mut self, peer: &Peer) {
        if let Ok(&[address, ..]) = peer.addresses()
            && !self.is_cancelled()
            && let Ok(connecting) = self.begin_to(address)
        {
            self.connecting(address);
            self.begun = Some(connecting);
        }
    }

    /// Tries the addresses of `peer` in order, each for the connect timeout, all within the total deadline.
    ///
    /// # Errors
    /// Connection failed, with the last address's cause; or the deadline passed, or somebody called it off.
    pub fn connect(&mut self, peer: &Peer) -> Result<Timed<Socket>, FetchFailure> {
        let mut failure = None;
        for &address in peer.addresses()? {
            if self.is_cancelled() {
                return Err(FetchFailure::Cancelled);
            }
            match self.connect_to(address) {
                Ok(socket) => return self.connected(socket),
                Err(FetchFailure::TimedOut(Timeout::Total)) => {
                    return Err(FetchFailure::TimedOut(Timeout::Total));
                }
                Err(other) => failure = Some(other),
            }
        }
        Err(self.unless_cancelled(failure.unwrap_or_else(FetchFailure::connect_timed_out)))
    }

    /// Waits for the connection to `address`, and begins it unless that has been done.
    fn connect_to(&mut self, address: SocketAddr) -> Result<Socket, FetchFailure> {
        let connecting = match self.begun.take() {
            Some(connecting) => connecting,
            None => {
                self.connecting(address);
                self.begin_to(address)?
            }
        };
        let connect_deadline = connecting
            .since()
            .saturating_add(self.limits.connect_timeout);
        let (deadline, late) = match self.total_deadline {
            Some(total) if total < connect_deadline => {
                (total, FetchFailure::TimedOut(Timeout::Total))
            }
            _ => (connect_deadline, FetchFailure::connect_timed_out()),
        };
        let connected = connecting.wait(deadline);
        connected.map_err(|error| match error.kind() {
            ErrorKind::TimedOut => late,
            _ => FetchFailure::connection_failed(&error),
        })
    }

    /// Begins to connect to `address`; from here on a cancel finds the socket.
    fn begin_to(&self, address: SocketAddr) -> Result<Connecting, FetchFailure> {
        let connecting =
            Connecting::begin(address).map_err(|error| FetchFailure::connection_failed(&error))?;
        self.sockets.enter(self.index, connecting.hook());
        // Whoever cancelled before this line found no socket; whoever does after it, finds this one.
        if self.is_cancelled() {
            return Err(FetchFailure::Cancelled);
        }
        Ok(connecting)
    }

    fn connecting(&mut self, address: SocketAddr) {
        self.scene.peer = Some(address);
        self.report(Kind::Connecting);
    }

    fn connected(&mut self, socket: Socket) -> Result<Timed<Socket>, FetchFailure> {
        self.sockets.enter(self.index, socket.hook());
        // Whoever cancelled before this line found no socket; whoever does after it, finds this one.
        if self.is_cancelled() {
            return Err(FetchFailure::Cancelled);
        }
        if self.reporter.wants(Interest::ALL) {
            self.scene.local = socket.local(); // A system call, for observers only.
        }
        self.report(Kind::Connected);
        Ok(Timed::new(socket))
    }

    /// Reads what there is into `buffer`, or waits for it as long as the idle timeout and the deadline allow; 0 is
    /// the peer's FIN.
    ///
    /// # Errors
    /// It took too long, the connection broke, or somebody called it off.
    pub fn read<W: Wire>(
        &mut self,
        wire: &mut Timed<W>,
        buffer: &mut ReadBuffer<'_>,
    ) -> Result<usize, FetchFailure> {
        let idle = self.limits.idle_timeout;
        let (read, timeout) = match self.total_deadline {
            Some(deadline) if deadline.saturating_sub(wire.now()) <= idle => {
                (wire.read_until(buffer.space(), deadline), Timeout::Total)
            }
            _ => (wire.read(buffer.space(), idle), Timeout::Idle),
        };
        match read {
            Ok(0) if self.is_cancelled() => Err(FetchFailure::Cancelled),
            Ok(length) => {
                self.heard(length as u64);
                Ok(length)
            }
            Err(stop) => Err(self.failed(&stop, timeout)),
        }
    }

    /// Writes all of `bytes`, unless the peer takes none for the idle timeout, or the deadline passes.
    ///
    /// # Errors
    /// It took too long, the connection broke, or somebody called it off.
    pub fn write<W: Wire>(
        &mut self,
        wire: &mut Timed<W>,
        bytes: &[u8],
    ) -> Result<(), FetchFailure> {
        let timeout = WriteTimeout::new(self.limits.idle_timeout, Duration::MAX);
        wire.write_all(bytes, timeout.until(self.total_deadline), |_, _| {})
            .map_err(|CutShort { stop, .. }| match self.total_deadline {
                Some(deadline) if deadline <= wire.now() => self.failed(&stop, Timeout::Total),
                _ => self.failed(&stop, Timeout::Idle),
            })
    }

    /// Says how it ended, with the length of the poem or the failure.
    pub fn tell(&self, result: &Result<String, FetchFailure>) {
        self.report(match result {
            Ok(poem) => Kind::Finished {
                bytes: poem.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        });
    }

    fn heard(&mut self, bytes: u64) {
        if bytes > 0 {
            self.received += bytes;
            self.report(Kind::Read { bytes });
        }
    }

    fn failed(&self, stop: &Stop, timeout: Timeout) -> FetchFailure {
        self.unless_cancelled(match stop {
            Stop::TimedOut => FetchFailure::TimedOut(timeout),
            Stop::Lost(cause) => FetchFailure::connection_lost(cause),
        })
    }

    /// A cancel shows as some failure: it is told by its own name.
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
