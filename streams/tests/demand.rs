//! Demand, observed at a source in memory that counts the bytes taken from it (L1–L3).

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future};
use poetry::limits::READ_BUFFER_BYTES;
use poetry::{FetchFailure, Limits};
use streams::chunks::{at_most, chunks, idle_timeout, take_bytes, total_deadline};
use streams::joins::{as_they_come, one_after_another};
use streams::{Lines, lines};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf, duplex};
use tokio::time::Instant;

const LINE: &str = "and then another line\n";
const SECOND: Duration = Duration::from_secs(1);

fn on_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

/// Fills every buffer with lines, without end.
#[derive(Default)]
struct Endless {
    taken: Arc<AtomicUsize>,
}

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buffer.remaining() > 0 {
            let at = self.taken.fetch_add(1, Ordering::Relaxed);
            buffer.put_slice(&LINE.as_bytes()[at % LINE.len()..][..1]);
        }
        Poll::Ready(Ok(()))
    }
}

/// The count of bytes taken from an endless poem, and its lines, through every adaptor that bounds a poem.
fn endless() -> (
    Arc<AtomicUsize>,
    Lines<impl futures::Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin>,
) {
    let source = Endless::default();
    let taken = Arc::clone(&source.taken);
    let chunks = chunks(source).map_err(|error| FetchFailure::connection_lost(&error));
    let bounded = at_most(idle_timeout(chunks, SECOND), usize::MAX);
    let timely = total_deadline(bounded, Some(100_000 * SECOND));
    (taken, lines(take_bytes(timely, usize::MAX)))
}

#[test]
fn l1_no_adaptor_takes_a_byte_before_it_is_polled() {
    // Building an adaptor needs no runtime either.
    let (taken, lines) = endless();
    let composed = one_after_another([lines.map_ok(|line| line.len()).take(3)]);
    drop(as_they_come([composed.boxed()]));
    assert_eq!(taken.load(Ordering::Relaxed), 0);
}

#[test]
fn l2_the_first_line_of_an_endless_poem_takes_one_read_buffer_at_most() {
    on_virtual_time(async {
        let (taken, mut lines) = endless();
        assert_eq!(lines.next().await, Some(Ok(LINE.trim_end().to_owned())));
        assert!(taken.load(Ordering::Relaxed) <= READ_BUFFER_BYTES);
    });
}

#[test]
fn l2_a_sender_fills_its_pipe_and_one_read_buffer_at_most() {
    const PIPE: usize = 4 * READ_BUFFER_BYTES;
    on_virtual_time(async {
        let (mut peer, ours) = duplex(PIPE);
        let sent = async {
            let mut sent = 0;
            while let Ok(Ok(bytes)) = tokio::time::timeout(SECOND, peer.write(&[b'a'; 999])).await {
                sent += bytes;
            }
            sent
        };
        let mut chunks = pin!(chunks(ours));
        let (first, sent) = future::join(chunks.next(), sent).await;
        let taken = first.unwrap().unwrap().len();
        assert!(taken <= READ_BUFFER_BYTES);
        assert_eq!(sent, PIPE + taken);
    });
}

#[test]
fn l3_a_composed_poem_is_streamed_not_collected() {
    on_virtual_time(async {
        let (first, second) = (endless(), endless());
        let taken = [first.0, second.0];
        let longer = |line: &String| future::ready(line.len() > 3);
        let shouted = |line: String| line.to_uppercase();
        let loud = [first.1, second.1].map(|lines| lines.map_ok(shouted).try_filter(longer));
        let mut merged = as_they_come(loud).take(20_000);
        let mut length = 0;
        while let Some(line) = merged.try_next().await.unwrap() {
            length += line.len() + 1;
            let ahead = taken.iter().map(|taken| taken.load(Ordering::Relaxed));
            assert!(ahead.sum::<usize>() <= length + 2 * (READ_BUFFER_BYTES + LINE.len()));
        }
        assert_eq!(length, 20_000 * LINE.len());
    });
}

#[test]
fn l3_a_throttled_poem_slows_its_source() {
    on_virtual_time(async {
        let (taken, lines) = endless();
        let mut lines = pin!(tokio_stream::StreamExt::throttle(lines, SECOND));
        let began = Instant::now();
        for seconds in 0..2 * READ_BUFFER_BYTES / LINE.len() {
            lines.next().await.unwrap().unwrap();
            assert_eq!(began.elapsed().as_secs(), seconds as u64);
            let asked = (seconds + 1) * LINE.len();
            assert!(taken.load(Ordering::Relaxed) <= asked + READ_BUFFER_BYTES);
        }
    });
}

#[test]
fn l4_an_exceeded_limit_ends_an_endless_poem() {
    on_virtual_time(async {
        let chunks =
            chunks(Endless::default()).map_err(|error| FetchFailure::connection_lost(&error));
        let items: Vec<_> = lines(at_most(chunks, Limits::default().poem_bytes_max / 64))
            .collect()
            .await;
        let (last, before) = items.split_last().unwrap();
        assert!(matches!(last, Err(FetchFailure::TooLong { .. })));
        assert!(before.iter().all(Result::is_ok));
    });
}
