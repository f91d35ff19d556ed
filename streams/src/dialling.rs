//! Connecting to a peer: its addresses one after another, while a descriptor is free (S15).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::is_short_of_descriptors;
use poetry::{FetchFailure, Peer};

use crate::descriptors::Descriptors;
use crate::net::{Dialled, dial, open};
use crate::yielding::Yielding;

/// Connects to the first of `addresses` that accepts, each within `connect_timeout` (S15), and counts the connection among
/// those of its client. `on_try` is called with each address before it is tried.
///
/// # Errors
/// Fails with the failure of the last address.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    connect_timeout: Duration,
    descriptors: &Arc<Descriptors>,
    mut on_try: impl FnMut(SocketAddr),
) -> Result<Dialled, FetchFailure> {
    let mut failure = FetchFailure::connect_timed_out();
    for &address in addresses {
        on_try(address);
        let open = || match open(address) {
            Err(error) if is_short_of_descriptors(&error) => {
                descriptors.take_spare(address).ok_or(error)
            }
            opened => opened,
        };
        let opened = descriptors.with_one(connect_timeout, open).await;
        let dialled = match opened {
            Ok((socket, descriptor)) => dial(socket, address, connect_timeout)
                .await
                .map(|socket| Yielding::new(socket, descriptor)),
            Err(error) => Err(FetchFailure::connection_failed(&error)),
        };
        match dialled {
            Ok(socket) => return Ok(socket),
            Err(failed) => failure = failed,
        }
    }
    Err(failure)
}

/// [`connect`] to a `peer`, for a caller without other connections and without events.
pub(crate) async fn connect_once(
    peer: &Peer,
    connect_timeout: Duration,
) -> Result<Dialled, FetchFailure> {
    connect(peer.addresses()?, connect_timeout, &Arc::default(), |_| ()).await
}
