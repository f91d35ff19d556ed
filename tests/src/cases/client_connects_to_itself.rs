//! A fetch from a free port of this machine can connect to itself: the kernel picks the fetched port as the source. It
//! must fail at once, as a refused connection does (S11), and must not keep the port from the server that belongs there.
//!
//! Each case moves its own thread into a network namespace with one ephemeral port, so that the kernel has no choice.

use std::net::SocketAddr;
use std::time::Duration;

use poetry::FetchFailure;

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, During};
use crate::fake_servers::{FakeServer, Listener, Serves};
use crate::fetching::{expect_failure, expect_original, plain, transformed};
use crate::namespace::Namespace;

cases! { PoemClient:
    a_fetch_that_connects_to_itself_is_connection_failed [S11],
    a_transform_that_connects_to_itself_keeps_the_original [S11 S13],
}

/// Far from the case's own limit, and long enough that no load on the machine causes it: a client that keeps the
/// connection reports this timeout instead of the failure.
const IDLE: Duration = Duration::from_secs(5);
/// The only ephemeral port of the namespace.
const PORT: u16 = 40_001;

fn address() -> SocketAddr {
    ([127, 0, 0, 1], PORT).into()
}

fn is_self_connected(failure: &FetchFailure) -> bool {
    *failure == FetchFailure::self_connected()
}

/// The port can be bound again, without `SO_REUSEADDR`: the connection left neither itself nor a TIME_WAIT behind.
fn expect_free_port() -> Check {
    Listener::at(address())
        .map(drop)
        .during("binding the port that was fetched")
}

fn a_fetch_that_connects_to_itself_is_connection_failed(context: &Context) -> Check {
    let namespace = Namespace::enter()?;
    let client = context.client_with(|limits| limits.idle_timeout = IDLE)?;
    let outcome = namespace.with_one_ephemeral_port(PORT, || client.fetch_one(plain(address())))?;
    let what = FetchFailure::self_connected().to_string();
    expect_failure(&outcome, &what, &address().to_string(), is_self_connected)?;
    expect_free_port()
}

fn a_transform_that_connects_to_itself_keeps_the_original(context: &Context) -> Check {
    let namespace = Namespace::enter()?;
    let server = FakeServer::start(Serves(b"the poem".into()))?;
    let client = context.client_with(|limits| limits.idle_timeout = IDLE)?;
    let request = transformed(server.address(), "shout", address());
    let outcome = namespace.with_one_ephemeral_port(PORT, || client.fetch_one(request))?;
    let (what, name) = (
        FetchFailure::self_connected().to_string(),
        address().to_string(),
    );
    expect_original(&outcome, "the poem", &what, &name, is_self_connected)?;
    expect_free_port()
}
