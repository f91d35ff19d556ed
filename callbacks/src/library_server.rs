//! The library server (S8): serves poems by name, each in a netstring, from the library's own bytes. `netstring_server.rs`
//! reads the requests and delivers the replies.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use poetry::{FramedPoem, LibraryService, Role, Unanswered};

use crate::connection_limit::LimitedAcceptor;
use crate::netstring_server::{Service, netstring_factory};
use crate::protocol::Factory;
use crate::reactor::{Port, Reactor};
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

    /// Finds the poem called `name`. Its bytes are shared: they stay whole if the library's poems are replaced meanwhile.
    fn answer(
        &self,
        name: &[u8],
        frame_bytes_max: usize,
        replies: &mut Vec<FramedPoem>,
    ) -> Result<(), Unanswered<Vec<FramedPoem>>> {
        let poem = self.answer(name, frame_bytes_max)?;
        replies.push(poem);
        Ok(())
    }
}
// ANCHOR_END: find_poem
