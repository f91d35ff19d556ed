//! A fetch from a free local port can connect to itself when the kernel picks that port as the source. It must fail at
//! once, like a refused connection (S11), and leave the port free for the server it belongs to.
//!
//! Each case moves its thread into a network namespace with one ephemeral port, so the kernel has no choice.

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
    a_fetch_that_connects_to_itself_is_reported_as_connection_failed [S11],
    a_transform_that_connects_to_itself_keeps_the_original [S11 S13],
}

/// A client that keeps the connection reports this timeout instead of the failure. It is far below the time limit of
/// a case, and long enough that load on the machine does not cause it.
const IDLE: Duration = Duration::from_secs(5);
/// The only ephemeral port of the namespace.
const PORT: u16 = 40_001;

fn address() -> SocketAddr {
    ([127, 0, 0, 1], PORT).into()
}

fn is_self_connected(failure: &FetchFailure) -> bool {
    *failure == FetchFailure::self_connected()
}

/// Expects that the port can be bound without `SO_REUSEADDR`: neither the connection nor a TIME_WAIT still holds it.
fn expect_free_port() -> Check {
    Listener::at(address())
        .map(drop)
        .during("binding the fetched port")
}

fn a_fetch_that_connects_to_itself_is_reported_as_connection_failed(context: &Context) -> Check {
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
