//! The connections of the servers that answer framed requests: a process for each, which answers one request, or with
//! keep-alive any number (S3–S8). In OTP this would be a behaviour, and `transform_server` and `library_server` its callback
//! modules, which answer one request. A request goes through `data`, `answer_requests`, `deliver` and `after_delivery`.

mod ending;
mod offloading;

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Wait;
use poetry::limits::OFFLOADED_MAX;
use poetry::netstring::Decoder;
use poetry::{CloseReason, Refusal, Unanswered};

use crate::ledger::{ConnectionContext, Ledger};
use crate::linger::Linger;
use crate::listener::Protocol;
use crate::monitor::Reason;
use crate::port::{Kept, Stream, Tcp, TcpEvent};
use crate::process::{Me, Next, Process, Received, Turn};
use crate::replies::{Batch, Replies};
use crate::supervisor::Spec;
use crate::workers::{self, Offloaded, Offloading};

/// The part of a server that differs: how it answers one request.
pub(crate) trait Answers: Send + Sync + 'static {
    /// The replies to the requests of one turn.
    type Replies: Batch;

    /// Returns whether a connection may send more than one request (S5).
    fn keep_alive(&self) -> bool;

    /// Returns whether heavy requests are left to workers (S25).
    fn offloads(&self) -> bool {
        false
    }

    /// Answers the request in `frame`: appends the reply to `replies`.
    ///
    /// # Errors
    /// Returns why the request is not answered here (S4, S25). `replies` is then unchanged, as it is when this panics (S20).
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Self::Replies,
    ) -> Result<(), Unanswered<Self::Replies>>;
}

impl<A: Answers> Protocol for Arc<A> {
    type Connection<S: Stream> = Connection<S, A>;

    fn connection<S: Stream>(&self, ledger: Ledger) -> Connection<S, A> {
        Connection {
            decoder: Decoder::new(ledger.limits().frame_bytes_max),
            service: Arc::clone(self),
            ledger,
            phase: Phase::Open,
            replies: Replies::default(),
            answering: false,
            begun: None,
            peer_finished: false,
            draining: false,
            stream: PhantomData,
        }
    }

    fn arbiters(&self) -> usize {
        if self.offloads() { OFFLOADED_MAX } else { 0 }
    }

    fn shared(&self, _: &Arc<ConnectionContext>) -> Vec<Spec> {
        let workers = self.offloads().then(workers::spec::<A::Replies>);
        workers.into_iter().collect()
    }
}

/// The state of one connection.
pub(crate) struct Connection<S, A: Answers> {
    service: Arc<A>,
    ledger: Ledger,
    decoder: Decoder,
    phase: Phase<A::Replies>,
    replies: Replies<A::Replies>,
    /// Whether a request is being answered. If that panics, this request has failed.
    answering: bool,
    /// When the first byte of an incomplete request arrived (S18).
    begun: Option<Duration>,
    peer_finished: bool,
    /// Whether the server is shutting down: requests in flight are finished, and no other is begun (S21).
    draining: bool,
    stream: PhantomData<fn() -> S>,
}

enum Phase<B> {
    /// Requests are read and answered.
    Open,
    /// A heavy request is under way. Nothing is read until it is answered (S25).
    Offloading(Box<Offloading<B>>),
    /// Nothing more is answered; the connection closes once its replies are delivered.
    Closing(CloseReason),
    /// FIN is sent, and the peer's input is read and discarded (S7).
    Lingering(CloseReason, Linger),
}

