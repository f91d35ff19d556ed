//! The two ends of a connection in memory: the reactor's, used as a socket, and the test's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Network, test_address};
use crate::reactor::system::Ready;

/// The reactor's end.
#[derive(Debug)]
pub(in crate::reactor) struct End {
    state: Rc<State>,
    /// Whether the reactor has dialled, so that this end counts among its sockets.
    dialled: bool,
}

#[derive(Debug)]
struct State {
    network: Network,
    peer: SocketAddr,
    /// The token under which the reactor watches its end.
    token: Cell<Option<usize>>,
    connected: Cell<bool>,
    error: Cell<Option<io::ErrorKind>>,
    to_reactor: RefCell<VecDeque<u8>>,
    peer_finished: Cell<bool>,
    to_peer: RefCell<Vec<u8>>,
    /// Bytes that the peer still takes.
    room: Cell<usize>,
    /// Whether the reactor's end has sent FIN.
    finished: Cell<bool>,
    reset: Cell<bool>,
    closed: Cell<bool>,
}

impl State {
    /// Announces the readiness of the reactor's end, if the reactor watches it.
    fn announce(&self) {
        if let Some(token) = self.token.get() {
            let ended = self.peer_finished.get() || self.error.get().is_some();
            let ready = Ready {
                token,
                readable: !self.to_reactor.borrow().is_empty() || ended,
                writable: self.connected.get() || ended,
                ended,
            };
            self.network.shared.borrow_mut().ready.push_back(ready);
        }
    }

    fn check(&self) -> io::Result<()> {
        self.error.get().map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl End {
    /// Creates both ends of a connection with `peer`, which is not established yet.
    pub(super) fn pair(network: Network, peer: SocketAddr) -> (Self, MemoryPeer) {
        let state = Rc::new(State {
            network,
            peer,
            token: Cell::default(),
            connected: Cell::default(),
            error: Cell::default(),
            to_reactor: RefCell::default(),
            peer_finished: Cell::default(),
            to_peer: RefCell::default(),
            room: Cell::new(usize::MAX),
            finished: Cell::default(),
            reset: Cell::default(),
            closed: Cell::default(),
        });
        let peer = MemoryPeer {
            state: Rc::clone(&state),
        };
        let dialled = false;
        (Self { state, dialled }, peer)
    }

    pub(super) fn dialled(mut self) -> Self {
        self.dialled = true;
        self
    }

    pub(in crate::reactor) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = self.state.to_reactor.borrow_mut();
        if waiting.is_empty() {
            self.state.check()?; // What arrived before is read first, as from a kernel.
        }
        if waiting.is_empty() && !self.state.peer_finished.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = waiting.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(waiting.drain(..count)) {
            *place = byte;
        }
        Ok(count)
    }

    pub(in crate::reactor) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.state.check()?;
        let room = self.state.room.get();
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(room);
        if room != usize::MAX {
            self.state.room.set(room - count);
        }
        self.state
            .to_peer
            .borrow_mut()
            .extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    pub(in crate::reactor) fn send_all(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for piece in pieces {
            match self.send(piece) {
                Ok(count) => sent += count,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    pub(in crate::reactor) fn finish(&self) {
        self.state.finished.set(true);
    }

    pub(in crate::reactor) fn reset_on_close(&self) {
        self.state.reset.set(true);
    }

    pub(in crate::reactor) fn local(&self) -> SocketAddr {
        test_address(1)
    }

    pub(in crate::reactor) fn is_connected(&self) -> io::Result<bool> {
        self.state.check().map(|()| self.state.connected.get())
    }

    pub(in crate::reactor) fn register(&self, token: usize) -> io::Result<()> {
        if self.state.network.shared.borrow().refuses_watches {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.state.token.set(Some(token));
        // As a kernel does, announces what happened before the socket was watched.
        if self.state.connected.get() || self.state.error.get().is_some() {
            self.state.announce();
        }
        Ok(())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.state.closed.set(true);
        if self.dialled {
            self.state.network.shared.borrow_mut().sockets -= 1;
        }
    }
}

/// The test's end of a connection in memory. Clones are the same end.
#[derive(Debug, Clone)]
pub struct MemoryPeer {
    state: Rc<State>,
}

impl MemoryPeer {
    /// Returns the address that was dialled, or that this peer connected from.
    pub fn address(&self) -> SocketAddr {
        self.state.peer
    }

    /// Accepts the connection that was dialled.
    pub fn accept(&self) {
        self.state.connected.set(true);
        self.state.announce();
    }

    /// Accepts the connection, but the reactor has not read the announcement yet.
    pub(in crate::reactor) fn connect_silently(&self) {
        self.state.connected.set(true);
    }

    /// Refuses or resets the connection with an error of this kind.
    pub fn fail(&self, kind: io::ErrorKind) {
        self.state.error.set(Some(kind));
        self.state.announce();
    }

    /// Sends `bytes`.
    pub fn send(&self, bytes: &[u8]) {
        self.state.to_reactor.borrow_mut().extend(bytes);
        self.state.announce();
    }

    /// Finishes sending: FIN.
    pub fn finish(&self) {
        self.state.peer_finished.set(true);
        self.state.announce();
    }

    /// Takes `room` more bytes without an announcement: a kernel announces room only when a good part of its buffer is
    /// free.
    pub fn take_unannounced(&self, room: usize) {
        self.state.room.set(room);
    }

    /// Takes `room` more bytes from now on, and then none. A new peer takes everything.
    pub fn limit_room(&self, room: usize) {
        self.state.room.set(room);
        if room > 0 {
            self.state.announce();
        }
    }

    /// Announces bytes and room that are not there, as a kernel may.
    #[cfg(test)]
    pub(super) fn announce_falsely(&self) {
        if let Some(token) = self.state.token.get() {
            let ready = Ready {
                token,
                readable: true,
                writable: true,
                ended: false,
            };
            self.state
                .network
                .shared
                .borrow_mut()
                .ready
                .push_back(ready);
        }
    }

    /// Returns the bytes received since the last call.
    pub fn received(&self) -> Vec<u8> {
        mem::take(&mut self.state.to_peer.borrow_mut())
    }

    /// Returns whether FIN follows the bytes received.
    pub fn sees_fin(&self) -> bool {
        self.state.finished.get() || (self.state.closed.get() && !self.state.reset.get())
    }

    /// Returns whether the reactor has reset the connection.
    pub fn is_reset(&self) -> bool {
        self.state.reset.get() && self.state.closed.get()
    }

    /// Returns whether the reactor's socket is closed.
    pub fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// Returns the number of bytes sent that the reactor has not read.
    pub fn unread(&self) -> usize {
        self.state.to_reactor.borrow().len()
    }
}
