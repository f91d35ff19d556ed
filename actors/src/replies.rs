//! A connection's replies on their way to the peer: one write at once, and the rest as the peer takes it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use poetry::FramedPoem;
use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::netstring::{Whole, frames_within};

use crate::ledger::Ledger;
use crate::port::{IoData, Stream, Tcp};
use crate::process::{Me, Process};

/// Replies that the kernel has not taken completely. While there are any, nothing is read (S5).
#[derive(Default)]
pub(crate) struct Replies<B> {
    unsent: B,
    /// How many bytes of the first reply the kernel has taken.
    taken: usize,
    /// The number of requests these replies answer.
    owed: u64,
}

/// The replies to the requests of one turn.
pub(crate) trait Batch: Default + Send + 'static {
    /// Returns the bytes of all replies.
    fn bytes(&self) -> usize;

    /// Calls `write` with the bytes from `from` on.
    fn write_from<T>(&self, from: usize, write: impl FnOnce(IoData<'_>) -> T) -> T;

    /// Removes the replies that end within the first `taken` bytes.
    fn remove_whole(&mut self, taken: usize) -> Whole;

    /// Borrows an empty batch for the replies of one turn.
    fn borrow<P: Process>(me: &mut Me<'_, P>) -> Self;

    /// Takes the replies out of a borrowed batch, to keep them beyond the turn.
    fn keep(&mut self) -> Self;

    /// Returns a borrowed batch.
    fn give_back<P: Process>(self, me: &mut Me<'_, P>);
}

impl<B: Batch> Replies<B> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.bytes() == 0
    }

    /// Returns the number of requests whose replies are not delivered.
    pub(crate) fn owed(&self) -> u64 {
        self.owed
    }

    /// Borrows a batch for new replies. Nothing must be left unsent.
    #[inline]
    pub(crate) fn begin<P: Process>(&mut self, me: &mut Me<'_, P>) {
        self.unsent = B::borrow(me);
    }

    /// Returns the batch to which replies are appended.
    #[inline]
    pub(crate) fn batch(&mut self) -> &mut B {
        &mut self.unsent
    }

    /// Takes one reply that was made elsewhere. Nothing must be left unsent.
    pub(crate) fn put(&mut self, reply: B) {
        self.unsent = reply;
        self.add();
    }

    /// Counts one reply in the batch.
    #[inline]
    pub(crate) fn add(&mut self) {
        self.owed += 1;
    }

    /// Writes the new replies with one call. The rest waits until the peer takes it, and the port stops reading.
    ///
    /// # Errors
    /// The connection broke.
    #[inline(always)] // On the hot path once; measured.
    pub(crate) fn write_new<S, P>(&mut self, ledger: &Ledger, me: &mut Me<'_, P>) -> io::Result<()>
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        // Taken out, so that a panic in the write leaves no borrowed batch in this connection.
        let mut replies = std::mem::take(&mut self.unsent);
        let bytes = replies.bytes();
        if bytes > 0 {
            let taken = replies.write_from(0, |replies| me.port.write(replies))?;
            if taken < bytes {
                self.unsent = replies.keep();
                me.port.set_active(false);
                me.after(ledger.limits().write_timeout);
                self.on_part_written(taken, ledger);
            } else {
                ledger.wrote(taken);
                ledger.answered(std::mem::take(&mut self.owed));
            }
        }
        replies.give_back(me);
        Ok(())
    }

    /// Writes more after the port has announced room. Returns the number of bytes the kernel took.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn write_more<S, P>(
        &mut self,
        ledger: &Ledger,
        me: &mut Me<'_, P>,
    ) -> io::Result<usize>
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        let write = |rest: IoData<'_>| me.port.write(rest);
        let taken = self.unsent.write_from(self.taken, write)?;
        self.on_bytes_written(taken, ledger, me);
        Ok(taken)
    }

    /// Writes more when the write timeout is over, into room that was not announced. Returns the number of bytes the kernel
    /// took; 0 means that the peer has taken none since the last write (S18).
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn write_unannounced<S, P>(
        &mut self,
        ledger: &Ledger,
        me: &mut Me<'_, P>,
    ) -> io::Result<usize>
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        let write = |rest: IoData<'_>| me.port.write_unannounced(rest);
        let taken = self.unsent.write_from(self.taken, write)?;
        self.on_bytes_written(taken, ledger, me);
        Ok(taken)
    }

    /// Counts the bytes that the kernel took of the unsent replies, and gives the peer time for the rest.
    fn on_bytes_written<P: Process>(&mut self, taken: usize, ledger: &Ledger, me: &mut Me<'_, P>) {
        if taken > 0 {
            me.after(ledger.limits().write_timeout);
        }
        if self.taken + taken == self.unsent.bytes() {
            let owed = std::mem::take(self).owed;
            ledger.wrote(taken);
            ledger.answered(owed);
        } else {
            self.on_part_written(taken, ledger);
        }
    }

    /// Removes the replies that the kernel took completely and counts them as answered; only later ones can still fail. The
    /// observer is told last: if it panics, an heir continues in the right place (S20).
    #[cold]
    fn on_part_written(&mut self, taken: usize, ledger: &Ledger) {
        let whole = self.unsent.remove_whole(self.taken + taken);
        self.taken = self.taken + taken - whole.bytes;
        self.owed -= whole.frames;
        ledger.wrote(taken);
        ledger.answered(whole.frames);
    }
}

