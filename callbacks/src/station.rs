//! What a server's connections have in common within one reactor: limits, counters, events, and the way out. The
//! servers' threads are in `serving.rs`.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use poetry::event::{Interest, Scene};
use poetry::{CloseReason, Counters, Kind, Limits, Refusal, Reporter};

use crate::deferred::{Deferred, Trigger};
use crate::protocol::Lost;
use crate::reactor::{RemoteReactor, Transport};

/// Everything that a server's protocols share in one reactor.
#[derive(Debug)]
pub struct Station {
    /// The bounds.
    pub limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) reporter: Reporter,
    pub(crate) admission: Arc<Admission>,
    worker: u32,
    local: SocketAddr,
    stopping: Cell<bool>,
    unfinished: Cell<u64>,
    finished: Cell<u64>,
    cut: Cell<u64>,
    quiet: RefCell<Option<Trigger<()>>>,
}

impl Station {
    /// The station of reactor `worker` for a server that listens at `local`.
    pub fn new(
        limits: Limits,
        counters: Arc<Counters>,
        reporter: Reporter,
        admission: Arc<Admission>,
        worker: u32,
        local: SocketAddr,
    ) -> Rc<Self> {
        Rc::new(Self {
            limits,
            counters,
            reporter,
            admission,
            worker,
            local,
            stopping: Cell::default(),
            unfinished: Cell::default(),
            finished: Cell::default(),
            cut: Cell::default(),
            quiet: RefCell::default(),
        })
    }

    /// Whether the server shuts down.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// From now on the server shuts down.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    /// Fires when nothing is in flight any more.
    pub(crate) fn quiet(&self) -> Deferred<()> {
        if self.unfinished.get() == 0 {
            return Deferred::succeed(());
        }
        let (trigger, quiet) = Deferred::new();
        *self.quiet.borrow_mut() = Some(trigger);
        quiet
    }

    /// Connections that had something in flight when the shutdown began: those that finished, and those that were cut.
    pub(crate) fn summary(&self) -> (u64, u64) {
        (self.finished.get(), self.cut.get())
    }

    pub(crate) fn scene(&self) -> Scene {
        Scene {
            worker: self.worker,
            local: Some(self.local),
            ..Scene::default()
        }
    }
}

/// How many connections the whole server holds, whatever its reactors (S16).
#[derive(Debug)]
pub struct Admission {
    max: usize,
    open: AtomicUsize,
    waiting: AtomicBool,
    door: std::sync::OnceLock<RemoteReactor>,
}

impl Admission {
    /// At most `max` at once.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            door: std::sync::OnceLock::new(),
        })
    }

    /// Says whose ports go on when there is room again.
    pub(crate) fn set_door(&self, door: RemoteReactor) {
        let _ = self.door.set(door);
    }

    /// Whether there is room for one more; if not, the ports go on as soon as there is.
    pub(crate) fn has_room(&self) -> bool {
        if self.open.load(Ordering::SeqCst) < self.max {
            return true;
        }
        self.waiting.store(true, Ordering::SeqCst);
        // One may have left between the two.
        self.open.load(Ordering::SeqCst) < self.max
    }

    pub(crate) fn enter(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.swap(false, Ordering::SeqCst)
            && let Some(door) = self.door.get()
        {
            // A reactor that is gone accepts nobody.
            let _ = door.call_from_thread(|reactor| reactor.resume_ports());
        }
    }
}

/// One connection's place in its station: it is counted in when this is made and out when this is left.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) station: Rc<Station>,
    task: u64,
    /// Requests in flight: counted, and not answered yet.
    owed: u32,
    in_flight: bool,
    left: bool,
}

impl Seat {
    pub(crate) fn take(station: &Rc<Station>, task: u64) -> Self {
        station.counters.accepted();
        Self {
            station: Rc::clone(station),
            task,
            owed: 0,
            in_flight: false,
            left: false,
        }
    }

