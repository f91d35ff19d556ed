//! The poem server: a stream of connections, each the sink of a poem whose chunks come when they are due (S1).

use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::{Sink, SinkExt, Stream, StreamExt};
use poetry::{CloseReason, Pace, PoemService};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::Instant;

use crate::buffer;
use crate::connection::Connection;
use crate::deadlines::after;
use crate::demand::forward;
use crate::ending::Ending;
use crate::linger::Linger;
use crate::writing::Writing;

// ANCHOR: serve_poem
/// Writes the poem to every connection of `connections`, each in a task of its own, until the stream ends; those
/// that are open then go on.
///
/// # Panics
/// Outside a tokio runtime that can spawn local tasks.
pub async fn serve_poem<S>(connections: impl Stream<Item = Connection<S>>, service: PoemService)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = Rc::new(service);
    connections
        .for_each(|connection| {
            let service = Rc::clone(&service);
            spawn_local(async move { write_poem(&connection, &service).await });
            std::future::ready(())
        })
        .await;
}

/// Forwards the chunks of the poem, each when it is due, into the connection, and closes it.
pub(crate) async fn write_poem<S>(connection: &Connection<S>, service: &PoemService)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let poem = service.poem.as_bytes();
    let mut chunks = paced(connection, service.pace, poem.len());
    let mut sink = PoemSink::new(connection, poem);
    let end = match forward(&mut chunks, &mut sink).await {
        Ok(()) => sink.close().await,
        Err(ending) => Err(ending),
    };
    connection.close(end.map_or_else(|ending| ending.reason(), |()| CloseReason::Done));
}
// ANCHOR_END: serve_poem

/// Where the chunks of a poem of `length` bytes lie, each when it is due; the end comes when FIN is due.
fn paced<S>(
    connection: &Connection<S>,
    pace: Pace,
    length: usize,
) -> impl Stream<Item = Result<Range<usize>, Box<Ending>>> + Unpin {
    let accepted = Instant::now();
    let mut index = 0;
    futures::stream::poll_fn(move |cx| {
        let due = pace.due(index);
        if !due.is_zero() {
            ready!(connection.poll_at(after(accepted, due), cx));
        }
        let chunk = pace.chunk(index, length);
        index += 1;
        Poll::Ready(chunk.map(Ok))
    })
}

/// Reads that one poll throws away before others have their turn.
const DISCARDS_PER_POLL: u32 = 4;

/// A sink of places in the poem, which it writes to the connection. What the peer sends is thrown away.
#[derive(Debug)]
struct PoemSink<'c, S> {
    connection: &'c Connection<S>,
    poem: &'c [u8],
    chunk: Range<usize>,
    writing: Writing,
    /// The whole poem has been taken.
    answered: bool,
    /// The peer has finished sending, which does not end the poem.
    peer_finished: bool,
    linger: Linger,
}

impl<'c, S> PoemSink<'c, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(connection: &'c Connection<S>, poem: &'c [u8]) -> Self {
        connection.set_busy(true);
        connection.begin(1);
        Self {
            connection,
            poem,
            chunk: 0..0,
            writing: Writing::default(),
            answered: false,
            peer_finished: false,
            linger: Linger::default(),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        self.connection.sees_stop();
        self.discard(cx)?;
        let chunk = &self.poem[self.chunk.clone()];
        ready!(self.writing.poll_all(self.connection, chunk, cx))?;
        if self.chunk.end == self.poem.len() && !self.answered {
            self.answered = true;
            self.connection.answered(1);
        }
        Poll::Ready(Ok(()))
    }

    fn discard(&mut self, cx: &mut Context<'_>) -> Result<(), Box<Ending>> {
        for _ in 0..DISCARDS_PER_POLL {
            if self.peer_finished {
                return Ok(());
            }
            match buffer::poll_discard(&mut self.connection, cx).map_err(Ending::from)? {
                Poll::Ready(bytes) => self.peer_finished = bytes == 0,
                Poll::Pending => return Ok(()),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl<S> Sink<Range<usize>> for PoemSink<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Error = Box<Ending>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        self.get_mut().poll_write(cx)
    }

    fn start_send(self: Pin<&mut Self>, chunk: Range<usize>) -> Result<(), Box<Ending>> {
        let this = self.get_mut();
        this.chunk = chunk;
        this.writing = Writing::default();
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        self.get_mut().poll_write(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Box<Ending>>> {
        let this = self.get_mut();
        if let Linger::Open = this.linger {
            ready!(this.poll_write(cx))?;
        }
        this.linger.poll(this.connection, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
