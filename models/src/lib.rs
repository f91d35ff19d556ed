//! The one list of the four models, the one place that binds a listener, and the one real clock for events.
//!
//! Whoever brings a fifth model adds a line to [`ALL`] (and the crate to this one's `Cargo.toml`): the command, the
//! conformance suite and the benchmarks take their models from here.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::Instant;

use poetry::limits::LISTEN_BACKLOG;
use poetry::{Clock, Model};
use socket2::{Domain, Protocol, Socket, Type};

/// Every model, in the order of the tutorial.
pub const ALL: &[&dyn Model] = &[
    &callbacks::Callbacks,
    &actors::Actors,
    &streams::Streams,
    &blocking::Blocking::NEW,
];

/// The model called `name`.
pub fn find(name: &str) -> Option<&'static dyn Model> {
    ALL.iter().copied().find(|model| model.name() == name)
}

/// The one model that has a second shape, in that shape: its servers serve with at most `size` threads over a queue,
/// instead of one for each connection (`serve --pool`). As many slow peers as there are threads hold up everybody.
pub fn pooled(size: NonZeroUsize) -> Box<dyn Model> {
    Box::new(blocking::Blocking { pool: Some(size) })
}

/// Binds `address` as every server of every model is bound: a backlog of [`LISTEN_BACKLOG`], and `TCP_NODELAY`,
/// which accepted sockets inherit.
///
/// # Errors
/// What the system says: the address is in use, may not be bound, or is not of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A server that restarts must not wait for the connections it left in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// The process's monotonic clock; its origin is the first time this is called.
pub fn clock() -> Clock {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    LazyLock::force(&ORIGIN);
    Clock::new(|| ORIGIN.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_are_found_by_their_names() {
        for model in ALL {
            assert_eq!(
                find(model.name()).map(|found| found.name()),
                Some(model.name())
            );
        }
        assert!(find("fifth").is_none());
    }

    #[test]
    fn a_pool_is_the_blocking_model() {
        assert_eq!(pooled(NonZeroUsize::MIN).name(), "blocking");
    }

    #[test]
    fn accepted_sockets_inherit_tcp_nodelay() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let clock = clock();
        let earlier = clock.now();
        assert!(clock.now() >= earlier);
    }
}
