//! Ports: a process's connection to the outside world. Events at a port are received like messages, with their bytes
//! lent; in Erlang such a port is *active*. The real sockets are in `net`.

mod kept;
mod listening;

pub(crate) use kept::Kept;
pub(crate) use listening::{Listen, Listening};

use std::io::{self, IoSlice};
use std::mem::take;
use std::task::{Context, Poll, ready};

/// A resource outside the process, such as a socket. The process owns it and receives its events.
pub trait Port: 'static {
    /// An event. It may borrow from the arbiter's read buffer.
    type Event<'a>;

    /// Polls for the next event. The ports of an arbiter share `buffer`.
    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<Self::Event<'b>>;
}

/// The port of a process without a connection to the outside world. It has no events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPort;

impl Port for NoPort {
    type Event<'a> = std::convert::Infallible;

    fn poll<'b>(&mut self, _: &mut Context<'_>, _: &'b mut [u8]) -> Poll<Self::Event<'b>> {
        Poll::Pending
    }
}

/// A stream of bytes in both directions: a socket, or a pipe in tests.
pub(crate) trait Stream: Unpin + 'static {
    /// Reads the available bytes. `Ok(0)` means that the peer has finished sending.
    fn poll_read(&mut self, turn: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Reads like [`Stream::poll_read`], but also bytes that have not been announced. Does not wait: no task is woken after
    /// `Pending`.
    fn try_read_unannounced(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Writes a prefix of `data` without waiting. `Ok(0)` means that nothing can be written now.
    fn try_write(&mut self, data: IoData<'_>) -> io::Result<usize>;
    /// Writes like [`Stream::try_write`], but also into room that [`Stream::poll_writable`] has not announced. The kernel
    /// does not announce a little room.
    fn try_write_unannounced(&mut self, data: IoData<'_>) -> io::Result<usize>;
    /// Waits until [`Stream::try_write`] can write a byte.
    fn poll_writable(&mut self, turn: &mut Context<'_>) -> Poll<()>;
    /// Has written bytes wait for FIN, so that both leave in one segment. FIN must follow at once.
    fn send_with_fin(&mut self) {}
    /// Sends FIN after the bytes written so far.
    fn finish(&mut self);
    /// Closes with a reset: the peer cannot take what it has received for complete, and no TIME_WAIT holds the port.
    fn abort(self);
}

/// Bytes to write in one call: Erlang's iodata, a binary or a list of them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IoData<'a> {
    Binary(&'a [u8]),
    List(&'a [IoSlice<'a>]),
}

impl IoData<'_> {
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len(),
            Self::List(list) => list.iter().map(|bytes| bytes.len()).sum(),
        }
    }
}

impl<'a> From<&'a [u8]> for IoData<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

/// An event of a [`Tcp`] port: Erlang's `{tcp, Socket, Data}`, `{tcp_closed, Socket}` and `{tcp_error, Socket, Reason}`,
/// and three of our own.
#[derive(Debug)]
pub(crate) enum TcpEvent<'a> {
    /// Bytes were read.
    Data(&'a [u8]),
    /// These bytes, read earlier, were [kept](Tcp::keep) for this turn.
    Kept(Box<Kept>),
    /// The peer has finished sending. It may still read.
    Closed,
    /// The connection broke.
    Error(io::Error),
    /// An incomplete write can continue.
    Writable,
    /// The [second look](Tcp::look_again) is over. `found` is whether it found bytes.
    Looked { found: bool },
}

/// A port over a stream. It reads only while it is active; a port just opened is active.
#[derive(Debug)]
pub(crate) struct Tcp<S> {
    stream: Option<S>,
    kept: Option<Box<Kept>>,
    active: bool,
    /// Whether the last write was short.
    blocked: bool,
    /// Whether the stream may have room that it has not announced, as a new one has.
    unannounced: bool,
    /// Whether the next read also finds bytes that the stream has not announced.
    reads_at_once: bool,
    /// The second look under way, and whether it has found bytes.
    look: Option<bool>,
}

impl<S> Tcp<S> {
    /// Opens a port on a connected stream.
    pub(crate) fn open(stream: S) -> Self {
        Self {
            stream: Some(stream),
            active: true,
            unannounced: true,
            ..Self::closed()
        }
    }

    /// Returns a port without a stream. It has no events.
    pub(crate) fn closed() -> Self {
        Self {
            stream: None,
            kept: None,
            active: false,
            blocked: false,
            unannounced: false,
            reads_at_once: false,
            look: None,
        }
    }

    /// Takes the port away from its process, which is left with a closed one.
    pub(crate) fn release(&mut self) -> Self {
        std::mem::replace(self, Self::closed())
    }

    /// Returns the stream, unless the port is closed.
    pub(crate) fn stream(&self) -> Option<&S> {
        self.stream.as_ref()
    }