impl<S: Stream, A: Answers> Process for Connection<S, A> {
    type Message = Offloaded<A::Replies>;
    type Port = Tcp<S>;
    /// Room for the answer of a worker.
    const MAILBOX: usize = 1;
    const REPORTS_CRASHES: bool = true;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        me.port.read_at_once();
        if !self.service.keep_alive() {
            me.port.send_with_fin();
        }
        me.after(self.ledger.limits().idle_timeout);
        Next::Receive
    }

    #[inline]
    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(TcpEvent::Data(bytes)) => self.data(bytes, me),
            Received::Port(TcpEvent::Kept(kept)) => self.kept(kept, me),
            Received::Port(TcpEvent::Writable) => {
                let written = self.replies.write_more(&self.ledger, me);
                self.on_written(written, me)
            }
            Received::Port(TcpEvent::Closed | TcpEvent::Error(_)) | Received::Timeout
                if matches!(self.phase, Phase::Lingering(..)) =>
            {
                Next::Exit(Reason::Normal)
            }
            Received::Port(TcpEvent::Closed) => self.peer_finished(me),
            Received::Port(TcpEvent::Error(_)) => self.close(CloseReason::Reset),
            Received::Port(TcpEvent::Looked { found }) => self.looked(found, me),
            Received::Timeout => self.time_out(me),
            Received::Exit(exit) => self.shut_down(exit.reason, me),
            Received::Down(_) => self.offloaded(Err(workers::GONE.to_owned()), me),
            Received::Message(Offloaded(answer)) => self.offloaded(answer, me),
        }
    }

    #[inline]
    fn trace(&self, turn: Turn, _: u32) {
        self.ledger.trace(turn, || match self.phase {
            Phase::Offloading(_) => Wait::Task,
            _ if !self.replies.is_empty() => Wait::Write,
            _ => Wait::Read,
        });
    }

    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        if let Reason::Crash(message) = reason {
            return self.hand_over(message, me);
        }
        if self.is_cut_off(reason, me) {
            me.port.reset();
        }
        let offloaded = matches!(self.phase, Phase::Offloading(_));
        self.ledger
            .failed(self.replies.owed() + u64::from(offloaded));
        self.ledger.closed(match (reason, &self.phase) {
            (Reason::Killed, _) => CloseReason::Cut,
            (_, Phase::Closing(reason) | Phase::Lingering(reason, _)) => *reason,
            (_, Phase::Open | Phase::Offloading(_)) => CloseReason::Done,
        });
    }
}

impl<S: Stream, A: Answers> Connection<S, A> {
    #[inline]
    fn data(&mut self, bytes: &[u8], me: &mut Me<'_, Self>) -> Next {
        self.ledger.read(bytes.len());
        match &mut self.phase {
            Phase::Open => {
                let rest = self.answer_requests(bytes, me);
                if !rest.is_empty() {
                    me.port.keep(Kept::new(rest));
                }
                self.deliver(me)
            }
            Phase::Offloading(_) | Phase::Closing(_) => Next::Receive,
            Phase::Lingering(_, linger) => linger.drain(bytes.len()),
        }
    }

    /// Answers requests that an earlier turn has read and not answered (S24).
    #[cold]
    fn kept(&mut self, mut kept: Box<Kept>, me: &mut Me<'_, Self>) -> Next {
        let rest = self.answer_requests(kept.bytes(), me).len();
        if rest > 0 {
            kept.keep_last(rest);
            me.port.keep(kept);
        }
        self.deliver(me)
    }

