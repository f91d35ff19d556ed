//! Read buffers: small ones for connections that wait, large ones to borrow.
//!
//! A thread blocked in `recv` holds its buffer whether anything arrives or not. Ten thousand idle connections must not
//! hold ten thousand large ones.

use std::sync::{Mutex, PoisonError};

use poetry::limits::READ_BUFFER_BYTES;

/// Bytes in the buffer of a connection that waits: most poems fit. It is on the heap, where it costs only its own size; on
/// the stack it would cost whole pages, for as long as the thread lives.
pub(crate) const SMALL_BYTES: usize = 5 << 8;
/// Large buffers kept for the next connection that needs one; further ones are freed.
const SPARE_MAX: usize = 16;

/// The large buffers that the connections of one server or client share.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
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

    /// The list is consistent after every statement, so a poisoned lock does no harm.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The read buffer of one connection.
#[derive(Debug)]
pub(crate) struct ReadBuffer<'b> {
    small: Box<[u8]>,
    large: Option<Box<[u8]>>,
    buffers: &'b Buffers,
}

impl<'b> ReadBuffer<'b> {
    /// Creates a small buffer that may borrow a large one from `buffers`.
    pub(crate) fn new(buffers: &'b Buffers) -> Self {
        Self {
            small: vec![0; SMALL_BYTES].into_boxed_slice(),
            large: None,
            buffers,
        }
    }

    /// Creates another one.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.buffers)
    }

    /// Returns the space for the next read.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.large.as_deref_mut().unwrap_or(&mut self.small)
    }

    /// Returns the first `length` bytes of what was read.
    #[inline]
    pub(crate) fn filled(&self, length: usize) -> &[u8] {
        &self.large.as_deref().unwrap_or(&self.small)[..length]
    }

    /// Borrows a large buffer, so that the next read may bring [`READ_BUFFER_BYTES`].
    pub(crate) fn grow(&mut self) {
        if self.large.is_none() {
            self.large = Some(self.buffers.take());
        }
    }

    /// After a read of `length` bytes that filled the small buffer, moves them to a large one and returns the space after them,
    /// since more is likely to have arrived. Returns `None` after any other read.
    #[inline]
    pub(crate) fn space_after(&mut self, length: usize) -> Option<&mut [u8]> {
        if length < self.small.len() || self.large.is_some() {
            return None;
        }
        let large = self.large.insert(self.buffers.take());
        large[..length].copy_from_slice(&self.small);
        Some(&mut large[length..])
    }

    /// Grows if a read of `length` bytes filled the buffer, since more is then likely to follow; shrinks if not.
    #[inline]
    pub(crate) fn adapt(&mut self, length: usize) {
        if length == self.space().len() {
            self.grow();
        } else {
            self.shrink();
        }
    }

    /// Returns the large buffer, if one is borrowed.
    #[inline]
    pub(crate) fn shrink(&mut self) {
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
    /// Poisons the lock, as a panic of a thread that holds it would.
    pub(crate) fn poison(&self) {
        let poisoned = poetry::panics::contain(|| {
            let _spare = self.spare.lock();
            panic!("while the list is locked")
        });
        assert!(poisoned == Err::<(), _>("while the list is locked".to_owned()));
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
    fn no_more_than_the_spare_large_buffers_are_kept() {
        let buffers = Buffers::default();
        let mut all: Vec<_> = (0..2 * SPARE_MAX)
            .map(|_| ReadBuffer::new(&buffers))
            .collect();
        all.iter_mut().for_each(ReadBuffer::grow);
        drop(all);
        assert_eq!(buffers.lock().len(), SPARE_MAX);
    }
}
