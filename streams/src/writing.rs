//! Writing to a connection until the kernel has taken every byte, or none for the write timeout (S18).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use poetry::event::Wait;

use crate::buffer;
use crate::connection::{ByteStream, Connection, Expected};
use crate::ending::Ending;
use crate::replies::{Outgoing, Replies};
use crate::watched::noted;

/// Writes `replies`, in one write if the kernel takes them whole. Their requests are in flight, and count as answered one by
/// one, so that only those whose last byte was not taken can fail (S23).
// Not an `async fn`, which would hold its arguments twice in every idle connection.
pub(crate) fn deliver<S, R>(
    connection: &Connection<S>,
    replies: Box<R>,
) -> impl Future<Output = Result<(), Box<Ending>>>
where
    S: ByteStream,
    R: Replies,
{
    let mut undelivered = Some(replies);
    let mut taken = 0;
    poll_fn(move |cx| {
        let Some(replies) = &mut undelivered else {
            return Poll::Ready(Ok(()));
        };
        let before = taken;
        let polled = poll_write_all(connection, &**replies, &mut taken, cx);
        let answered = match before {
            0 => 0,
            before => replies.whole_within(before),
        };
        if let Poll::Ready(Ok(())) = polled {
            connection.answered(replies.count() - answered);
            if let Some(replies) = undelivered.take() {
                buffer::give_spare(replies);
            }
        } else {
            connection.answered(replies.whole_within(taken) - answered);
        }
        polled
    })
}

/// Writes `bytes`.
pub(crate) async fn write_all<S>(
    connection: &Connection<S>,
    bytes: &[u8],
) -> Result<(), Box<Ending>>
where
    S: ByteStream,
{
    let mut taken = 0;
    poll_fn(|cx| poll_write_all(connection, bytes, &mut taken, cx)).await
}

/// Ready once the kernel has taken all of `bytes`, which are the same at every call. `taken` counts those that it has taken.
// Forced: MEASURING says what that saves.
#[inline(always)]
fn poll_write_all<S, O>(
    mut connection: &Connection<S>,
    bytes: &O,
    taken: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Box<Ending>>>
where
    S: ByteStream,
    O: Outgoing + ?Sized,
{
    while *taken < bytes.len() {
        match bytes.poll_write_from(*taken, Pin::new(&mut connection), cx) {
            Poll::Ready(Ok(written @ 1..)) => {
                *taken += written;
                connection.waits_no_more();
            }
            Poll::Ready(_) => return Poll::Ready(Err(Box::new(Ending::Broken))),
            Poll::Pending => return poll_timeout(connection, cx).map(Err),
        }
    }
    Poll::Ready(Ok(()))
}

/// Ready when the peer has taken no byte for the write timeout. It is called just after a write that found no room, so a
/// connection is not closed while there is room that the kernel has not announced.
#[cold]
fn poll_timeout<S: ByteStream>(
    connection: &Connection<S>,
    cx: &mut Context<'_>,
) -> Poll<Box<Ending>> {
    connection.sees_stop();
    let late = noted(connection.poll_late(Expected::Room, cx), Wait::Write);
    late.map(|()| Box::new(Ending::Write))
}
