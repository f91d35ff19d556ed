//! The transform server (S3–S5): netstrings in, netstrings out, one-shot or keep-alive. Requests are decoded where they
//! were read, and the replies to one read are one write.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use poetry::netstring::{Decoder, FramingError};
use poetry::{CloseReason, Kind, Refusal, TransformService, panics};

use crate::linger::Linger;
use crate::protocol::{Address, Factory, Lost, Producer, Protocol, Side};
use crate::reactor::{Port, Reactor, Transport};
use crate::serving::Doorkeeper;
use crate::station::{Seat, Station, reason_of};

/// Answers the transform requests of all who connect to `listener`, in this reactor.
///
/// # Errors
/// The system does not let us watch the listener.
pub fn serve_transforms(
    reactor: &Reactor,
    listener: TcpListener,
    service: TransformService,
    station: &Rc<Station>,
) -> io::Result<Port> {
    let factory = transform_factory(service, station);
    reactor.listen_with(listener, Doorkeeper::alone(reactor, factory, station))
}

/// What answers transform requests, for whoever has connections of his own to serve.
pub fn transform_factory(service: TransformService, station: &Rc<Station>) -> Rc<dyn Factory> {
    // Its protocols share the inner one.
    Rc::new(Rc::new(TransformFactory {
        service,
        station: Rc::clone(station),
        replies: RefCell::default(),
    }))
}

/// Builds a [`Protocol`] for each who asks, and owns what they share.
struct TransformFactory {
    service: TransformService,
    station: Rc<Station>,
    /// Where replies are written before they are sent: only one connection has its turn at a time.
    replies: RefCell<Vec<u8>>,
}

impl Factory for Rc<TransformFactory> {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let Side::Accepted { serial } = address.side else {
            return None;
        };
        Some(Box::new(TransformProtocol {
            factory: Rc::clone(self),
            seat: Seat::take(&self.station, serial),
            stream: 0,
            partial: None,
            unsent: None,
            state: State::Serving,
            peer_finished: false,
            reason: None,
        }))
    }
}

struct TransformProtocol {
    factory: Rc<TransformFactory>,
    seat: Seat,
    /// Bytes of the stream so far.
    stream: u64,
    /// What only a connection in the middle of a request has.
    partial: Option<Box<Partial>>,
    /// What only a connection whose replies were not all taken at once has.
    unsent: Option<Box<Unsent>>,
    state: State,
    peer_finished: bool,
    /// Why the connection ends, once that is known.
    reason: Option<CloseReason>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Answering requests.
    Serving,
    /// Answering no more; the last replies are on their way.
    Finishing,
    /// Waiting for the peer to finish (S7).
    Lingering(Linger),
}

/// The reading of a request that the network has cut.
struct Partial {
    decoder: Decoder,
    /// Where in the stream the decoder began.
    start: u64,
    /// When the request must be complete (S18).
    due: Duration,
}

/// Replies on their way: where each ends, counted from the first one's beginning, and how far the kernel has come.
struct Unsent {
    ends: VecDeque<usize>,
    taken: usize,
}

/// How the requests in one read ended.
enum Verdict {
    /// More bytes, please.
    More,
    /// The only request has been answered (S5).
    Enough,
    Garbled(FramingError),
    Refused(Box<Refusal>),
    Panicked(String),
}

// ANCHOR: answer_requests
impl TransformProtocol {
    /// Answers every request that `data` completes, with one write. A connection owns a decoder only while it is in the
    /// middle of a request.
    fn answer_requests(&mut self, transport: &Transport, data: &[u8]) {
        let start = self.stream;
        self.stream += data.len() as u64;
        if let Some(partial) = self.partial.take() {
            return self.answer_partial(transport, data, partial);
        }
        let mut decoder = Decoder::new(self.seat.station.limits.frame_bytes_max);
        if let Some(answered) = self.answer_from(transport, data, &mut decoder, start) {
            if decoder.is_mid_frame() {
                let due = self.request_due(transport);
                self.partial = Some(Box::new(Partial {
                    decoder,
                    start,
                    due,
                }));
            }
            self.go_on(transport, answered);
        }
    }

