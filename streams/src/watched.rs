//! Futures around futures, for timelines: each reports when its task is polled, and what it waits for when it is pending. Without an
//! observer of turns there are none.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use futures::FutureExt;
use poetry::event::{Scene, Wait};
use poetry::{Kind, Reporter};
use tokio::task::spawn_local;

use crate::fetch::Call;

thread_local! {
    /// What the task that is being polled waits for, if that is not a byte from its peer.
    static NOTED: Cell<Option<Wait>> = const { Cell::new(None) };
}

/// Returns `polled`. If it is pending, notes that the task that is being polled waits for `wait`.
pub(crate) fn noted<T>(polled: Poll<T>, wait: Wait) -> Poll<T> {
    if polled.is_pending() {
        NOTED.set(Some(wait));
    }
    polled
}

/// Where the turns of a connection are reported.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) reporter: Reporter,
    pub(crate) scene: Scene,
}

/// Spawns the task of a connection. If an observer wants its turns, there is a `watcher`.
pub(crate) fn spawn_connection(watcher: Option<Watcher>, task: impl Future<Output = ()> + 'static) {
    match watcher {
        None => drop(spawn_local(task)),
        Some(Watcher { reporter, scene }) => {
            let report = move |kind| reporter.report(scene, kind);
            drop(spawn_local(watched(task, report, || Wait::Read)));
        }
    }
}

/// Returns `fetch`, watched if the observer of `call` wants turns.
pub(crate) fn watched_fetch<T>(
    call: &Call<'_>,
    fetch: impl Future<Output = T>,
) -> impl Future<Output = T> {
    match call.wants_turns() {
        true => {
            let wait = || match call.is_connected() {
                true => Wait::Read,
                false => Wait::Connect,
            };
            // Boxed, because nearly all fetches are not watched and should not hold room for it.
            let watched = watched(fetch, |kind| call.report(kind), wait);
            Box::pin(watched).left_future()
        }
        false => fetch.right_future(),
    }
}

/// Reports each poll of `future`, and what it waits for after it: what was noted, otherwise `wait`.
async fn watched<F: Future>(
    future: F,
    report: impl Fn(Kind),
    wait: impl Fn() -> Wait,
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        report(Kind::Running);
        NOTED.take();
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            report(Kind::Waiting(NOTED.take().unwrap_or_else(&wait)));
        }
        polled
    })
    .await
}
