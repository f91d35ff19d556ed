//! What accompanies one connection of a client: its bounds, who is told, and who may call it off.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::cancel::Target;
use poetry::error::Timeout;
use poetry::event::{Interest, Scene};
use poetry::{Cancel, FetchFailure, Kind, Limits, Peer, Reporter, Role};

use crate::buffers::Buffers;
use crate::deadlines::{CutShort, Stop, Timed, Wire, WriteTimeout};
use crate::net::{Connecting, Hook, Socket};

/// The connections of one fetch, so that a cancel finds them: a slot for each request.
#[derive(Debug)]
pub struct Sockets(Box<[Mutex<Option<Held>>]>);

/// Who holds a connection.
#[derive(Debug)]
enum Held {
    /// Nobody yet: it was begun beforehand, and waits for a thread.
    ByNobody(Hook),
    /// A thread, which may block in its calls.
    ByThread(Hook),
}

impl Sockets {
    /// Room for the connections of `requests` requests, one at a time each.
    pub fn new(requests: usize) -> Self {
        Self((0..requests).map(|_| Mutex::default()).collect())
    }

    /// Hangs up what `target` names. When that is everything, those whom no thread holds yet are left to the threads:
    /// nothing keeps these from taking them at once, and what has come whole has come.
    pub fn hang_up(&self, target: Target) {
        let slots = match target {
            Target::All => &self.0[..],
            Target::Task(index) => self.0.get(index..=index).unwrap_or_default(),
        };
        for slot in slots {
            let mut slot = lock(slot);
            match (&*slot, target) {
                (None, _) | (Some(Held::ByNobody(_)), Target::All) => {}
                (Some(Held::ByNobody(hook) | Held::ByThread(hook)), _) => {
                    hook.hang_up();
                    *slot = None;
                }
            }
        }
    }

    fn enter(&self, index: usize, held: Held) {
        if let Some(slot) = self.0.get(index) {
            *lock(slot) = Some(held);
        }
    }

    /// From here on nobody hangs up the connection at `index`; whether nobody has before.
    fn leave(&self, index: usize) -> bool {
        let slot = self.0.get(index);
        slot.is_some_and(|slot| lock(slot).take().is_some())
    }
}

/// A slot is whole after every statement, so a lock poisoned elsewhere is no harm.
fn lock(slot: &Mutex<Option<Held>>) -> MutexGuard<'_, Option<Held>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Whether it reads only what has come by now, and nobody can hang up.
    drains: bool,
}

impl<'a> Context<'a> {
    /// The context of the task and the worker in `scene`, which begins `now` by the wires' clock,
    /// [`net::now`](crate::net::now): the total deadline counts from then.
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
            drains: false,
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
            drains: false,
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
            && let Ok(connecting) = self.begin_to(address, Held::ByNobody)
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
                return self.drain().ok_or(FetchFailure::Cancelled);
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

    /// The connection that was begun beforehand, if it is made by now, to see whether the whole poem had come when it was
    /// called off. Its reads do not wait.
    fn drain(&mut self) -> Option<Timed<Socket>> {
        let begun = self.begun.take()?;
        self.drains = self.sockets.leave(self.index);
        let socket = begun.made().filter(|_| self.drains)?;
        self.report(Kind::Connected);
        Some(Timed::new(socket))
    }

    /// Waits for the connection to `address`, and begins it unless that has been done.
    fn connect_to(&mut self, address: SocketAddr) -> Result<Socket, FetchFailure> {
        let connecting = match self.begun.take() {
            Some(connecting) => {
                self.enter(Held::ByThread(connecting.hook()))?;
                connecting
            }
            None => {
                self.connecting(address);
                self.begin_to(address, Held::ByThread)?
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
    fn begin_to(
        &self,
        address: SocketAddr,
        held: fn(Hook) -> Held,
    ) -> Result<Connecting, FetchFailure> {
        let connecting =
            Connecting::begin(address).map_err(|error| FetchFailure::connection_failed(&error))?;
        self.enter(held(connecting.hook()))?;
        Ok(connecting)
    }

    /// Notes who holds the connection.
    fn enter(&self, held: Held) -> Result<(), FetchFailure> {
        self.sockets.enter(self.index, held);
        // Whoever cancelled before this line found another socket, or none; whoever does after it, finds this one.
        if self.is_cancelled() {
            return Err(FetchFailure::Cancelled);
        }
        Ok(())
    }

    fn connecting(&mut self, address: SocketAddr) {
        self.scene.peer = Some(address);
        self.report(Kind::Connecting);
    }

    fn connected(&mut self, socket: Socket) -> Result<Timed<Socket>, FetchFailure> {
        self.enter(Held::ByThread(socket.hook()))?;
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
        buffer: &mut [u8],
    ) -> Result<usize, FetchFailure> {
        let idle = self.limits.idle_timeout;
        let (read, timeout) = match self.total_deadline {
            Some(deadline) if deadline.saturating_sub(wire.now()) <= idle => {
                (wire.read_until(buffer, deadline), Timeout::Total)
            }
            _ => (wire.read(buffer, idle), Timeout::Idle),
        };
        match read {
            // Somebody may have hung up; where nobody can have, it is FIN.
            Ok(0) if !self.drains && self.is_cancelled() => Err(FetchFailure::Cancelled),
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
