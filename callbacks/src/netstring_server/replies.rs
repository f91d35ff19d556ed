//! The replies of one turn: netstrings that were written one after another, or poems that are shared with the library.

use std::io::IoSlice;
use std::mem;

use poetry::FramedPoem;
use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::netstring::{Whole, frames_within};

use crate::reactor::Transport;

/// Replies of one connection, in order: netstrings, and at least one when they are sent.
pub(crate) trait Replies: Default + Send + 'static {
    /// Returns how many bytes they have.
    fn bytes(&self) -> usize;

    /// Offers what follows the first `taken` bytes to the kernel, in one write; returns how many bytes it took.
    fn offer(&self, transport: &Transport, taken: usize) -> usize;

    /// Finds the replies that end within the first `taken` bytes. The first `counted` bytes are whole replies, and do not
    /// count.
    fn whole(&self, counted: usize, taken: usize) -> Whole;

    /// Returns the replies of this turn, to be kept until the kernel has taken them.
    fn keep(&mut self) -> Self;

    /// Forgets the replies.
    fn clear(&mut self);
}

impl Replies for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }

    #[inline]
    fn offer(&self, transport: &Transport, taken: usize) -> usize {
        transport.offer(&self[taken..])
    }

    fn whole(&self, counted: usize, taken: usize) -> Whole {
        frames_within(&self[counted..], taken - counted)
    }

    /// A copy: the buffer itself stays with the server, for the next turn.
    fn keep(&mut self) -> Self {
        self.clone()
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl Replies for Vec<FramedPoem> {
    fn bytes(&self) -> usize {
        self.iter().map(wire_bytes).sum()
    }

    /// Writes from the library's bytes: no reply is copied, whatever its connection is owed.
    fn offer(&self, transport: &Transport, taken: usize) -> usize {
        let mut pieces = [IoSlice::new(&[]); REQUESTS_PER_TURN_MAX as usize];
        let mut taken = taken;
        for (piece, poem) in pieces.iter_mut().zip(self) {
            let (_, unsent) = poem.as_bytes().split_at(taken.min(wire_bytes(poem)));
            taken -= wire_bytes(poem) - unsent.len();
            *piece = IoSlice::new(unsent);
        }
        transport.offer_all(&pieces[..self.len()])
    }

    fn whole(&self, counted: usize, taken: usize) -> Whole {
        let mut whole = Whole::default();
        let mut end = 0;
        for poem in self {
            end += wire_bytes(poem);
            if end > taken {
                break;
            }
            if end > counted {
                whole.frames += 1;
                whole.bytes += wire_bytes(poem);
            }
        }
        whole
    }

    fn keep(&mut self) -> Self {
        mem::take(self)
    }

    fn clear(&mut self) {
        self.clear();
    }
}

fn wire_bytes(poem: &FramedPoem) -> usize {
    poem.as_bytes().len()
}
