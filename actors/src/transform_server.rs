//! The transform server (Part 12): netstrings in, netstrings out, one process for each connection. One-shot, or
//! with keep-alive any number of requests (S3–S7).

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use poetry::netstring::{Decoder, encoded_len};
use poetry::{CloseReason, Observer, Options, Refusal, Role, TransformService};

use crate::ledger::Ledger;
use crate::listener::{self, Protocol, Serve};
use crate::monitor::Reason;
use crate::port::{Stream, Tcp, TcpEvent};
use crate::process::{Me, Next, Process, Received};

/// Serves transforms on `listener` until the server is shut down.
///
/// # Errors
/// What the system refused while the server was set up.
pub fn serve_transforms(
    listener: TcpListener,
    service: TransformService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Serve> {
    listener::serve(
        listener,
        Transforms(Arc::new(service)),
        Role::TransformServer,
        options,
        observer,
    )
}

#[derive(Clone)]
struct Transforms(Arc<TransformService>);

impl Protocol for Transforms {
    type Connection<S: Stream> = Connection<S>;

    fn connection<S: Stream>(&self, ledger: Ledger) -> Connection<S> {
        Connection {
            decoder: Decoder::new(ledger.limits().frame_bytes_max),
            service: Arc::clone(&self.0),
            ledger,
            stage: Stage::Open,
            unsent: Vec::new(),
            taken: 0,
            owed: 0,
            in_hand: false,
            begun: None,
            peer_finished: false,
            draining: false,
            stream: PhantomData,
        }
    }
}

/// One connection: its state, reached by nobody else.
struct Connection<S> {
    service: Arc<TransformService>,
    ledger: Ledger,
    decoder: Decoder,
    stage: Stage,
    /// Replies the peer has not entirely taken; while there are any, nothing is read (S5).
    unsent: Vec<u8>,
    /// Bytes of the first of them that were taken.
    taken: usize,
    /// Requests whose replies are not entirely taken.
    owed: u64,
    /// A request is being answered; if that crashes, it is the one that failed.
    in_hand: bool,
    /// When the first byte of a request came that is not complete (S18).
    begun: Option<Duration>,
    peer_finished: bool,
    /// The server shuts down: what is in flight is finished, nothing else begun (S21).
    draining: bool,
    stream: PhantomData<fn() -> S>,
}

/// What a connection does with what it reads.
enum Stage {
    /// It takes requests.
    Open,
    /// It takes nothing more; it closes once its replies are delivered.
    Closing(Ending),
    /// It has sent FIN and drains so many more bytes, so that no reply is lost to unread input (S7).
    Lingering(Ending, usize),
}

/// Why a connection closes.
#[derive(Clone)]
enum Ending {
    Closed(CloseReason),
    Crashed(String),
}

const DONE: Ending = Ending::Closed(CloseReason::Done);
const REFUSED: Ending = Ending::Closed(CloseReason::Refused);

impl<S: Stream> Process for Connection<S> {
    type Message = Infallible;
    type Port = Tcp<S>;
    const MAILBOX: usize = 1;
    const REPORTS_CRASHES: bool = true;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        me.after(self.ledger.limits().idle_timeout);
        Next::Receive
    }

    #[inline]
    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(TcpEvent::Data(bytes)) => self.data(bytes, me),
            Received::Port(TcpEvent::Writable) => self.write_on(me),
            Received::Port(TcpEvent::Closed) => self.finished_sending(me),
            Received::Port(TcpEvent::Error(_)) => self.broken(),
            Received::Timeout => self.timed_out(me),
            Received::Exit(exit) => self.shutdown(exit.reason),
            Received::Down(_) => Next::Receive,
            Received::Message(never) => match never {},
        }
    }

    fn crashed(&mut self, message: &str, me: &mut Me<'_, Self>) -> Next {
        self.ledger.panicked(message);
        self.ledger.failed(u64::from(self.in_hand));
        self.stage = Stage::Closing(Ending::Crashed(message.to_owned()));
        // The replies to the requests before the one that crashed are owed (S20).
        self.deliver(me)
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        self.ledger.failed(self.owed);
        self.ledger.closed(match (reason, &self.stage) {
            (Reason::Killed, _) => CloseReason::Cut,
            (Reason::Crash(_), _) => CloseReason::Panic,
            (
                _,
                Stage::Closing(Ending::Closed(reason))
                | Stage::Lingering(Ending::Closed(reason), _),
            ) => *reason,
            _ => CloseReason::Done,
        });
    }
}

