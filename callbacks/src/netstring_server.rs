//! A server of netstrings (Twisted's `NetstringReceiver`): requests in, replies out, one-shot or keep-alive (S2, S5–S7).
//! Requests are decoded where they were read; the replies of one turn go out in one write. What a request means is up to
//! `transform_server.rs` and `library_server.rs`.

use std::cell::RefCell;
use std::rc::Rc;

use poetry::event::Wait;
use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::netstring::Frames;
use poetry::{CloseReason, Kind, Refusal, Unanswered, panics};

use crate::connection_guard::{ConnectionGuard, reason_of};
use crate::linger::Linger;
use crate::protocol::{Address, Factory, Lost, Producer, Protocol, Side};
use crate::reactor::Transport;
use crate::server_state::ServerState;
use crate::watched::watched_factory;

mod offloading;
mod partial;
mod replies;
mod unsent;

use partial::Begun;
use replies::Replies;
use unsent::Unsent;

/// What a server answers.
pub(crate) trait Service: 'static {
    /// The replies of one turn.
    type Replies: Replies;

    /// Whether a connection may send more than one request (S5).
    fn keep_alive(&self) -> bool;

    /// Answers the request in `frame`: appends its reply. If it does not (S4, S25) or panics (S20), it appends nothing.
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Self::Replies,
    ) -> Result<(), Unanswered<Self::Replies>>;
}

/// Returns the factory of a server's protocols.
pub(crate) fn netstring_factory(service: impl Service, state: &Rc<ServerState>) -> Rc<dyn Factory> {
    // The protocols share the inner `Rc`.
    let factory = Rc::new(NetstringFactory {
        service,
        state: Rc::clone(state),
        replies: RefCell::default(),
    });
    watched_factory(Rc::new(factory), state)
}

/// Builds the protocol of each connection, and owns what they share.
struct NetstringFactory<S: Service> {
    service: S,
    state: Rc<ServerState>,
    /// The replies of the current turn: only one connection has its turn at a time.
    replies: RefCell<S::Replies>,
}

impl<S: Service> Factory for Rc<NetstringFactory<S>> {
    fn build_protocol(&self, address: &Address) -> Option<Box<dyn Protocol>> {
        let Side::Accepted { serial } = address.side else {
            return None;
        };
        Some(Box::new(NetstringProtocol {
            factory: Rc::clone(self),
            guard: ConnectionGuard::new(&self.state, serial),
            position: 0,
            begun: None,
            unsent: None,
            state: State::Serving,
            peer_finished: false,
            reason: None,
        }))
    }
}

/// One connection. An idle one owns neither a decoder nor a buffer.
struct NetstringProtocol<S: Service> {
    factory: Rc<NetstringFactory<S>>,
    guard: ConnectionGuard,
    /// Bytes of the stream decoded so far, for the positions that framing errors state.
    position: u64,
    begun: Option<Box<Begun<S::Replies>>>,
    unsent: Option<Box<Unsent<S::Replies>>>,
    state: State,
    peer_finished: bool,
    /// Why the connection ends, once that is known.
    reason: Option<CloseReason>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Answering requests.
    Serving,
    /// A heavy request is under way. Nothing is read until it is answered (S25).
    Offloading,
    /// Answering no more; the last replies are being sent.
    Finishing,
    /// Waiting for the peer to finish (S7).
    Lingering(Linger),
}

/// What a connection does after a turn's requests.
enum Next {
    /// Waits for more bytes.
    Read,
    /// Answers the bytes left in its next turn (S24).
    TakeTurns,
    /// Ends: its only request has been answered (S5).
    Close,
}

