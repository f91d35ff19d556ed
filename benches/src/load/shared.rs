//! What all connections of the generator share: the exchanges as bytes, the requests left, the read buffer and the records.

use fastrand::Rng;

use super::clock::Clock;
use super::recorder::Recorder;
use super::{Extent, Leave, Ledger, LoadError, Plan};

/// Size of the read buffer.
const BUFFER_BYTES: usize = 256 << 10;

/// The state that all connections share.
pub(super) struct Shared {
    /// The exchange, and the mix's other one.
    pub(super) wires: Vec<Wire>,
    /// The share of the other one, from 0 to 1.
    share: f64,
    leave: Option<Leave>,
    rng: Rng,
    pub(super) buffer: Box<[u8]>,
    pub(super) keep_alive: bool,
    /// Whether requests come due by themselves, so that a connection with all its replies is free.
    pub(super) is_open_loop: bool,
    pub(super) depth: usize,
    /// When the requests in flight began, for each slot a ring of `depth`.
    pub(super) begun: Vec<u64>,
    pub(super) clock: Clock,
    /// When the events that are being handled were received.
    pub(super) received_at: u64,
    /// Requests that may still be sent.
    pub(super) left: u64,
    /// Open connections that wait for a first byte, or for being made if they owe nothing.
    pub(super) pending: usize,
    pub(super) ledger: Ledger,
    pub(super) recorder: Recorder,
}

/// An exchange as bytes.
pub(super) struct Wire {
    /// The request, repeated, so that unsent bytes are one slice wherever the last write ended.
    pub(super) requests: Vec<u8>,
    pub(super) request_len: usize,
    /// The reply, repeated, so that received bytes are compared as one slice wherever the last read ended.
    pub(super) replies: Vec<u8>,
    pub(super) reply_len: usize,
}

impl Wire {
    /// Whether nothing is sent, and the reply ends with FIN.
    pub(super) fn is_unframed(&self) -> bool {
        self.request_len == 0
    }
}

impl Shared {
    pub(super) fn new(plan: &Plan) -> Result<Self, LoadError> {
        let wires = plan.exchanges().map(|exchange| Wire {
            requests: exchange.request.repeat(plan.depth + 1),
            request_len: exchange.request.len(),
            replies: exchange.reply.repeat(plan.depth + 1),
            reply_len: exchange.reply.len(),
        });
        Ok(Self {
            wires: wires.collect(),
            share: plan.mix.as_ref().map_or(0.0, |mix| mix.share),
            leave: plan.leave,
            rng: Rng::with_seed(plan.seed),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            keep_alive: plan.keep_alive,
            is_open_loop: plan.is_open(),
            depth: plan.depth,
            begun: vec![0; plan.connections * plan.depth],
            clock: Clock::start(),
            received_at: 0,
            left: match plan.extent {
                Extent::For { .. } => u64::MAX,
                Extent::Requests(requests) => requests,
            },
            pending: 0,
            ledger: Ledger::default(),
            recorder: Recorder::new(plan)?,
        })
    }

    /// Takes up to `wanted` of the requests left.
    #[inline]
    pub(super) fn take(&mut self, wanted: usize) -> usize {
        let taken = self.left.min(wanted as u64);
        self.left -= taken;
        taken as usize
    }

    /// Chooses the exchange of the next request.
    #[inline]
    pub(super) fn choose_kind(&mut self) -> usize {
        match self.share > 0.0 {
            true => usize::from(self.rng.f64() < self.share),
            false => 0,
        }
    }

    /// Chooses after how many bytes of its reply the next client leaves, if it does.
    #[inline]
    pub(super) fn choose_leaving(&mut self) -> Option<usize> {
        let leave = self.leave?;
        (self.rng.f64() < leave.share).then_some(leave.after)
    }

    /// Returns the error of the first wrong byte among `bytes` received, which belong at `at` of a reply of `kind`.
    #[cold]
    pub(super) fn wrong_byte(&self, kind: usize, at: usize, bytes: usize) -> LoadError {
        let wire = &self.wires[kind];
        let expected = &wire.replies[at..at + bytes];
        let wrong = expected
            .iter()
            .zip(&self.buffer[..bytes])
            .position(|(expected, found)| expected != found)
            .unwrap_or(0);
        LoadError::WrongByte {
            reply: self.ledger.answered + ((at + wrong) / wire.reply_len) as u64,
            at: (at + wrong) % wire.reply_len,
            expected: expected[wrong],
            found: self.buffer[wrong],
        }
    }
}
