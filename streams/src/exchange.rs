//! A request and its reply, both netstrings, on their way: what the clients of a library (S8) and of a transform server (S13)
//! share. The reply is as lazy as a poem: a stream of chunks.

use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use poetry::FetchFailure;
use poetry::error::{Timeout, is_reset_after_fin};
use poetry::netstring::{Decoder, Flaw, FramingError};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::chunks;

/// Sends all of `request`, or as much as the peer takes before it finishes: its reply then tells why. Each byte that the
/// peer takes restarts `idle_timeout`. When that is over, the write is tried once more, since the kernel may not announce
/// small room (S18).
pub(crate) async fn send<S>(
    socket: &mut S,
    mut request: &[u8],
    idle_timeout: Duration,
) -> Result<(), FetchFailure>
where
    S: AsyncWrite + Unpin,
{
    while !request.is_empty() {
        // Polls the write once more when the time is over.
        let taken = timeout(idle_timeout, socket.write(request))
            .await
            .map_err(|_| FetchFailure::TimedOut(Timeout::Idle))?;
        match taken {
            Ok(taken @ 1..) => request = &request[taken..],
            Ok(0) => {
                return Err(FetchFailure::connection_lost(
                    &io::ErrorKind::WriteZero.into(),
                ));
            }
            Err(error) if is_reset_after_fin(&error) => return Ok(()),
            Err(error) => return Err(FetchFailure::connection_lost(&error)),
        }
    }
    Ok(())
}

/// The chunks of the payload of the netstring that begins `wire`. A length over `limit` fails before a byte of the payload
/// is delivered. With the netstring's last byte `wire` is dropped. `not_a_netstring` returns the failure for other bytes.
pub(crate) fn unwrapped(
    wire: impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin,
    limit: usize,
    not_a_netstring: fn(FramingError) -> FetchFailure,
) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin {
    let mut wire = Some(wire);
    let mut wrapping = Wrapping::Length {
        decoder: Decoder::new(limit),
        length: 0,
    };
    chunks::ends_with_error(stream::poll_fn(move |cx| {
        while let Some(source) = &mut wire {
            let Some(chunk) = ready!(source.poll_next_unpin(cx)).transpose()? else {
                return Poll::Ready(Some(Err(wrapping.cut_short())));
            };
            let payload = wrapping.unwrap(chunk).map_err(not_a_netstring)?;
            if matches!(wrapping, Wrapping::Complete) {
                wire = None;
            }
            if !payload.is_empty() {
                return Poll::Ready(Some(Ok(payload)));
            }
        }
        Poll::Ready(None)
    }))
}

/// The part of a netstring that comes next.
#[derive(Debug)]
enum Wrapping {
    /// The length, of which `length` has come. The decoder checks it, and is not given the payload.
    Length { decoder: Decoder, length: usize },
    /// `left` bytes of the payload, and the comma. The place counts from the start of the stream.
    Payload { left: usize, at: u64 },
    /// Nothing.
    Complete,
}

impl Wrapping {
    /// Takes the bytes of the payload out of `chunk`.
    fn unwrap(&mut self, mut chunk: Vec<u8>) -> Result<Vec<u8>, FramingError> {
        if let Self::Length { decoder, length } = self {
            let digits = chunk.iter().position(|&byte| byte == b':');
            for &byte in &chunk[..digits.unwrap_or(chunk.len())] {
                decoder.feed(&[byte]).next()?;
                *length = *length * 10 + usize::from(byte - b'0');
            }
            let Some(digits) = digits else {
                return Ok(Vec::new());
            };
            decoder.feed(b":").next()?;
            chunk.drain(..=digits);
            *self = Self::Payload {
                left: *length,
                at: decoder.position(),
            };
        }
        let Self::Payload { left, at } = self else {
            return Ok(Vec::new());
        };
        match chunk.get(*left) {
            None => {
                *left -= chunk.len();
                *at += chunk.len() as u64;
            }
            Some(b',') => {
                chunk.truncate(*left);
                *self = Self::Complete;
            }
            Some(&other) => {
                return Err(FramingError {
                    at: *at + *left as u64,
                    flaw: Flaw::NotAComma(other),
                });
            }
        }
        Ok(chunk)
    }

    /// Why the end of the stream is a failure here.
    fn cut_short(&self) -> FetchFailure {
        match self {
            Self::Length { decoder, .. } if decoder.position() == 0 => FetchFailure::Refused,
            _ => FetchFailure::CutShort,
        }
    }
}

#[cfg(test)]
mod tests;
