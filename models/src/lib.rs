//! The list of the models, the function that binds their listeners, and the real clock for events.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use poetry::event::Unobserved;
//! use poetry::{Cancel, FetchRequest, Options, Pace, PoemService, Service};
//!
//! let options = Options::new(models::clock());
//! let poem = PoemService { poem: "Ahoy!\n".into(), pace: Pace::Fast };
//! for model in models::ALL {
//!     let listener = models::listen(([127, 0, 0, 1], 0).into())?;
//!     let service = Service::Poem(poem.clone());
//!     let server = model.serve(listener, service, &options, Arc::new(Unobserved))?;
//!     let request = FetchRequest::new(server.address());
//!     let outcomes = model.client(&options)?.fetch(&[request], Arc::new(Unobserved), &Cancel::new());
//!     assert_eq!(outcomes[0].poem.as_deref(), Ok("Ahoy!\n"), "{}", model.name());
//!     server.shutdown(Duration::from_secs(1));
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The command, the conformance suite and the benchmarks take their models from [`ALL`]. A fifth model is one more line
//! in it, and a dependency of this crate.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::Instant;

use poetry::limits::LISTEN_BACKLOG;
use poetry::{Clock, Model};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

// ANCHOR: all
/// Every model, in the order of the tutorial.
pub const ALL: &[&dyn Model] = &[
    &callbacks::Callbacks,
    &actors::Actors,
    &streams::Streams,
    &blocking::Blocking::NEW,
];
// ANCHOR_END: all

/// Returns the model called `name`.
pub fn find(name: &str) -> Option<&'static dyn Model> {
    ALL.iter().copied().find(|model| model.name() == name)
}

/// Returns the blocking model with a fixed pool: its servers serve with at most `size` threads over a queue, instead of
/// one thread for each connection (`serve --pool`). `size` slow peers hold up every other one.
pub fn pooled(size: NonZeroUsize) -> Box<dyn Model> {
    Box::new(blocking::Blocking { pool: Some(size) })
}

/// Binds the listener of a server of any model, with a backlog of [`LISTEN_BACKLOG`] and `TCP_NODELAY`, which accepted
/// sockets inherit.
///
/// # Errors
/// Fails if the address is in use, forbidden, or not of this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A server can then restart while its old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Returns another handle of a `listener` that was bound elsewhere or is used by several servers, one after another, for a server
/// of any model: non-blocking, with `TCP_NODELAY`, and with the backlog it has.
///
/// # Errors
/// Fails if it is not a listener, or if there is no free descriptor.
pub fn share(listener: &TcpListener) -> io::Result<TcpListener> {
    let socket = SockRef::from(listener);
    if !socket.is_listener()? {
        return Err(io::Error::other("the socket does not listen"));
    }
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    listener.try_clone()
}

/// Returns the process's monotonic clock. Its origin is the first call of this function.
pub fn clock() -> Clock {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    LazyLock::force(&ORIGIN);
    Clock::new(|| ORIGIN.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_model_by_its_name() {
        for model in ALL {
            assert_eq!(
                find(model.name()).map(|found| found.name()),
                Some(model.name())
            );
        }
        assert!(find("fifth").is_none());
    }

    #[test]
    fn a_pooled_model_is_the_blocking_model() {
        assert_eq!(pooled(NonZeroUsize::MIN).name(), "blocking");
    }

    #[test]
    fn accepted_sockets_inherit_tcp_nodelay() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn only_a_listener_is_shared() {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let shared = share(&listener).unwrap();
        assert_eq!(shared.local_addr().unwrap(), listener.local_addr().unwrap());
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(share(&bound.into()).is_err());
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = clock();
        let earlier = clock.now();
        assert!(clock.now() >= earlier);
    }
}
