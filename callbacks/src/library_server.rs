//! The library server (S8): serves poems by name, each in a netstring, from the library's own bytes. `netstring_server.rs`
//! reads the requests and delivers the replies.

use std::io::{self, IoSlice};
use std::mem;
use std::net::TcpListener;
use std::rc::Rc;

use poetry::limits::REQUESTS_PER_TURN_MAX;
use poetry::netstring::Whole;
use poetry::{FramedPoem, LibraryService, Refusal, Role};

use crate::connection_limit::LimitedAcceptor;
use crate::netstring_server::{Replies, Service, netstring_factory};
use crate::protocol::Factory;
use crate::reactor::{Port, Reactor, Transport};
use crate::server_state::ServerState;

/// Serves the poems of a library on `listener` in this reactor, with the default limits.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_library(
    reactor: &Reactor,
    listener: TcpListener,
    service: LibraryService,
) -> io::Result<Port> {
    let state = ServerState::unobserved(Role::LibraryServer);
    serve_library_with(reactor, listener, service, &state)
}

/// As [`serve_library`], with the limits and the observer of `state`.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_library_with(
    reactor: &Reactor,
    listener: TcpListener,
    service: LibraryService,
    state: &Rc<ServerState>,
) -> io::Result<Port> {
    let factory = library_factory(service, state);
    LimitedAcceptor::listen(reactor, listener, factory, state, Vec::new())
}

/// Returns the factory of the server's protocols, to serve connections that another port has accepted.
pub fn library_factory(service: LibraryService, state: &Rc<ServerState>) -> Rc<dyn Factory> {
    netstring_factory(service, state)
}

// ANCHOR: find_poem
impl Service for LibraryService {
    /// The poems themselves, which the library shares.
    type Replies = Vec<FramedPoem>;

    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    fn answer(
        &self,
        name: &[u8],
        frame_bytes_max: usize,
        replies: &mut Vec<FramedPoem>,
    ) -> Result<(), Refusal> {
        let poem = self.answer(name, frame_bytes_max)?;
        replies.push(poem);
        Ok(())
    }
}

impl Replies for Vec<FramedPoem> {
    /// Writes from the library's bytes: no reply is copied, whatever its connection is owed.
    fn offer(&self, transport: &Transport, taken: usize) -> usize {
        let mut pieces = [IoSlice::new(&[]); REQUESTS_PER_TURN_MAX as usize];
        let mut taken = taken;
        for (piece, poem) in pieces.iter_mut().zip(self) {
            let (_, unsent) = poem.as_bytes().split_at(taken.min(wire_bytes(poem)));
            taken -= wire_bytes(poem) - unsent.len();
            *piece = IoSlice::new(unsent);
        }
        transport.offer_all(&pieces[..self.len()])
    }
    // ANCHOR_END: find_poem

    fn bytes(&self) -> usize {
        self.iter().map(wire_bytes).sum()
    }

    fn whole(&self, counted: usize, taken: usize) -> Whole {
        let mut whole = Whole::default();
        let mut end = 0;
        for poem in self {
            end += wire_bytes(poem);
            if end > taken {
                break;
            }
            if end > counted {
                whole.frames += 1;
                whole.bytes += wire_bytes(poem);
            }
        }
        whole
    }

    fn keep(&mut self) -> Self {
        mem::take(self)
    }

    fn clear(&mut self) {
        self.clear();
    }
}

fn wire_bytes(poem: &FramedPoem) -> usize {
    poem.as_bytes().len()
}