    /// Sets whether the port reads. Active is Erlang's `{active, once}`, renewed after each handler, so bytes never pile up in
    /// a mailbox. Inactive is `{active, false}`, and there is no `recv`: unread bytes wait in the kernel.
    pub(crate) fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    /// Has the next read not wait for the announcement of bytes: a client sends its request at once, so it has often arrived when its
    /// connection is accepted. That saves the process a turn.
    pub(crate) fn read_at_once(&mut self) {
        self.reads_at_once = true;
    }

    /// Keeps bytes that this turn has not used (S24). The next event while the port is active is [`TcpEvent::Kept`];
    /// nothing more is read before it.
    pub(crate) fn keep(&mut self, kept: Box<Kept>) {
        self.kept = Some(kept);
    }

    /// Reads what is in the kernel although it has not been announced, and then says so with [`TcpEvent::Looked`]: a
    /// thread that is late sees a timeout before the bytes that came in time (S18). Returns `false` if such a look is
    /// under way; it has found bytes in a whole turn.
    pub(crate) fn look_again(&mut self) -> bool {
        let is_new = self.look.is_none();
        self.look.get_or_insert(false);
        is_new
    }

    #[cold]
    fn take_kept(&mut self) -> Poll<TcpEvent<'static>> {
        match self.kept.take() {
            Some(kept) => Poll::Ready(TcpEvent::Kept(kept)),
            None => Poll::Pending,
        }
    }

    /// Returns whether bytes are kept.
    #[inline]
    pub(crate) fn has_kept(&self) -> bool {
        self.kept.is_some()
    }
}

impl<S: Stream> Tcp<S> {
    /// Writes as much of `data` as the stream takes now, and returns their number. After a short write the port announces with
    /// [`TcpEvent::Writable`] that it can take more.
    ///
    /// # Errors
    /// The connection broke.
    #[inline]
    pub(crate) fn write<'d>(&mut self, data: impl Into<IoData<'d>>) -> io::Result<usize> {
        let data = data.into();
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let taken = stream.try_write(data)?;
        self.blocked = taken < data.len();
        if self.blocked && take(&mut self.unannounced) && taken == 0 {
            return self.write_unannounced(data);
        }
        Ok(taken)
    }

    /// Writes after a short write without waiting for [`TcpEvent::Writable`]. A peer that reads slowly makes room long
    /// before there is enough to announce; if this takes no byte, the peer has read none since.
    ///
    /// Later writes use what room remains. Otherwise the next write timeout would find that room and take it for
    /// progress.
    ///
    /// # Errors
    /// The connection broke.
    #[cold]
    pub(crate) fn write_unannounced<'d>(
        &mut self,
        data: impl Into<IoData<'d>>,
    ) -> io::Result<usize> {
        let data = data.into();
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let taken = stream.try_write_unannounced(data)?;
        self.blocked = taken < data.len();
        self.unannounced = !self.blocked;
        Ok(taken)
    }

    /// Has written bytes wait for FIN, which must follow at once.
    pub(crate) fn send_with_fin(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.send_with_fin();
        }
    }

    /// Sends FIN after the bytes written so far.
    pub(crate) fn finish(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.finish();
        }
    }

    /// Closes the port with a reset, so that the peer cannot take what it has received for complete.
    pub(crate) fn reset(&mut self) {
        self.release().stream.into_iter().for_each(S::abort);
    }
}

impl<S: Stream> Tcp<S> {
    /// Returns the event of a read.
    #[inline]
    fn on_read<'b>(&mut self, read: io::Result<usize>, buffer: &'b [u8]) -> TcpEvent<'b> {
        match read {
            Ok(0) => {
                self.active = false;
                TcpEvent::Closed
            }
            Ok(count) => TcpEvent::Data(&buffer[..count]),
            Err(error) => {
                self.active = false;
                TcpEvent::Error(error)
            }
        }
    }

    #[cold]
    fn poll_look<'b>(&mut self, found: bool, buffer: &'b mut [u8]) -> Poll<TcpEvent<'b>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        let Poll::Ready(read) = stream.try_read_unannounced(buffer) else {
            self.look = None;
            return Poll::Ready(TcpEvent::Looked { found });
        };
        self.look = Some(true);
        Poll::Ready(self.on_read(read, buffer))
    }
}

impl<S: Stream> Port for Tcp<S> {
    type Event<'a> = TcpEvent<'a>;

    // ANCHOR: port_poll
    #[inline(always)] // Called in every turn of a connection.
    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<TcpEvent<'b>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        if self.blocked && stream.poll_writable(turn).is_ready() {
            self.blocked = false;
            return Poll::Ready(TcpEvent::Writable);
        }
        if !self.active {
            return Poll::Pending;
        }
        if self.kept.is_some() {
            return self.take_kept();
        }
        if let Some(found) = self.look {
            return self.poll_look(found, buffer);
        }
        let read = match stream.poll_read(turn, buffer) {
            Poll::Pending if take(&mut self.reads_at_once) => {
                ready!(stream.try_read_unannounced(buffer))
            }
            read => ready!(read),
        };
        Poll::Ready(self.on_read(read, buffer))
    }
    // ANCHOR_END: port_poll
}
