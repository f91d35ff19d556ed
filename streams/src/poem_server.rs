//! The poem server: a stream of connections, each the sink of a poem whose chunks come when they are due (S1).

use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures::future::{self, select};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use poetry::event::Unobserved;
use poetry::{Clock, CloseReason, Observer, Options, Pace, Poem, PoemService, Service};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::buffer;
use crate::connection::{ByteStream, Connection};
use crate::deadlines::after;
use crate::ending::Ending;
use crate::linger::linger;
use crate::watched::spawn_connection;
use crate::workers::RunningServer;
use crate::writing::write_all;

// ANCHOR: serve_poem
/// Serves a poem on `listener`, in one thread with the default limits, until the returned server is shut down or
/// dropped. The thread has its own runtime; the caller needs none.
///
/// # Errors
/// Fails if the system refuses the thread or its runtime.
pub fn serve_poem(listener: TcpListener, service: PoemService) -> io::Result<RunningServer> {
    let options = Options::new(Clock::stopped());
    serve_poem_with(listener, service, &options, Arc::new(Unobserved))
}

/// [`serve_poem`] with threads and limits from `options`, reporting to `observer`.
///
/// # Errors
/// Fails if the system refuses a thread or its runtime.
pub fn serve_poem_with(
    listener: TcpListener,
    service: PoemService,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    RunningServer::start(listener, Service::Poem(service), options, observer)
}

// ANCHOR: task_for_each
/// Writes the poem to every connection, each in a task of its own, until the stream ends. Connections that are open then
/// go on.
pub(crate) async fn write_poems<S>(
    connections: impl Stream<Item = Connection<S>>,
    service: PoemService,
) where
    S: ByteStream + 'static,
{
    let service = Rc::new(service);
    connections
        .for_each(|connection| {
            let service = Rc::clone(&service);
            let watcher = connection.watcher();
            spawn_connection(watcher, async move {
                write_poem(&connection, &service).await;
            });
            future::ready(())
        })
        .await;
}
// ANCHOR_END: task_for_each

/// Writes the poem to `connection`, and sets why it closes. The caller drops it, which closes it.
pub(crate) async fn write_poem<S>(connection: &Connection<S>, service: &PoemService)
where
    S: ByteStream,
{
    connection.set_busy(true);
    connection.begin(1);
    write_begun(connection, &service.poem, service.pace).await;
}

// ANCHOR: send_due
/// Writes each chunk of the poem when it is due, discards input meanwhile, and sets why the connection closes. The one
/// request of the connection has been counted.
pub(crate) async fn write_begun<S>(connection: &Connection<S>, poem: &Poem, pace: Pace)
where
    S: ByteStream,
{
    let poem = poem.as_bytes();
    let broken = discard_input(connection);
    let written = paced(connection, pace, poem.len()).try_for_each(async |chunk| {
        write_all(connection, &poem[chunk.clone()]).await?;
        if chunk.end == poem.len() {
            connection.answered(1);
        }
        Ok(())
    });
    let (mut broken, mut written) = (pin!(broken), pin!(written));
    let (ended, _) = select(&mut broken, &mut written).await.factor_first();
    match ended {
        Ok(()) => {
            linger(connection).await;
            connection.set_close_reason(CloseReason::Done);
        }
        Err(ending) => connection.set_close_reason(ending.reason()),
    }
}
// ANCHOR_END: send_due
// ANCHOR_END: serve_poem

/// The byte ranges of a poem's chunks, each when it is due. The stream ends when FIN is due.
fn paced<S: ByteStream>(
    connection: &Connection<S>,
    pace: Pace,
    length: usize,
) -> impl Stream<Item = Result<Range<usize>, Box<Ending>>> + Unpin {
    let accepted = Instant::now();
    let mut index = 0;
    stream::poll_fn(move |cx| {
        let due = match length {
            // It has no chunk, so FIN is due at once.
            0 => Duration::ZERO,
            _ => pace.due(index),
        };
        if !due.is_zero() {
            ready!(connection.poll_at(after(accepted, due), cx));
        }
        let chunk = match length {
            // One empty chunk, so that an empty poem is answered too.
            0 => (index == 0).then_some(0..0),
            _ => pace.chunk(index, length),
        };
        index += 1;
        Poll::Ready(chunk.map(Ok))
    })
}

/// Reads that one poll discards before other connections have their turn.
const DISCARDS_PER_POLL: u32 = 4;

/// Reads and discards what the client sends. Its FIN does not end the poem (S1), so this ends only when the connection
/// breaks.
async fn discard_input<S>(connection: &Connection<S>) -> Result<(), Box<Ending>>
where
    S: ByteStream,
{
    end_of_input(connection).await?;
    future::pending().await
}

/// Reads and discards what the client sends until it has finished sending.
///
/// # Errors
/// Fails if the connection breaks before that.
pub(crate) async fn end_of_input<S>(mut connection: &Connection<S>) -> Result<(), Box<Ending>>
where
    S: ByteStream,
{
    loop {
        for _ in 0..DISCARDS_PER_POLL {
            let bytes = poll_fn(|cx| {
                connection.sees_stop();
                buffer::poll_discard(&mut connection, cx)
            });
            if bytes.await.map_err(Ending::from)? == 0 {
                return Ok(());
            }
        }
        yield_now().await;
    }
}

#[cfg(test)]
mod tests;
