//! What reads go into: something small while nothing is going on, a whole read buffer while much is.
//!
//! A thread that waits in `recv` has to hold its buffer out before it knows whether anything will come. Ten thousand
//! idle connections must not hold out ten thousand large ones.

use std::sync::{Mutex, PoisonError};

use poetry::limits::READ_BUFFER_BYTES;

/// What a connection waits with: most poems fit. It is on the heap, where it costs its own size; on the stack it would
/// cost the page it reaches into, as long as the thread lives.
pub const SMALL_BYTES: usize = 5 << 8;
/// Large buffers that are kept for the next connection in need of one; more are given back to the system.
const SPARE_MAX: usize = 16;

/// The large buffers that the connections of one server or client share.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    fn take(&self) -> Box<[u8]> {
        let spare = self.lock().pop();
        spare.unwrap_or_else(|| vec![0; READ_BUFFER_BYTES].into_boxed_slice())
    }

    fn give_back(&self, buffer: Box<[u8]>) {
        let mut spare = self.lock();
        if spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    }

    /// Whole buffers lie in it after every statement, so a lock poisoned elsewhere is no harm.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's read buffer.
#[derive(Debug)]
pub struct ReadBuffer<'b> {
    small: Box<[u8]>,
    large: Option<Box<[u8]>>,
    buffers: &'b Buffers,
}

impl<'b> ReadBuffer<'b> {
    /// A small one, that may borrow a large one from `buffers`.
    pub fn new(buffers: &'b Buffers) -> Self {
        Self {
            small: vec![0; SMALL_BYTES].into_boxed_slice(),
            large: None,
            buffers,
        }
    }

    /// Where the next read goes.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        self.large.as_deref_mut().unwrap_or(&mut self.small)
    }

    /// The first `length` bytes of what was read.
    #[inline]
    pub fn filled(&self, length: usize) -> &[u8] {
        &self.large.as_deref().unwrap_or(&self.small)[..length]
    }

    /// More is to come: the next read may be of [`READ_BUFFER_BYTES`].
    pub fn grow(&mut self) {
        if self.large.is_none() {
            self.large = Some(self.buffers.take());
        }
    }

    /// A read brought `length` bytes: if that was all there was room for, more is to come.
    #[inline]
    pub fn adapt(&mut self, length: usize) {
        if length == self.space().len() {
            self.grow();
        } else {
            self.shrink();
        }
    }

    /// Nothing more is expected for now.
    #[inline]
    pub fn shrink(&mut self) {
        if let Some(large) = self.large.take() {
            self.buffers.give_back(large);
        }
    }
}

impl Drop for ReadBuffer<'_> {
    fn drop(&mut self) {
        self.shrink();
    }
}

#[cfg(test)]
impl Buffers {
    /// Poisons the lock, as a panic of a thread that held it would.
    pub(crate) fn poison(&self) {
        let poisoned = poetry::panics::contain(|| {
            let _spare = self.spare.lock();
            panic!("with a buffer in hand")
        });
        assert!(poisoned == Err::<(), _>("with a buffer in hand".to_owned()));
        assert!(self.spare.is_poisoned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_while_reads_fill_it_and_shrinks_when_they_do_not() {
        let buffers = Buffers::default();
        let mut buffer = ReadBuffer::new(&buffers);
        buffer.adapt(SMALL_BYTES);
        assert_eq!(buffer.space().len(), READ_BUFFER_BYTES);
        buffer.adapt(READ_BUFFER_BYTES);
        assert_eq!(buffer.space().len(), READ_BUFFER_BYTES);
        buffer.adapt(10);
        assert_eq!(buffer.space().len(), SMALL_BYTES);
        assert_eq!(buffers.lock().len(), 1);
    }

    #[test]
    fn no_more_large_buffers_are_kept_than_may_be_spare() {
        let buffers = Buffers::default();
        let mut all: Vec<_> = (0..2 * SPARE_MAX)
            .map(|_| ReadBuffer::new(&buffers))
            .collect();
        all.iter_mut().for_each(ReadBuffer::grow);
        drop(all);
        assert_eq!(buffers.lock().len(), SPARE_MAX);
    }
}