    // ANCHOR: answer_requests
    // ANCHOR: one_turn
    /// Answers the complete requests in `bytes`: as many as this turn permits (S24), in one-shot only the first, and none
    /// after one that is refused. Returns the bytes left for the next turn.
    #[inline]
    fn answer_requests<'b>(&mut self, bytes: &'b [u8], me: &mut Me<'_, Self>) -> &'b [u8] {
        let frame_bytes_max = self.ledger.limits().frame_bytes_max;
        let (mut requests, requests_max) = (0, me.turn_left());
        self.replies.begin(me);
        let mut frames = self.decoder.feed(bytes);
        while requests < requests_max {
            let answered = match frames.next() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.ledger.request();
                    self.begun = None;
                    self.answering = true;
                    let replies = self.replies.batch();
                    self.service.answer(frame, frame_bytes_max, replies)
                }
                Err(error) => {
                    self.ledger.request();
                    Err(Refusal::from(error).into())
                }
            };
            self.answering = false;
            requests += 1;
            match answered {
                Ok(()) => self.replies.add(),
                Err(unanswered) => {
                    let rest = frames.rest();
                    drop(frames);
                    me.use_turn(requests);
                    return self.leave(unanswered, rest);
                }
            }
            if !self.service.keep_alive() {
                self.phase = Phase::Closing(CloseReason::Done);
                return &[];
            }
        }
        let rest = frames.rest();
        drop(frames);
        me.use_turn(requests);
        if self.decoder.is_mid_frame() {
            self.begun.get_or_insert(me.now());
        }
        rest
    }
    // ANCHOR_END: one_turn

    /// The request before `rest` is not answered here. Returns the bytes left for the next turn.
    #[cold]
    fn leave<'b>(&mut self, unanswered: Unanswered<A::Replies>, rest: &'b [u8]) -> &'b [u8] {
        match unanswered {
            Unanswered::Refused(refusal) => {
                self.ledger.refused(refusal);
                self.phase = Phase::Closing(CloseReason::Refused);
                &[]
            }
            Unanswered::Heavy(heavy) => {
                self.phase = Phase::Offloading(Offloading::new(heavy));
                rest
            }
        }
    }
    // ANCHOR_END: answer_requests

    /// Writes the replies at once. If the peer does not take them all, nothing is read until it has (S5).
    #[inline]
    fn deliver(&mut self, me: &mut Me<'_, Self>) -> Next {
        match self.replies.write_new(&self.ledger, me) {
            Ok(()) => self.after_delivery(me),
            Err(_) => self.close(CloseReason::Reset),
        }
    }

    /// Waits for the next request, or closes, once every reply is delivered.
    #[inline]
    fn after_delivery(&mut self, me: &mut Me<'_, Self>) -> Next {
        if !self.replies.is_empty() {
            return Next::Receive;
        }
        match self.phase {
            Phase::Closing(reason) => self.linger(reason, me),
            Phase::Open if self.draining && !self.is_in_flight(me) => {
                self.linger(CloseReason::Done, me)
            }
            Phase::Open => {
                let limits = self.ledger.limits();
                match self.begun {
                    Some(begun) => me.until(begun.saturating_add(limits.request_deadline)),
                    None if me.port.has_kept() => me.forever(),
                    None => me.after(limits.idle_timeout),
                }
                Next::Receive
            }
            Phase::Offloading(_) => self.offload(me),
            Phase::Lingering(..) => Next::Receive,
        }
    }

    /// Returns whether a request is partly read, kept for the next turn, computed elsewhere, or not delivered (S21).
    fn is_in_flight(&self, me: &Me<'_, Self>) -> bool {
        self.begun.is_some()
            || me.port.has_kept()
            || !self.replies.is_empty()
            || matches!(self.phase, Phase::Offloading(_))
    }

    /// Returns whether the connection ends for `reason` with something owed to its peer, so that it must be reset (S21).
    fn is_cut_off(&self, reason: &Reason, me: &Me<'_, Self>) -> bool {
        match (reason, &self.phase) {
            (_, Phase::Lingering(..)) => false,
            (_, Phase::Closing(CloseReason::Write)) => true,
            (Reason::Killed, _) => self.is_in_flight(me),
            _ => false,
        }
    }

    /// The kernel took more of the replies, or the connection broke.
    fn on_written(&mut self, written: io::Result<usize>, me: &mut Me<'_, Self>) -> Next {
        if written.is_err() {
            return self.close(CloseReason::Reset);
        }
        if self.replies.is_empty() {
            me.port.set_active(!self.peer_finished);
        }
        self.after_delivery(me)
    }

    fn linger(&mut self, reason: CloseReason, me: &mut Me<'_, Self>) -> Next {
        self.decoder.close();
        if self.peer_finished {
            return self.close(reason);
        }
        self.phase = Phase::Lingering(reason, Linger::start(self.ledger.limits(), me));
        Next::Receive
    }
}
