//! The replies that a peer is owed for the bytes that the server has read.

use poetry::Service;

use crate::plan::POEMS;
use crate::wire::{self, End};

/// What a server owes for some bytes.
pub(super) struct Owed {
    /// The replies, as netstrings, in order.
    pub(super) replies: Vec<Vec<u8>>,
    /// For each reply, the number of bytes up to the end of its request.
    pub(super) ends: Vec<usize>,
    /// What ends the connection after them, if something does.
    pub(super) stopper: Option<Stopper>,
    /// What follows the last whole request, if nothing has ended the connection before.
    pub(super) tail: End,
}

/// What ends a connection after its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopper {
    /// A request that is refused, for this reason (S4).
    Refused(&'static str),
    /// A request whose handler panics (S20).
    Panics,
    /// The one reply of a connection with one (S5).
    OneShot,
}

impl Owed {
    /// Returns what is owed for the bytes `read`.
    pub(super) fn new(service: &Service, limit: usize, keeps_alive: bool, read: &[u8]) -> Self {
        let mut frames = Vec::new();
        let tail = wire::frames(read, limit, &mut frames);
        let mut owed = Self {
            replies: Vec::new(),
            ends: Vec::new(),
            stopper: None,
            tail,
        };
        for frame in frames {
            match reply(service, &read[frame.clone()], limit) {
                Ok(reply) => {
                    owed.replies.push(reply);
                    owed.ends.push(frame.end + 1);
                    owed.stopper = (!keeps_alive).then_some(Stopper::OneShot);
                }
                Err(stopper) => owed.stopper = Some(stopper),
            }
            if owed.stopper.is_some() {
                return owed;
            }
        }
        if let End::Flawed(..) = tail {
            owed.stopper = Some(Stopper::Refused("framing"));
        }
        owed
    }

    /// Returns the bytes of all replies.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.replies.concat()
    }

    /// Returns the number of replies that `taken` bytes hold whole, and whether nothing follows the last of them.
    pub(super) fn whole_within(&self, taken: usize) -> (usize, bool) {
        let mut end = 0;
        let whole = self.replies.iter().take_while(|reply| {
            let is_whole = end + reply.len() <= taken;
            end += if is_whole { reply.len() } else { 0 };
            is_whole
        });
        let count = whole.count();
        (count, end == taken)
    }
}

fn reply(service: &Service, frame: &[u8], limit: usize) -> Result<Vec<u8>, Stopper> {
    let payload = match service {
        Service::Transform(service) => {
            if service.lab.is_some() && frame.starts_with(b"crash.") {
                return Err(Stopper::Panics);
            }
            wire::transformed(frame, limit)
        }
        _ => find(frame, limit),
    };
    let payload = payload.map_err(Stopper::Refused)?;
    let mut reply = Vec::new();
    wire::netstring(payload.as_bytes(), &mut reply);
    Ok(reply)
}

fn find(name: &[u8], limit: usize) -> Result<String, &'static str> {
    let poem = POEMS.iter().find(|(known, _)| known.as_bytes() == name);
    match poem {
        Some((_, text)) if text.len() > limit => Err("reply_too_long"),
        Some((_, text)) => Ok((*text).to_owned()),
        None if wire::is_poem_name(name) => Err("unknown_poem"),
        None => Err("bad_poem_name"),
    }
}