    /// Answers what `decoder`, which began at `start` of the stream, finds in `data`: how many requests, if there may be
    /// more.
    #[inline]
    fn answer_from(
        &mut self,
        transport: &Transport,
        data: &[u8],
        decoder: &mut Decoder,
        start: u64,
    ) -> Option<u32> {
        let factory = Rc::clone(&self.factory);
        let mut replies = factory.replies.borrow_mut();
        replies.clear();
        let mut answered = 0;
        let verdict =
            panics::contain(|| factory.answer(decoder, data, &mut replies, &mut answered))
                .unwrap_or_else(Verdict::Panicked);
        self.reply(transport, &replies, answered);
        drop(replies);
        match verdict {
            Verdict::More => return Some(answered),
            Verdict::Enough => self.finish(transport, CloseReason::Done),
            Verdict::Garbled(error) => self.refuse(transport, in_stream(error, start)),
            Verdict::Refused(refusal) => self.refuse(transport, *refusal),
            Verdict::Panicked(message) => self.apologise(transport, message),
        }
        None
    }

    /// Writes the replies; what the kernel does not take waits in the transport, and requests in the kernel (S5).
    fn reply(&mut self, transport: &Transport, replies: &[u8], answered: u32) {
        if answered == 0 {
            return;
        }
        self.seat.owe(answered);
        let taken = transport.write(replies);
        self.seat.wrote(transport, taken);
        if taken == replies.len() {
            self.seat.answered(transport, answered);
        } else {
            transport.pause_producing();
            let ends = ends_of(replies);
            self.unsent = Some(Box::new(Unsent { ends, taken: 0 }));
            self.took(transport, taken);
        }
    }
}

impl TransformFactory {
    /// Answers the requests in `data`, in order, into `replies`.
    fn answer(
        &self,
        decoder: &mut Decoder,
        data: &[u8],
        replies: &mut Vec<u8>,
        answered: &mut u32,
    ) -> Verdict {
        let mut frames = decoder.feed(data);
        loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Verdict::More,
                Err(error) => return Verdict::Garbled(error),
            };
            if let Err(refusal) =
                self.service
                    .answer(frame, self.station.limits.frame_bytes_max, replies)
            {
                return Verdict::Refused(refusal.into());
            }
            *answered += 1;
            if !self.service.keep_alive {
                return Verdict::Enough;
            }
            if frames.rest().is_empty() {
                return Verdict::More;
            }
        }
    }
}
// ANCHOR_END: answer_requests

impl TransformProtocol {
    /// Goes on with a request that was begun. It keeps its deadline, however many bytes of it come.
    #[cold]
    fn answer_partial(&mut self, transport: &Transport, data: &[u8], mut partial: Box<Partial>) {
        let start = partial.start;
        if let Some(answered) = self.answer_from(transport, data, &mut partial.decoder, start) {
            if partial.decoder.is_mid_frame() {
                if answered > 0 {
                    partial.due = self.request_due(transport);
                }
                self.partial = Some(partial);
            }
            self.go_on(transport, answered);
        }
    }

    /// The kernel has taken `bytes` more of the replies: those taken to their last byte are answered.
    fn took(&mut self, transport: &Transport, bytes: usize) {
        let Some(unsent) = &mut self.unsent else {
            return;
        };
        unsent.taken += bytes;
        let answered = unsent.ends.partition_point(|&end| end <= unsent.taken);
        unsent.ends.drain(..answered);
        if unsent.ends.is_empty() {
            self.unsent = None;
        }
        self.seat.answered(transport, answered as u32);
    }

    fn request_due(&self, transport: &Transport) -> Duration {
        transport
            .now()
            .saturating_add(self.seat.station.limits.request_deadline)
    }

    /// All is answered that came whole.
    #[inline]
    fn go_on(&mut self, transport: &Transport, answered: u32) {
        if answered > 0 && self.partial.is_none() && self.seat.station.is_stopping() {
            return self.finish(transport, CloseReason::Done);
        }
        self.wait(transport);
    }

    /// Sets the time for what is awaited now.
    fn wait(&self, transport: &Transport) {
        let limits = &self.seat.station.limits;
        let time = if transport.is_blocked() {
            limits.write_timeout
        } else if let Some(partial) = &self.partial {
            partial.due.saturating_sub(transport.now())
        } else {
            limits.idle_timeout
        };
        transport.set_timeout(Some(time));
    }

