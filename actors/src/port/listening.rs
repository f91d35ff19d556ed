//! The port of a listener: it accepts as many connections as there is room for.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use super::Port;

/// A source of connections: a listening socket, or a test's.
pub(crate) trait Listen: 'static {
    /// The type of its connections.
    type Socket;

    /// Accepts the next connection; returns it with the peer's address.
    fn poll_accept(
        &mut self,
        turn: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Socket, SocketAddr)>>;
}

/// A port over a listener. It accepts as many connections as it was given room for, then waits for more room: Erlang's
/// `{active, N}`.
#[derive(Debug)]
pub(crate) struct Listening<L> {
    listener: L,
    room: usize,
    paused: bool,
}

impl<L> Listening<L> {
    /// Creates a port without room.
    pub(crate) fn new(listener: L) -> Self {
        Self {
            listener,
            room: 0,
            paused: false,
        }
    }

    /// Adds room for `connections` more.
    pub(crate) fn add_room(&mut self, connections: usize) {
        self.room += connections;
    }

    /// Sets whether accepting pauses although there is room.
    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }
}

impl<L: Listen> Port for Listening<L> {
    type Event<'a> = io::Result<(L::Socket, SocketAddr)>;

    fn poll<'b>(&mut self, turn: &mut Context<'_>, _: &'b mut [u8]) -> Poll<Self::Event<'b>> {
        if self.room == 0 || self.paused {
            return Poll::Pending;
        }
        let accepted = ready!(self.listener.poll_accept(turn));
        self.room -= usize::from(accepted.is_ok());
        Poll::Ready(accepted)
    }
}
