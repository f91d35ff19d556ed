//! The proxy: serves the poem of an upstream server, fetched once for any number of clients (S9).
//!
//! In Haskell this is an `MVar` that holds the poem or an `Async`, which the last client that leaves cancels. Here it is a
//! shared future, which is cancelled when its last clone is dropped. `proxy/cache.rs` holds it weakly.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::{io, mem, thread};

use futures::future::{self, Either, select};
use futures::{FutureExt, Stream, StreamExt};
use poetry::event::{Unobserved, Wait};
use poetry::{
    Clock, CloseReason, FetchFailure, FetchRequest, Observer, Options, Pace, Poem, ProxyService,
    Role, Service, panics,
};

use crate::connection::{ByteStream, Connection};
use crate::fetch::{Call, Fetch};
use crate::poem_server::{end_of_input, write_begun};
use crate::shared::Shared;
use crate::watched::{noted, spawn_connection, watched_fetch};
use crate::workers::RunningServer;
pub(crate) use cache::{Cache, UnderWay};

mod cache;

/// Serves the poem of `service.upstream` on `listener`, in one thread with the default limits, until the returned server is
/// shut down or dropped. The thread has its own runtime; the caller needs none.
///
/// Nothing is fetched before a client connects. Clients that find no fresh poem wait for one fetch, which ends when the
/// last of them has left. If it fails, they are reset.
///
/// # Errors
/// Fails if the system refuses the thread or its runtime.
pub fn serve_proxy(listener: TcpListener, service: ProxyService) -> io::Result<RunningServer> {
    let options = Options::new(Clock::stopped());
    serve_proxy_with(listener, service, &options, Arc::new(Unobserved))
}

/// [`serve_proxy`] with threads and limits from `options`, reporting to `observer`. All threads share one fetch.
///
/// # Errors
/// Fails if the system refuses a thread or its runtime.
pub fn serve_proxy_with(
    listener: TcpListener,
    service: ProxyService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    RunningServer::start(listener, Service::Proxy(service), options, observer)
}

/// Serves the cached poem to every connection, each in a task of its own, until the stream ends. Connections that are open
/// then go on.
pub(crate) async fn relay_poems<S>(
    connections: impl Stream<Item = Connection<S>>,
    cache: Arc<Cache>,
) where
    S: ByteStream + 'static,
{
    connections
        .for_each(|connection| {
            let cache = Arc::clone(&cache);
            spawn_connection(connection.watcher(), async move {
                let upstream =
                    |under_way| fetch_from_upstream(Rc::clone(connection.shared()), under_way);
                relay_poem(&connection, &cache, upstream).await;
            });
            future::ready(())
        })
        .await;
}

// ANCHOR: leave
/// Waits for the poem, which is cached or comes from `upstream`, and writes it. A client that finishes sending before that
/// has left: its share of the fetch is dropped, and with the last share the fetch. Sets why the connection closes. The
/// caller drops it, which closes it.
pub(crate) async fn relay_poem<S, F>(
    connection: &Connection<S>,
    cache: &Arc<Cache>,
    upstream: impl FnOnce(UnderWay) -> F,
) where
    S: ByteStream,
    F: Future<Output = Option<Poem>> + 'static,
{
    connection.set_busy(true);
    let mut poem = cache.poem(&connection.shared().counters, upstream);
    // Counted now that the client waits, so that the counts tell how many clients share a fetch.
    connection.begin(1);
    let waiting = poll_fn(|cx| noted(poem.poll_unpin(cx), Wait::Task));
    let poem = match select(waiting, pin!(end_of_input(connection))).await {
        Either::Left((poem, _)) => poem,
        Either::Right((Ok(()), _)) => Err(CloseReason::Left),
        Either::Right((Err(broken), _)) => Err(broken.reason()),
    };
    match poem {
        Ok(poem) => write_begun(connection, &poem, Pace::Fast).await,
        Err(reason) => connection.set_close_reason(reason),
    }
}
// ANCHOR_END: leave

/// Fetches a poem as the crate's own client does.
async fn fetch_from_upstream(shared: Rc<Shared>, under_way: UnderWay) -> Option<Poem> {
    let cache = Arc::clone(under_way.cache());
    let request = FetchRequest::new(cache.service().upstream.clone());
    let reporter = shared.reporter.for_role(Role::PoemClient);
    let fetch = Fetch {
        request: &request,
        limits: &shared.limits,
        reporter: &reporter,
        descriptors: cache.descriptors(),
        task: under_way.number(),
        worker: shared.worker,
        received: Cell::new(0),
    };
    let call = Call::new(&reporter, fetch.descriptors, fetch.scene(None));
    let unreported = Unreported(&call);
    let poem = watched_fetch(&call, fetch.poem(&call)).await;
    let poem = poem.and_then(ProxyService::accept);
    under_way.settle(poem.as_ref().ok());
    unreported.report(poem.as_ref().map(Poem::as_str));
    poem.ok()
}

/// A fetch whose end has not been reported. If it is dropped, the fetch was cancelled.
struct Unreported<'c>(&'c Call<'c>);

impl Unreported<'_> {
    /// Reports the end. A panic of the observer does not cost the clients their poem.
    fn report(self, end: Result<&str, &FetchFailure>) {
        let _ = panics::contain(|| self.0.report_end(end));
        mem::forget(self);
    }
}

impl Drop for Unreported<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = panics::contain(|| self.0.report_end(Err(&FetchFailure::Cancelled)));
        }
    }
}

#[cfg(test)]
mod tests;