    #[cold]
    fn refuse(&mut self, transport: &Transport, refusal: Refusal) {
        self.seat.station.counters.requests(1);
        self.seat.refused(transport, refusal);
        self.finish(transport, CloseReason::Refused);
    }

    #[cold]
    fn apologise(&mut self, transport: &Transport, message: String) {
        self.seat.station.counters.requests(1);
        self.seat.station.counters.failed(1);
        self.seat.report(transport, Kind::Panicked(message));
        self.finish(transport, CloseReason::Panic);
    }

    /// No more requests. Replies on their way are delivered first, then the connection lingers.
    fn finish(&mut self, transport: &Transport, reason: CloseReason) {
        self.reason = Some(reason);
        self.partial = None;
        if transport.is_blocked() {
            self.state = State::Finishing;
            return self.wait(transport);
        }
        self.state = State::Lingering(Linger::begin(transport, &self.seat.station.limits));
        if self.peer_finished {
            transport.lose_connection();
        }
    }

    fn close_reason(&self, lost: &Lost) -> CloseReason {
        match (lost, self.reason) {
            (Lost::Aborted, Some(CloseReason::Write)) => CloseReason::Write,
            (Lost::Done, Some(reason)) => reason,
            (Lost::Broken(_), Some(reason))
                if matches!(self.state, State::Lingering(_)) && !self.seat.owes() =>
            {
                reason
            }
            _ => reason_of(lost),
        }
    }
}

impl Protocol for TransformProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.seat.report(transport, Kind::Accepted);
        if self.seat.station.is_stopping() {
            return transport.lose_connection();
        }
        self.wait(transport);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.seat.read(transport, data.len());
        match &mut self.state {
            State::Serving => self.answer_requests(transport, data),
            State::Finishing => {}
            State::Lingering(linger) => linger.drain(transport, data.len()),
        }
    }

    fn data_sent(&mut self, transport: &Transport, bytes: usize) {
        self.seat.wrote(transport, bytes);
        self.took(transport, bytes);
        self.wait(transport);
    }

    /// The last reply has been taken.
    fn resume_producing(&mut self, transport: &Transport) {
        match (self.state, self.reason) {
            (State::Finishing, Some(reason)) => self.finish(transport, reason),
            (State::Serving, _) if self.partial.is_none() && self.seat.station.is_stopping() => {
                self.finish(transport, CloseReason::Done);
            }
            (State::Serving, _) => {
                self.wait(transport);
                transport.resume_producing();
            }
            _ => {}
        }
    }

    /// A peer that has finished gets every reply it is owed (S6).
    fn read_connection_lost(&mut self, transport: &Transport) {
        self.peer_finished = true;
        match self.state {
            State::Serving if self.partial.is_some() => self.refuse(transport, Refusal::Truncated),
            State::Serving => self.finish(transport, CloseReason::Done),
            State::Finishing => {}
            State::Lingering(_) => transport.lose_connection(),
        }
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        if transport.is_blocked() {
            self.reason = Some(CloseReason::Write);
            return transport.abort_connection();
        }
        self.reason = self.reason.or(Some(match self.partial {
            Some(_) => CloseReason::Deadline,
            None => CloseReason::Idle,
        }));
        transport.lose_connection();
    }

    fn shut_down(&mut self, transport: &Transport) {
        let idle = matches!(self.state, State::Serving)
            && self.partial.is_none()
            && !transport.is_blocked();
        if idle {
            transport.lose_connection();
        } else {
            self.seat.hold();
        }
    }

    fn connection_lost(&mut self, transport: &Transport, lost: Lost) {
        let reason = self.close_reason(&lost);
        self.seat.leave(transport, reason);
    }
}

/// Where each of `replies`, which are netstrings, ends.
fn ends_of(replies: &[u8]) -> VecDeque<usize> {
    let mut decoder = Decoder::new(usize::MAX);
    let mut frames = decoder.feed(replies);
    let mut ends = VecDeque::new();
    while let Ok(Some(_)) = frames.next() {
        ends.push_back(replies.len() - frames.rest().len());
    }
    ends
}

/// An error's place counted from the beginning of the stream, not from that of the decoder.
fn in_stream(error: FramingError, start: u64) -> Refusal {
    let at = start + error.at;
    FramingError { at, ..error }.into()
}