// ANCHOR: answer_requests
impl<S: Service> NetstringProtocol<S> {
    // ANCHOR: one_read
    /// Answers the requests that `data` completes, at most a turn's (S24), with one write. A panic in the service ends this
    /// connection only (S20).
    fn answer_requests(&mut self, transport: &Transport, data: &[u8]) {
        let factory = Rc::clone(&self.factory);
        let mut replies = factory.replies.borrow_mut();
        let (mut decoder, due) = self.take_decoder();
        let mut frames = decoder.feed(data);
        let mut answered = 0;
        let next = panics::contain(|| factory.answer(&mut frames, &mut replies, &mut answered));
        let consumed = data.len() - frames.rest().len();
        drop(frames);
        self.position = decoder.position();
        self.reply(transport, &mut replies, answered);
        replies.clear();
        match next {
            Ok(Ok(Next::Read)) => self.await_request(transport, &mut decoder, due, answered),
            Ok(Ok(Next::TakeTurns)) => self.end_turn(transport, consumed),
            Ok(Ok(Next::Close)) => self.finish(transport, CloseReason::Done),
            Ok(Err(Unanswered::Heavy(heavy))) => {
                if consumed < data.len() {
                    transport.end_turn_at(consumed);
                }
                self.offload(transport, heavy);
            }
            Ok(Err(Unanswered::Refused(refusal))) => {
                self.guard.on_requests(1);
                self.refuse(transport, refusal);
            }
            Err(message) => {
                self.guard.on_requests(1);
                self.handler_panicked(transport, message);
            }
        }
    }
    // ANCHOR_END: one_read

    /// Counts the requests and sends their replies.
    #[inline]
    fn reply(&mut self, transport: &Transport, replies: &mut S::Replies, answered: u32) {
        if answered > 0 {
            self.guard.on_requests(answered);
            self.send(transport, replies, answered);
        }
    }

    /// Sends the replies. While the kernel does not take all of them, nothing more is read (S5).
    #[inline(always)] // On the hot path once; measured.
    fn send(&mut self, transport: &Transport, replies: &mut S::Replies, answered: u32) {
        let taken = replies.offer(transport, 0);
        self.guard.on_bytes_written(transport, taken);
        match taken == replies.bytes() {
            true => self.guard.on_answered(transport, answered),
            false => self.keep_unsent(transport, replies, taken),
        }
    }
}

// ANCHOR: one_turn
impl<S: Service> NetstringFactory<S> {
    /// Answers the requests in `frames` into `replies`. An `Err` is the request after them: refused (S4) or heavy (S25).
    fn answer(
        &self,
        frames: &mut Frames<'_, '_>,
        replies: &mut S::Replies,
        answered: &mut u32,
    ) -> Result<Next, Unanswered<S::Replies>> {
        let limit = self.state.limits.frame_bytes_max;
        while let Some(request) = frames.next().map_err(Refusal::from)? {
            self.service.answer(request, limit, replies)?;
            *answered += 1;
            if !self.service.keep_alive() {
                return Ok(Next::Close);
            }
            if *answered == REQUESTS_PER_TURN_MAX && !frames.rest().is_empty() {
                return Ok(Next::TakeTurns);
            }
        }
        Ok(Next::Read)
    }
}
// ANCHOR_END: one_turn
// ANCHOR_END: answer_requests

impl<S: Service> NetstringProtocol<S> {
    /// Keeps the bytes after the first `consumed` for the next turn (S24).
    #[cold]
    fn end_turn(&self, transport: &Transport, consumed: usize) {
        transport.end_turn_at(consumed);
        self.set_timeout(transport);
    }

    /// Refuses a request, which is counted.
    #[cold]
    fn refuse(&mut self, transport: &Transport, refusal: Refusal) {
        self.guard.on_refused(transport, refusal);
        self.finish(transport, CloseReason::Refused);
    }

    #[cold]
    fn handler_panicked(&mut self, transport: &Transport, message: String) {
        self.guard.on_panic(transport, message);
        self.finish(transport, CloseReason::Panic);
    }

    /// Answers no more requests. Unsent replies are sent first, then the connection lingers.
    fn finish(&mut self, transport: &Transport, reason: CloseReason) {
        self.reason = Some(reason);
        self.begun = None;
        if transport.is_blocked() {
            self.state = State::Finishing;
            return self.set_timeout(transport);
        }
        self.state = State::Lingering(Linger::begin(transport, &self.guard.state.limits));
        if self.peer_finished {
            transport.lose_connection();
        }
    }

