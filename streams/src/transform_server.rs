//! The transform server: a stream of connections, each a stream of requests into a sink of replies (S2–S7, L5).
//!
//! Haskell writes it as `interact (concatMap answer . netstrings)`. Here `answers` is the lazy list of replies, and
//! `try_for_each` the sink: it asks for more replies only when the kernel has taken the previous ones, so a client that
//! reads slowly has its requests read slowly. Dropping a connection's task cancels it, wherever it waits.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, future};
use poetry::event::Unobserved;
use poetry::{Clock, Observer, Options, Service, TransformService, Unanswered};

use crate::answers::{Answering, answers};
use crate::connection::{ByteStream, Connection};
use crate::linger::linger;
use crate::replies::Made;
use crate::watched::spawn_connection;
use crate::workers::RunningServer;
use crate::writing::deliver;

/// Answers transform requests on `listener`, in one thread with the default limits, until the returned server is shut
/// down or dropped. The thread has its own runtime; the caller needs none.
///
/// # Errors
/// Fails if the system refuses the thread or its runtime.
pub fn serve_transforms(
    listener: TcpListener,
    service: TransformService,
) -> io::Result<RunningServer> {
    let options = Options::new(Clock::stopped());
    serve_transforms_with(listener, service, &options, Arc::new(Unobserved))
}

/// [`serve_transforms`] with threads and limits from `options`, reporting to `observer`.
///
/// # Errors
/// Fails if the system refuses a thread or its runtime.
pub fn serve_transforms_with(
    listener: TcpListener,
    service: TransformService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    RunningServer::start(listener, Service::Transform(service), options, observer)
}

/// Answers the requests of every connection, each in a task of its own, until the stream ends. Connections that are open
/// then go on. A library's are answered in the same way.
pub(crate) async fn answer_connections<S, A>(
    connections: impl Stream<Item = Connection<S>>,
    service: A,
) where
    S: ByteStream + 'static,
    A: Answering + 'static,
{
    let service = Rc::new(service);
    connections
        .for_each(|mut connection| {
            connection.expects_requests(service.keep_alive());
            let watcher = connection.watcher();
            spawn_connection(watcher, answer_requests(connection, Rc::clone(&service)));
            future::ready(())
        })
        .await;
}

// ANCHOR: answer_requests
/// Answers the requests of `connection` in order, and closes it.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would hold its arguments twice in every idle connection"
)]
pub(crate) fn answer_requests<S, A>(
    connection: Connection<S>,
    service: Rc<A>,
) -> impl Future<Output = ()>
where
    S: ByteStream,
    A: Answering,
{
    async move {
        let items_max = if service.keep_alive() { usize::MAX } else { 1 };
        let ended = answers(&connection, &*service)
            .take(items_max)
            .try_for_each(|replies| deliver(&connection, replies))
            .await;

        let (lingers, reason) = connection.account_end(ended);
        if lingers {
            linger(&connection).await;
        }
        connection.set_close_reason(reason);
    }
}
// ANCHOR_END: answer_requests

impl Answering for TransformService {
    type Replies = Made;

    fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    #[inline]
    fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Made,
    ) -> Result<(), Unanswered<Made>> {
        self.answer_or_offload(frame, frame_bytes_max, &mut replies.bytes)
            .map_err(|unanswered| unanswered.map(|bytes| Made { bytes, count: 1 }))?;
        replies.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