impl<S: Stream> Connection<S> {
    #[inline]
    fn data(&mut self, bytes: &[u8], me: &mut Me<'_, Self>) -> Next {
        self.ledger.read(bytes.len());
        match &mut self.stage {
            Stage::Open => {
                // None wait: nothing would be read.
                self.unsent = me.take_scratch();
                self.answer_requests(bytes, me.now());
                self.deliver(me)
            }
            Stage::Closing(_) => Next::Receive,
            Stage::Lingering(ending, room) => match room.checked_sub(bytes.len()) {
                Some(left) => {
                    *room = left;
                    Next::Receive
                }
                None => ending.clone().exit(),
            },
        }
    }

    // ANCHOR: answer_requests
    /// Makes the reply to every request that `bytes` complete, up to the first that is refused; in one-shot, to the
    /// first only.
    #[inline]
    fn answer_requests(&mut self, bytes: &[u8], now: Duration) {
        let frame_bytes_max = self.ledger.limits().frame_bytes_max;
        let mut frames = self.decoder.feed(bytes);
        while let Stage::Open = self.stage {
            let answered = match frames.next() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.ledger.request();
                    self.begun = None;
                    self.in_hand = true;
                    self.service
                        .answer(frame, frame_bytes_max, &mut self.unsent)
                }
                Err(error) => {
                    self.ledger.request();
                    Err(Refusal::from(error))
                }
            };
            self.in_hand = false;
            match answered {
                Ok(()) => self.owed += 1,
                Err(refusal) => {
                    self.ledger.refused(refusal);
                    self.stage = Stage::Closing(REFUSED);
                    break;
                }
            }
            if !self.service.keep_alive {
                self.stage = Stage::Closing(DONE);
            }
        }
        drop(frames);
        if matches!(self.stage, Stage::Open) && self.decoder.is_mid_frame() {
            self.begun.get_or_insert(now);
        }
    }
    // ANCHOR_END: answer_requests

    /// Writes the replies at once; what the peer does not take waits, and nothing is read until it has gone.
    #[inline]
    fn deliver(&mut self, me: &mut Me<'_, Self>) -> Next {
        let replies = std::mem::take(&mut self.unsent);
        let written = if replies.is_empty() {
            Ok(0)
        } else {
            me.port.write(&replies[self.taken..])
        };
        let Ok(taken) = written else {
            return self.end(CloseReason::Reset);
        };
        self.ledger.wrote(taken);
        self.taken += taken;
        if self.taken < replies.len() {
            let whole = self.count_taken(whole_replies(&replies, self.taken));
            self.unsent = replies[whole..].to_vec();
            me.port.set_active(false);
            me.after(self.ledger.limits().write_timeout);
        } else {
            self.taken = 0;
        }
        me.give_scratch(replies);
        self.go_on(me)
    }

    /// The peer takes bytes again.
    fn write_on(&mut self, me: &mut Me<'_, Self>) -> Next {
        let written = me.port.write(&self.unsent[self.taken..]);
        self.wrote_on(written, me)
    }

    /// The write timeout is over. What the peer took since may only be too little to be announced: it is closed if
    /// that is nothing (S18).
    fn write_unannounced(&mut self, me: &mut Me<'_, Self>) -> Next {
        match me.port.write_unannounced(&self.unsent[self.taken..]) {
            Ok(0) => self.end(CloseReason::Write),
            written => self.wrote_on(written, me),
        }
    }

    /// Counts what the peer took of what waited, and gives it time for the rest.
    fn wrote_on(&mut self, written: io::Result<usize>, me: &mut Me<'_, Self>) -> Next {
        let Ok(taken) = written else {
            return self.end(CloseReason::Reset);
        };
        self.ledger.wrote(taken);
        self.taken += taken;
        if taken > 0 {
            me.after(self.ledger.limits().write_timeout);
        }
        if self.taken == self.unsent.len() {
            (self.unsent, self.taken) = (Vec::new(), 0);
            me.port.set_active(!self.peer_finished);
        } else {
            let whole = self.count_taken(whole_replies(&self.unsent, self.taken));
            self.unsent.drain(..whole);
        }
        self.go_on(me)
    }

    /// So many replies, of so many bytes, were taken to their last byte: they are answered, and only those behind
    /// them can fail. Gives back the bytes.
    #[cold]
    fn count_taken(&mut self, (count, bytes): (u64, usize)) -> usize {
        self.taken -= bytes;
        self.owed -= count;
        self.ledger.answered(count);
        bytes
    }

    /// What follows once everything owed is delivered: the next request, or the close.
    #[inline]
    fn go_on(&mut self, me: &mut Me<'_, Self>) -> Next {
        if !self.unsent.is_empty() {
            return Next::Receive;
        }
        self.ledger.answered(std::mem::take(&mut self.owed));
        match &self.stage {
            Stage::Closing(ending) => self.linger(ending.clone(), me),
            Stage::Open if self.draining && self.begun.is_none() => self.linger(DONE, me),
            Stage::Open => {
                let limits = self.ledger.limits();
                match self.begun {
                    Some(begun) => me.until(begun.saturating_add(limits.request_deadline)),
                    None => me.after(limits.idle_timeout),
                }
                Next::Receive
            }
            Stage::Lingering(..) => Next::Receive,
        }
    }

    // ANCHOR: linger
    /// Sends FIN and reads on for a while: a close on unread input would take the replies back (S7).
    fn linger(&mut self, ending: Ending, me: &mut Me<'_, Self>) -> Next {
        self.decoder.close();
        if self.peer_finished {
            return ending.exit_from(&mut self.stage);
        }
        me.port.finish();
        me.port.set_active(true);
        me.after(self.ledger.limits().linger_timeout);
        self.stage = Stage::Lingering(ending, self.ledger.limits().linger_bytes_max);
        Next::Receive
    }
    // ANCHOR_END: linger

    /// FIN came. Between two requests that is a goodbye (S6); in the middle of one, a refusal.
    fn finished_sending(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.peer_finished = true;
        match &self.stage {
            Stage::Open if self.decoder.is_mid_frame() => {
                self.ledger.request();
                self.ledger.refused(Refusal::Truncated);
                self.linger(REFUSED, me)
            }
            Stage::Open => self.linger(DONE, me),
            Stage::Closing(_) => Next::Receive,
            Stage::Lingering(ending, _) => ending.clone().exit(),
        }
    }

    fn broken(&mut self) -> Next {
        match &self.stage {
            Stage::Lingering(ending, _) => ending.clone().exit(),
            Stage::Open | Stage::Closing(_) => self.end(CloseReason::Reset),
        }
    }

    fn timed_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        match &self.stage {
            Stage::Lingering(ending, _) => ending.clone().exit(),
            _ if !self.unsent.is_empty() => self.write_unannounced(me),
            _ if self.begun.is_some() => self.end(CloseReason::Deadline),
            _ => self.end(CloseReason::Idle),
        }
    }

    // ANCHOR: shutdown
    /// The supervisor asks it to stop: at once if it is idle, after what is in flight if not (S21).
    fn shutdown(&mut self, reason: Reason) -> Next {
        if reason != Reason::Shutdown {
            // Its supervisor is gone, and it goes too.
            return Next::Exit(Reason::Killed);
        }
        let idle =
            matches!(self.stage, Stage::Open) && self.unsent.is_empty() && self.begun.is_none();
        if idle {
            self.stage = Stage::Closing(DONE);
            return Next::Exit(Reason::Shutdown);
        }
        self.draining = true;
        Next::Receive
    }
    // ANCHOR_END: shutdown

    /// Closes without more ado.
    fn end(&mut self, reason: CloseReason) -> Next {
        Ending::Closed(reason).exit_from(&mut self.stage)
    }
}

/// How many of `replies` end within the first `taken` bytes, and with which byte the last of them.
fn whole_replies(replies: &[u8], taken: usize) -> (u64, usize) {
    let mut decoder = Decoder::new(usize::MAX);
    let mut frames = decoder.feed(replies);
    let (mut count, mut whole) = (0, 0);
    while let Ok(Some(reply)) = frames.next() {
        let end = whole + encoded_len(reply.len());
        if end > taken {
            break;
        }
        (count, whole) = (count + 1, end);
    }
    (count, whole)
}

impl Ending {
    /// The reason a process exits with.
    fn exit(self) -> Next {
        Next::Exit(match self {
            Self::Closed(_) => Reason::Normal,
            Self::Crashed(message) => Reason::crash(message),
        })
    }

    /// The same, and `stage` remembers it for the books.
    fn exit_from(self, stage: &mut Stage) -> Next {
        *stage = Stage::Closing(self.clone());
        self.exit()
    }
}

#[cfg(test)]
mod tests;