    /// Reads again after all replies have been taken, unless the server is shutting down and nothing is left to answer.
    fn read_on(&mut self, transport: &Transport) {
        if self.guard.state.is_shutting_down() && self.is_idle(transport) {
            return self.finish(transport, CloseReason::Done);
        }
        self.set_timeout(transport);
        transport.resume_producing();
    }

    /// Whether no request has begun or waits for its turn, and no reply waits to be sent.
    fn is_idle(&self, transport: &Transport) -> bool {
        matches!(self.state, State::Serving)
            && self.begun.is_none()
            && !transport.keeps_bytes()
            && !transport.is_blocked()
    }

    fn close_reason(&self, lost: &Lost) -> CloseReason {
        match (lost, self.reason) {
            (Lost::Aborted, Some(CloseReason::Write)) => CloseReason::Write,
            (Lost::Done, Some(reason)) => reason,
            (Lost::Broken(_), Some(reason))
                if matches!(self.state, State::Lingering(_)) && !self.guard.has_unanswered() =>
            {
                reason
            }
            _ => reason_of(lost),
        }
    }
}

impl<S: Service> Protocol for NetstringProtocol<S> {
    fn connection_made(&mut self, transport: &Transport) {
        self.guard.report(transport, Kind::Accepted);
        if self.guard.state.is_shutting_down() {
            return transport.lose_connection();
        }
        transport.set_with_fin(!self.factory.service.keep_alive());
        self.set_timeout(transport);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.guard.on_bytes_read(transport, data.len());
        self.next_turn(transport, data);
    }

    fn next_turn(&mut self, transport: &Transport, data: &[u8]) {
        match &mut self.state {
            State::Serving => self.answer_requests(transport, data),
            State::Offloading | State::Finishing => {}
            State::Lingering(linger) => linger.drain(transport, data.len()),
        }
    }

    /// The kernel has room for unsent replies.
    fn resume_producing(&mut self, transport: &Transport) {
        if !self.send_unsent(transport) {
            return;
        }
        match (self.state, self.reason) {
            (State::Finishing, Some(reason)) => self.finish(transport, reason),
            (State::Offloading, _) => self.defer_heavy(transport),
            (State::Serving, _) => self.read_on(transport),
            _ => {}
        }
    }

    fn woken(&mut self, transport: &Transport) {
        self.send_offloaded(transport);
    }

    /// A peer that has finished gets every reply it is owed (S6).
    fn read_connection_lost(&mut self, transport: &Transport) {
        self.peer_finished = true;
        match self.state {
            State::Serving if self.begun.is_some() => {
                self.guard.on_requests(1);
                self.refuse(transport, Refusal::Truncated);
            }
            State::Serving => self.finish(transport, CloseReason::Done),
            State::Offloading | State::Finishing => {}
            State::Lingering(_) => transport.lose_connection(),
        }
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        if transport.is_blocked() {
            self.reason = Some(CloseReason::Write);
            return transport.abort_connection();
        }
        self.reason = self.reason.or(Some(match self.begun {
            Some(_) => CloseReason::Deadline,
            None => CloseReason::Idle,
        }));
        transport.lose_connection();
    }

    fn shut_down(&mut self, transport: &Transport) {
        if self.is_idle(transport) {
            transport.lose_connection();
        } else {
            self.guard.delay_shutdown();
        }
    }

    fn connection_lost(&mut self, transport: &Transport, lost: Lost) {
        self.forget_offloaded();
        self.guard.on_closed(transport, self.close_reason(&lost));
    }

    fn waits_for(&self, transport: &Transport) -> Wait {
        match self.state {
            State::Offloading if !transport.is_blocked() => Wait::Task,
            _ => transport.waits_for(),
        }
    }
}
