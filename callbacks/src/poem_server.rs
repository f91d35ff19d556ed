//! The poem server, fast and slow (S1): to each who connects it writes the poem at its pace, and then ends. All
//! connections write out of the one poem.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use poetry::{CloseReason, Kind, PoemService};

use crate::linger::Linger;
use crate::protocol::{Address, Factory, Lost, Protocol, Side};
use crate::reactor::{Port, Reactor, Transport};
use crate::serving::Doorkeeper;
use crate::station::{Seat, Station, reason_of};

/// Serves `service` to all who connect to `listener`, in this reactor.
///
/// # Errors
/// The system does not let us watch the listener.
pub fn serve_poem(
    reactor: &Reactor,
    listener: TcpListener,
    service: PoemService,
    station: &Rc<Station>,
) -> io::Result<Port> {
    let factory = poem_factory(service, station);
    reactor.listen_with(listener, Doorkeeper::alone(reactor, factory, station))
}

/// What serves a poem, for whoever has connections of his own to serve.
pub fn poem_factory(service: PoemService, station: &Rc<Station>) -> Rc<dyn Factory> {
    let station = Rc::clone(station);
    // Its protocols share the inner one.
    Rc::new(Rc::new(PoemFactory { service, station }))
}

/// Builds a [`Protocol`] for each who wants the poem.
struct PoemFactory {
    service: PoemService,
    station: Rc<Station>,
}

impl Factory for Rc<PoemFactory> {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let Side::Accepted { serial } = address.side else {
            return None;
        };
        let mut seat = Seat::take(&self.station, serial);
        seat.owe(1);
        Some(Box::new(PoemProtocol {
            factory: Rc::clone(self),
            seat,
            began: Duration::ZERO,
            chunk: 0,
            sent: 0,
            peer_finished: false,
            linger: None,
            reason: None,
        }))
    }
}

struct PoemProtocol {
    factory: Rc<PoemFactory>,
    seat: Seat,
    /// The time of the accept, from which every chunk's time is counted.
    began: Duration,
    chunk: usize,
    sent: usize,
    peer_finished: bool,
    linger: Option<Linger>,
    reason: Option<CloseReason>,
}

// ANCHOR: serve_poem
impl PoemProtocol {
    /// Writes the chunks that are due, until the kernel takes no more or the next has to wait for its time.
    fn produce(&mut self, transport: &Transport) {
        let PoemService { poem, pace } = &self.factory.service;
        let poem = poem.as_bytes();
        while let Some(chunk) = pace.chunk(self.chunk, poem.len()) {
            if self.waits(transport, pace.due(self.chunk)) {
                return;
            }
            let taken = transport.offer(&poem[self.sent..chunk.end]);
            self.sent += taken;
            self.seat.wrote(transport, taken);
            if self.sent < chunk.end {
                return transport.set_timeout(Some(self.seat.station.limits.write_timeout));
            }
            self.chunk += 1;
        }
        if self.seat.owes() {
            self.seat.answered(transport, 1);
        }
        if !self.waits(transport, pace.due(self.chunk)) {
            self.finish(transport);
        }
    }

    /// Whether `due`, counted from the accept, is still to come; then we are called again at that time.
    fn waits(&self, transport: &Transport, due: Duration) -> bool {
        let elapsed = transport.now().saturating_sub(self.began);
        let waits = due > elapsed;
        if waits {
            transport.set_timeout(Some(due - elapsed));
        }
        waits
    }

    fn finish(&mut self, transport: &Transport) {
        self.linger = Some(Linger::begin(transport, &self.seat.station.limits));
        if self.peer_finished {
            transport.lose_connection();
        }
    }
}
// ANCHOR_END: serve_poem

impl Protocol for PoemProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.seat.report(transport, Kind::Accepted);
        self.began = transport.now();
        if self.seat.station.is_stopping() {
            self.seat.hold();
        }
        self.produce(transport);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.seat.read(transport, data.len());
        if let Some(linger) = &mut self.linger {
            linger.drain(transport, data.len());
        }
    }

    fn resume_producing(&mut self, transport: &Transport) {
        if self.linger.is_none() {
            self.produce(transport);
        }
    }

    /// The peer has nothing to say; that does not end the poem (S1).
    fn read_connection_lost(&mut self, transport: &Transport) {
        self.peer_finished = true;
        if self.linger.is_some() {
            transport.lose_connection();
        }
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        if self.linger.is_some() {
            transport.lose_connection();
        } else if transport.is_blocked() {
            self.reason = Some(CloseReason::Write);
            transport.abort_connection();
        } else {
            self.produce(transport);
        }
    }

    fn shut_down(&mut self, _: &Transport) {
        self.seat.hold();
    }

    fn connection_lost(&mut self, transport: &Transport, lost: Lost) {
        let reason = match lost {
            // The poem and FIN were sent; what the peer made of them is its own affair.
            Lost::Broken(_) if self.linger.is_some() && !self.seat.owes() => CloseReason::Done,
            lost => self.reason.unwrap_or_else(|| reason_of(&lost)),
        };
        self.seat.leave(transport, reason);
    }
}
