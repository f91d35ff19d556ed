//! The lingering close (S7), and the process that delivers the last replies of a connection that crashed (S20).

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;

use poetry::event::Wait;
use poetry::{CloseReason, Limits};

use crate::ledger::Ledger;
use crate::monitor::Reason;
use crate::port::{Stream, Tcp, TcpEvent};
use crate::process::{Me, Name, Next, Process, Received, Turn};
use crate::replies::{Batch, Replies};

/// A lingering close under way.
pub(crate) struct Linger {
    bytes_left: usize,
}

// ANCHOR: linger
impl Linger {
    /// Sends FIN and drains the peer's input for a bounded time. Closing the socket with unread input would reset the
    /// connection, and the peer could lose replies.
    pub(crate) fn start<S, P>(limits: &Limits, me: &mut Me<'_, P>) -> Self
    where
        S: Stream,
        P: Process<Port = Tcp<S>>,
    {
        me.port.finish();
        me.port.set_active(true);
        me.after(limits.linger_timeout);
        Self {
            bytes_left: limits.linger_bytes_max,
        }
    }

    /// Counts `bytes` as drained; the process exits when they exceed the limit.
    pub(crate) fn drain(&mut self, bytes: usize) -> Next {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Next::Receive
            }
            None => Next::Exit(Reason::Normal),
        }
    }
}
// ANCHOR_END: linger

/// The heir of a connection that crashed: writes the replies to the requests before the crash, lingers, and closes. It
/// answers no further request, and no handler of the crashed state runs again.
pub(crate) struct LastReplies<S, B> {
    ledger: Ledger,
    replies: Replies<B>,
    linger: Option<Linger>,
    peer_finished: bool,
    closes: CloseReason,
    stream: PhantomData<fn() -> S>,
}

impl<S: Stream, B: Batch> LastReplies<S, B> {
    /// Hands the port of a crashed connection to a new heir.
    pub(crate) fn take_over<P>(
        ledger: Ledger,
        replies: Replies<B>,
        peer_finished: bool,
        me: &mut Me<'_, P>,
    ) where
        P: Process<Port = Tcp<S>>,
    {
        let port = me.port.release();
        let name = Name::numbered("last-replies", ledger.number());
        let heir = Self {
            ledger,
            replies,
            linger: None,
            peer_finished,
            closes: CloseReason::Panic,
            stream: PhantomData,
        };
        me.hand_over(name, heir, port);
    }

    fn on_written(&mut self, written: io::Result<usize>, me: &mut Me<'_, Self>) -> Next {
        if written.is_err() {
            return self.close(CloseReason::Reset);
        }
        if !self.replies.is_empty() {
            return Next::Receive;
        }
        if self.peer_finished {
            return Next::Exit(Reason::Normal);
        }
        self.linger = Some(Linger::start(self.ledger.limits(), me));
        Next::Receive
    }

    fn time_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.linger.is_some() {
            return Next::Exit(Reason::Normal);
        }
        match self.replies.write_unannounced(&self.ledger, me) {
            Ok(0) => self.close(CloseReason::Write),
            written => self.on_written(written, me),
        }
    }

    fn close(&mut self, reason: CloseReason) -> Next {
        self.closes = reason;
        Next::Exit(Reason::Normal)
    }
}

impl<S: Stream, B: Batch> Process for LastReplies<S, B> {
    type Message = Infallible;
    type Port = Tcp<S>;
    const MAILBOX: usize = 1;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        me.port.set_active(false);
        me.after(self.ledger.limits().write_timeout);
        let written = match self.replies.is_empty() {
            true => Ok(0),
            false => self.replies.write_more(&self.ledger, me),
        };
        self.on_written(written, me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match (received, &mut self.linger) {
            (Received::Port(TcpEvent::Data(bytes)), linger) => {
                self.ledger.read(bytes.len());
                match linger {
                    Some(linger) => linger.drain(bytes.len()),
                    None => Next::Receive,
                }
            }
            (Received::Port(TcpEvent::Writable), _) => {
                let written = self.replies.write_more(&self.ledger, me);
                self.on_written(written, me)
            }
            (Received::Port(TcpEvent::Closed | TcpEvent::Error(_)), Some(_)) => {
                Next::Exit(Reason::Normal)
            }
            (Received::Port(TcpEvent::Closed), None) => {
                self.peer_finished = true;
                Next::Receive
            }
            (Received::Port(TcpEvent::Error(_)), None) => self.close(CloseReason::Reset),
            (Received::Timeout, _) => self.time_out(me),
            // The replies are in flight (S21); only a kill cuts them.
            (Received::Exit(exit), _) if exit.reason.is_shutdown() => Next::Receive,
            (Received::Exit(_), _) => Next::Exit(Reason::Killed),
            (
                Received::Port(TcpEvent::Kept(_) | TcpEvent::Looked { .. }) | Received::Down(_),
                _,
            ) => Next::Receive,
            (Received::Message(never), _) => match never {},
        }
    }

    fn trace(&self, turn: Turn, _: u32) {
        self.ledger.trace(turn, || match self.replies.is_empty() {
            true => Wait::Read,
            false => Wait::Write,
        });
    }

    fn terminate(&mut self, reason: &Reason, me: &mut Me<'_, Self>) {
        if !self.replies.is_empty() {
            me.port.reset();
        }
        self.ledger.failed(self.replies.owed());
        self.ledger.closed(match reason {
            Reason::Killed => CloseReason::Cut,
            _ => self.closes,
        });
    }
}