/// Replies that were written into a buffer, one after another. The buffer is the arbiter's, so an idle connection has none.
impl Batch for Vec<u8> {
    #[inline]
    fn bytes(&self) -> usize {
        self.len()
    }

    #[inline]
    fn write_from<T>(&self, from: usize, write: impl FnOnce(IoData<'_>) -> T) -> T {
        write(IoData::Binary(&self[from..]))
    }

    fn remove_whole(&mut self, taken: usize) -> Whole {
        let whole = frames_within(self, taken);
        self.drain(..whole.bytes);
        whole
    }

    #[inline]
    fn borrow<P: Process>(me: &mut Me<'_, P>) -> Self {
        me.take_scratch()
    }

    fn keep(&mut self) -> Self {
        self.to_vec()
    }

    #[inline]
    fn give_back<P: Process>(self, me: &mut Me<'_, P>) {
        me.give_scratch(self);
    }
}

/// Poems that are shared with the library and never copied: an Erlang iolist of binaries.
#[derive(Default)]
pub(crate) struct PoemList {
    /// At most [`REQUESTS_PER_TURN_MAX`].
    poems: VecDeque<FramedPoem>,
    bytes: usize,
}

impl PoemList {
    pub(crate) fn push(&mut self, poem: FramedPoem) {
        self.bytes += poem.as_bytes().len();
        self.poems.push_back(poem);
    }
}

impl Batch for PoemList {
    #[inline]
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn write_from<T>(&self, from: usize, write: impl FnOnce(IoData<'_>) -> T) -> T {
        let mut slices = [IoSlice::new(&[]); REQUESTS_PER_TURN_MAX as usize];
        let mut skip = from;
        for (slice, poem) in slices.iter_mut().zip(&self.poems) {
            *slice = IoSlice::new(&poem.as_bytes()[skip..]);
            skip = 0;
        }
        write(IoData::List(&slices[..self.poems.len()]))
    }

    fn remove_whole(&mut self, taken: usize) -> Whole {
        let mut whole = Whole::default();
        while let Some(first) = self.poems.front()
            && whole.bytes + first.as_bytes().len() <= taken
        {
            whole.frames += 1;
            whole.bytes += first.as_bytes().len();
            self.poems.pop_front();
        }
        self.bytes -= whole.bytes;
        whole
    }

    fn borrow<P: Process>(_: &mut Me<'_, P>) -> Self {
        Self::default()
    }

    fn keep(&mut self) -> Self {
        std::mem::take(self)
    }

    fn give_back<P: Process>(self, _: &mut Me<'_, P>) {}
}
