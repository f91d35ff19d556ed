//! What goes out to a peer: replies to requests that arrived together, and bytes that a write takes in several calls.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use poetry::library::FramedPoem;
use poetry::limits::{READ_BUFFER_BYTES, REQUESTS_PER_TURN_MAX};
use poetry::netstring::frames_within;
use tokio::io::AsyncWrite;

/// Bytes to write, in one place or in several.
pub(crate) trait Outgoing {
    /// The number of bytes.
    fn len(&self) -> usize;

    /// Writes once, from byte `taken` on. Returns the number of bytes that the kernel took.
    fn poll_write_from(
        &self,
        taken: usize,
        socket: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;
}

impl Outgoing for [u8] {
    #[inline]
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    #[inline]
    fn poll_write_from(
        &self,
        taken: usize,
        socket: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        socket.poll_write(cx, &self[taken..])
    }
}

/// Replies to requests that arrived together, in order.
pub(crate) trait Replies: Outgoing + Default + Send + 'static {
    /// The number of replies.
    fn count(&self) -> u32;

    /// The number of replies that end within the first `taken` bytes.
    fn whole_within(&self, taken: usize) -> u32;

    /// The thread's spare buffer for replies of this kind.
    fn spare() -> &'static LocalKey<Cell<Option<Box<Self>>>>;

    /// Forgets the replies. Returns whether the memory is worth keeping.
    fn clear(&mut self) -> bool;
}

/// Replies made for their requests, one after another, as netstrings.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
}

/// The capacity up to which a buffer is kept. One that has grown larger for a long poem is freed.
const SPARE_BYTES_MAX: usize = 4 * READ_BUFFER_BYTES;

thread_local! {
    static MADE: Cell<Option<Box<Made>>> = const { Cell::new(None) };
    static FOUND: Cell<Option<Box<Found>>> = const { Cell::new(None) };
}

impl Outgoing for Made {
    #[inline]
    fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn poll_write_from(
        &self,
        taken: usize,
        socket: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.bytes.poll_write_from(taken, socket, cx)
    }
}

impl Replies for Made {
    #[inline]
    fn count(&self) -> u32 {
        self.count
    }

    fn whole_within(&self, taken: usize) -> u32 {
        frames_within(&self.bytes, taken).frames as u32
    }

    fn spare() -> &'static LocalKey<Cell<Option<Box<Self>>>> {
        &MADE
    }

    #[inline]
    fn clear(&mut self) -> bool {
        self.bytes.clear();
        self.count = 0;
        self.bytes.capacity() <= SPARE_BYTES_MAX
    }
}

/// Replies found in a library. They share its bytes: a reply that waits for its peer to read costs a pointer.
#[derive(Debug, Default)]
pub(crate) struct Found {
    poems: Vec<FramedPoem>,
    len: usize,
}

impl Found {
    /// Appends a reply.
    pub(crate) fn push(&mut self, poem: FramedPoem) {
        self.len = self.len.saturating_add(poem.as_bytes().len());
        self.poems.push(poem);
    }
}

#[cfg(test)]
impl Found {
    pub(crate) fn poems(&self) -> &[FramedPoem] {
        &self.poems
    }
}

impl Outgoing for Found {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    /// Several replies are one write.
    #[inline]
    fn poll_write_from(
        &self,
        taken: usize,
        socket: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match &self.poems[..] {
            [poem] => poem.as_bytes().poll_write_from(taken, socket, cx),
            poems => poll_write_several(poems, taken, socket, cx),
        }
    }
}

fn poll_write_several(
    poems: &[FramedPoem],
    mut taken: usize,
    socket: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); REQUESTS_PER_TURN_MAX as usize];
    let mut count = 0;
    let unsent = poems.iter().filter_map(|poem| {
        let bytes = poem.as_bytes();
        let skipped = taken.min(bytes.len());
        taken -= skipped;
        Some(&bytes[skipped..]).filter(|bytes| !bytes.is_empty())
    });
    for (slice, bytes) in slices.iter_mut().zip(unsent) {
        *slice = IoSlice::new(bytes);
        count += 1;
    }
    socket.poll_write_vectored(cx, &slices[..count])
}

impl Replies for Found {
    #[inline]
    fn count(&self) -> u32 {
        self.poems.len() as u32
    }

    fn whole_within(&self, taken: usize) -> u32 {
        let ends = self.poems.iter().scan(0_usize, |end, poem| {
            *end = end.saturating_add(poem.as_bytes().len());
            Some(*end)
        });
        ends.take_while(|&end| end <= taken).count() as u32
    }

    fn spare() -> &'static LocalKey<Cell<Option<Box<Self>>>> {
        &FOUND
    }

    #[inline]
    fn clear(&mut self) -> bool {
        self.poems.clear();
        self.len = 0;
        true
    }
}
