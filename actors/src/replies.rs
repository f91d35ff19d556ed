//! A connection's replies on their way to the peer: one write at once, and the rest as the peer takes it.

use std::io;

use poetry::netstring::frames_within;

use crate::ledger::Ledger;
use crate::port::{Stream, Tcp};
use crate::process::{Me, Process};

/// Replies that the kernel has not taken completely. While there are any, nothing is read (S5).
#[derive(Default)]
pub(crate) struct Replies {
    unsent: Vec<u8>,
    /// How many bytes of the first reply the kernel has taken.
    taken: usize,
    /// The number of requests these replies answer.
    owed: u64,
}

impl Replies {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Returns the number of requests whose replies are not delivered.
    pub(crate) fn owed(&self) -> u64 {
        self.owed
    }

    /// Borrows the arbiter's scratch buffer for new replies. Nothing must be left unsent.
    #[inline]
    pub(crate) fn begin<P: Process>(&mut self, me: &mut Me<'_, P>) {
        self.unsent = me.take_scratch();
    }

    /// Returns the buffer to which replies are appended.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Counts one reply in the buffer.
    #[inline]
    pub(crate) fn add(&mut self) {
        self.owed += 1;
    }

    /// Writes the new replies with one call. The rest waits until the peer takes it, and the port stops reading.
    ///
    /// # Errors
    /// The connection broke.
    #[inline]
    pub(crate) fn write_new<S, P>(&mut self, ledger: &Ledger, me: &mut Me<'_, P>) -> io::Result<()>
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        // Taken out, so that a panic below leaves no scratch buffer in this connection.
        let replies = std::mem::take(&mut self.unsent);
        if !replies.is_empty() {
            let taken = me.port.write(&replies)?;
            ledger.wrote(taken);
            if taken < replies.len() {
                self.taken = taken;
                let whole = self.count_whole(&replies, ledger);
                self.unsent = replies[whole..].to_vec();
                me.port.set_active(false);
                me.after(ledger.limits().write_timeout);
            } else {
                ledger.answered(std::mem::take(&mut self.owed));
            }
        }
        me.give_scratch(replies);
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
        let taken = me.port.write(&self.unsent[self.taken..])?;
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
        let taken = me.port.write_unannounced(&self.unsent[self.taken..])?;
        self.on_bytes_written(taken, ledger, me);
        Ok(taken)
    }

    /// Counts the bytes that the kernel took of the unsent replies, and gives the peer time for the rest.
    fn on_bytes_written<P: Process>(&mut self, taken: usize, ledger: &Ledger, me: &mut Me<'_, P>) {
        ledger.wrote(taken);
        self.taken += taken;
        if taken > 0 {
            me.after(ledger.limits().write_timeout);
        }
        if self.taken == self.unsent.len() {
            ledger.answered(self.owed);
            *self = Self::default();
        } else {
            let unsent = std::mem::take(&mut self.unsent);
            let whole = self.count_whole(&unsent, ledger);
            self.unsent = unsent;
            self.unsent.drain(..whole);
        }
    }

    /// Counts the replies that the kernel took completely as answered; only later ones can still fail. Returns the length
    /// of the counted replies in bytes.
    #[cold]
    fn count_whole(&mut self, replies: &[u8], ledger: &Ledger) -> usize {
        let whole = frames_within(replies, self.taken);
        self.taken -= whole.bytes;
        self.owed -= whole.frames;
        ledger.answered(whole.frames);
        whole.bytes
    }
}
