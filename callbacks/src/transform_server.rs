//! The transform server (S3–S5): netstrings in, netstrings out. `netstring_server.rs` reads the requests and delivers the
//! replies.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use poetry::{Role, TransformService, Unanswered};

use crate::connection_limit::LimitedAcceptor;
use crate::netstring_server::{Service, netstring_factory};
use crate::protocol::Factory;
use crate::reactor::{Port, Reactor};
use crate::server_state::ServerState;

/// Answers transform requests on `listener` in this reactor, with the default limits.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_transforms(
    reactor: &Reactor,
    listener: TcpListener,
    service: TransformService,
) -> io::Result<Port> {
    let state = ServerState::unobserved(Role::TransformServer);
    serve_transforms_with(reactor, listener, service, &state)
}

/// As [`serve_transforms`], with the limits and the observer of `state`.
///
/// # Errors
/// Fails if the system cannot watch the listener.
pub fn serve_transforms_with(
    reactor: &Reactor,
    listener: TcpListener,
    service: TransformService,
    state: &Rc<ServerState>,
) -> io::Result<Port> {
    let factory = transform_factory(service, state);
    LimitedAcceptor::listen(reactor, listener, factory, state, Vec::new())
}

/// Returns the factory of the server's protocols, to serve connections that another port has accepted.
pub fn transform_factory(service: TransformService, state: &Rc<ServerState>) -> Rc<dyn Factory> {
    netstring_factory(service, state)
}

impl Service for TransformService {
    /// Netstrings, one after another.
    type Replies = Vec<u8>;

    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    #[inline]
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Vec<u8>,
    ) -> Result<(), Unanswered> {
        self.answer_or_offload(frame, frame_bytes_max, replies)
    }
}
