//! A heavy request (S25): answered in one of tokio's threads for blocking work, as a future. Nothing begins before the first
//! poll (L1). Dropping the future drops a request that still waits; one that computes ends by itself, and its reply is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use poetry::event::Wait;
use poetry::{Heavy, Refusal, panics};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::watched::noted;

/// A heavy request under way.
pub(crate) struct Offloaded<R>(Pin<Box<dyn Future<Output = Reply<R>>>>);

/// The reply or the refusal, or the message of a panic.
type Reply<R> = Result<Result<R, Refusal>, String>;

impl<R: Send + 'static> Offloaded<R> {
    // ANCHOR: offloaded
    /// The answer to `heavy`. It waits for one of the server's `permits`, in order, and so for a thread.
    pub(crate) fn new(heavy: Heavy<R>, permits: Arc<Semaphore>) -> Self {
        Self(Box::pin(async move {
            let permit = permits.acquire_owned().await;
            // It panics if the system has no thread. The permit is returned when the computation has ended.
            let computing = panics::contain(|| {
                spawn_blocking(move || {
                    let _permit = permit;
                    panics::contain(heavy)
                })
            });
            match computing?.await {
                Ok(reply) => reply,
                Err(cancelled) => Err(cancelled.to_string()),
            }
        }))
    }
    // ANCHOR_END: offloaded

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reply<R>> {
        noted(self.0.as_mut().poll(cx), Wait::Task)
    }
}