    /// Says that `kind` happened on this connection.
    #[inline]
    pub(crate) fn report(&self, transport: &Transport, kind: Kind) {
        if self.station.reporter.wants(kind.interest()) {
            self.tell(transport, kind);
        }
    }

    #[cold]
    fn tell(&self, transport: &Transport, kind: Kind) {
        let mut scene = self.station.scene();
        if self.station.local.ip().is_unspecified() {
            scene.local = transport.host().or(scene.local);
        }
        scene.task = self.task;
        scene.peer = Some(transport.peer());
        self.station.reporter.report(scene, kind);
    }

    #[inline]
    pub(crate) fn read(&self, transport: &Transport, bytes: usize) {
        let bytes = bytes as u64;
        self.station.counters.read(bytes);
        if self.station.reporter.wants(Interest::READ) {
            self.tell(transport, Kind::Read { bytes });
        }
    }

    #[inline]
    pub(crate) fn wrote(&self, transport: &Transport, bytes: usize) {
        if bytes > 0 {
            let bytes = bytes as u64;
            self.station.counters.wrote(bytes);
            if self.station.reporter.wants(Interest::WROTE) {
                self.tell(transport, Kind::Wrote { bytes });
            }
        }
    }

    /// `requests` more are in flight; if the connection ends before they are answered, they have failed.
    #[inline]
    pub(crate) fn owe(&mut self, requests: u32) {
        self.station.counters.requests(requests.into());
        self.owed += requests;
    }

    /// Whether a request is in flight.
    pub(crate) fn owes(&self) -> bool {
        self.owed > 0
    }

    /// The replies to `requests` of those in flight have been taken to their last byte.
    #[inline]
    pub(crate) fn answered(&mut self, transport: &Transport, requests: u32) {
        if requests > 0 {
            self.owed -= requests;
            let requests = u64::from(requests);
            self.station.counters.answered(requests);
            if self.station.reporter.wants(Interest::ANSWERED) {
                self.tell(transport, Kind::Answered { requests });
            }
        }
    }

    #[cold]
    pub(crate) fn refused(&self, transport: &Transport, refusal: Refusal) {
        self.station.counters.refused(&refusal);
        self.report(transport, Kind::Refused(refusal));
    }

    /// Something is in flight as the server shuts down: it waits for this connection (S21).
    pub(crate) fn hold(&mut self) {
        if !self.in_flight {
            self.in_flight = true;
            let unfinished = &self.station.unfinished;
            unfinished.set(unfinished.get() + 1);
        }
    }

    /// The connection is gone.
    pub(crate) fn leave(&mut self, transport: &Transport, reason: CloseReason) {
        self.count_out(reason);
        self.report(transport, Kind::Closed(reason));
    }

    fn count_out(&mut self, reason: CloseReason) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let station = &self.station;
        station
            .counters
            .failed(std::mem::take(&mut self.owed).into());
        station.counters.closed(reason);
        station.admission.leave();
        if self.in_flight {
            let ended = if reason == CloseReason::Cut {
                &station.cut
            } else {
                &station.finished
            };
            ended.set(ended.get() + 1);
            station.unfinished.set(station.unfinished.get() - 1);
            if station.unfinished.get() == 0
                && let Some(quiet) = station.quiet.take()
            {
                quiet.callback(());
            }
        }
    }
}

/// A protocol that panicked never says goodbye (R4).
impl Drop for Seat {
    fn drop(&mut self) {
        if !self.left {
            self.count_out(CloseReason::Panic);
            let scene = Scene {
                task: self.task,
                ..self.station.scene()
            };
            self.station
                .reporter
                .report(scene, Kind::Closed(CloseReason::Panic));
        }
    }
}

/// The reason a connection is counted under, if its protocol had none of its own.
pub(crate) fn reason_of(lost: &Lost) -> CloseReason {
    match lost {
        Lost::Done => CloseReason::Done,
        Lost::Aborted => CloseReason::Cut,
        Lost::Broken(_) => CloseReason::Reset,
    }
}
