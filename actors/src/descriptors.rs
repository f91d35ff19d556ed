//! The descriptors of one client: a fetch without a free one waits until another fetch of the client ends its connection
//! (S15). The proxy's client keeps one in reserve, since the proxy's own connections may have taken all others.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poetry::FetchFailure;
use poetry::error::is_short_of_descriptors;
use poetry::limits::ACCEPT_RETRY;
use tokio::sync::Notify;

use crate::dial::Connect;
use crate::net::Spare;
use crate::process::timeout;

/// The connections of one client. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Descriptors(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Connections that are open or being made.
    open: AtomicUsize,
    /// Wakes one waiting fetch for each connection that ends.
    ended: Notify,
    keeps_reserve: bool,
    reserve: Mutex<Option<Spare>>,
}

/// The descriptor of one connection. Drop it after the connection: a waiting fetch may then have it.
#[derive(Debug)]
pub(crate) struct Descriptor(Option<Arc<Shared>>);

impl Descriptors {
    /// Keeps one descriptor in reserve, for the connection of one fetch. Without it, a server whose connections wait for
    /// the fetch could leave the fetch none for ever.
    pub(crate) fn with_reserve() -> Self {
        let shared = Shared {
            keeps_reserve: true,
            ..Shared::default()
        };
        shared.refill();
        Self(Arc::new(shared))
    }

    /// Connects to `address` within `patience`. Waiting for a connection of another fetch to end does not count against
    /// that.
    ///
    /// # Errors
    /// The connect failed, or the system has no free descriptor for so long although this client has no connection.
    pub(crate) async fn connect<S: Connect>(
        &self,
        address: SocketAddr,
        patience: Duration,
    ) -> Result<(S, Descriptor), FetchFailure> {
        let mut left = patience;
        loop {
            // Created before the attempt, so that no end is missed.
            let ended = self.0.ended.notified();
            let descriptor = self.take();
            let tried = timeout(left, pin!(S::connect(address))).await;
            let error = match tried {
                Some(Ok(stream)) => return Ok((stream, descriptor)),
                None => return Err(FetchFailure::connect_timed_out()),
                Some(Err(error)) if !is_short_of_descriptors(&error) => {
                    return Err(FetchFailure::connection_failed(&error));
                }
                Some(Err(error)) => error,
            };
            descriptor.give_up();
            if self.0.reserve().take().is_some() {
                // Freed, and taken by the next attempt before another process of this arbiter runs.
                continue;
            }
            if self.0.open.load(Ordering::SeqCst) > 0 {
                ended.await;
                left = patience;
            } else {
                left = self.pause(left, &error).await?;
            }
        }
    }

    /// No connection of this client will free a descriptor: pauses before the next attempt, and lets the other fetches
    /// that wait find out too.
    async fn pause(&self, left: Duration, error: &io::Error) -> Result<Duration, FetchFailure> {
        self.0.ended.notify_waiters();
        if left.is_zero() {
            return Err(FetchFailure::connection_failed(error));
        }
        timeout(left.min(ACCEPT_RETRY), pin!(future::pending::<()>())).await;
        Ok(left.saturating_sub(ACCEPT_RETRY))
    }

    fn take(&self) -> Descriptor {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Descriptor(Some(Arc::clone(&self.0)))
    }
}

impl Descriptor {
    /// Gives up a descriptor that the system did not grant. No process can have it, so none is woken.
    fn give_up(mut self) {
        if let Some(shared) = self.0.take() {
            shared.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            // Before another process of this arbiter can take the descriptor.
            shared.refill();
            shared.open.fetch_sub(1, Ordering::SeqCst);
            shared.ended.notify_one();
        }
    }
}

impl Shared {
    /// Takes a descriptor into reserve, if that is wanted and there is one.
    fn refill(&self) {
        let mut reserve = self.reserve();
        if self.keeps_reserve && reserve.is_none() {
            *reserve = Spare::take().ok();
        }
    }

    /// Every statement leaves the reserve consistent, so a poisoned lock can still be used.
    fn reserve(&self) -> MutexGuard<'_, Option<Spare>> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
