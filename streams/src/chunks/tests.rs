//! Chunks and the adaptors that bound them, over pipes in memory and on virtual time.

use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, sleep};

use super::*;
use crate::testing::on_virtual_time;

type Items = Vec<Result<Vec<u8>, FetchFailure>>;

fn lost(error: io::Error) -> FetchFailure {
    FetchFailure::connection_lost(&error)
}

#[test]
fn l4_an_error_is_the_last_item() {
    let items = stream::iter([Ok(1), Err("no"), Ok(2), Err("never")]);
    let items: Vec<_> = futures::executor::block_on(ends_with_error(items).collect());
    assert_eq!(items, [Ok(1), Err("no")]);
}

#[test]
fn l2_one_read_is_made_for_each_chunk_that_is_asked_for() {
    on_virtual_time(async {
        let (mut peer, ours) = duplex(4);
        let mut chunks = Box::pin(chunks(ours));
        peer.write_all(b"abcd").await.unwrap();
        assert_eq!(chunks.next().await.unwrap().unwrap(), b"abcd");
        peer.write_all(b"efgh").await.unwrap();
        // The pipe is full, and no further chunk has been asked for.
        let blocked = tokio::time::timeout(Duration::from_secs(1), peer.write_all(b"i")).await;
        assert!(blocked.is_err());
        assert_eq!(chunks.next().await.unwrap().unwrap(), b"efgh");
    });
}

#[test]
fn s15_silence_is_bounded_and_each_chunk_restarts_the_timeout() {
    on_virtual_time(async {
        let (mut peer, ours) = duplex(64);
        let began = Instant::now();
        let trickle = async {
            for _ in 0..3 {
                peer.write_all(b"x").await.unwrap();
                sleep(Duration::from_secs(9)).await;
            }
            sleep(Duration::from_secs(99)).await;
        };
        let timely = idle_timeout(chunks(ours).map_err(lost), Duration::from_secs(10));
        let items = async {
            let items: Items = timely.collect().await;
            (items, began.elapsed().as_secs())
        };
        let ((), (items, elapsed)) = futures::join!(trickle, items);
        assert_eq!(elapsed, 28);
        assert_eq!(items.len(), 4);
        assert_eq!(items[3], Err(FetchFailure::TimedOut(Timeout::Idle)));
    });
}

#[test]
fn s15_a_poem_is_too_long_at_the_first_byte_over_the_limit() {
    on_virtual_time(async {
        for (length, fits) in [(10, true), (11, false)] {
            let (mut peer, ours) = duplex(4);
            let send = async {
                for _ in 0..length {
                    let _ = peer.write_all(b"x").await;
                }
                drop(peer);
            };
            let bounded = at_most(chunks(ours).map_err(lost), 10);
            let ((), items) = futures::join!(send, bounded.collect::<Items>());
            let too_long = Err(FetchFailure::TooLong { limit: 10 });
            assert_eq!(items.last() == Some(&too_long), !fits);
        }
    });
}

#[test]
fn s15_the_total_deadline_passes_although_chunks_arrive() {
    on_virtual_time(async {
        let (mut peer, ours) = duplex(64);
        let began = Instant::now();
        let trickle = async {
            while peer.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
            began.elapsed().as_secs()
        };
        let total = Some(Duration::from_millis(3500));
        let timely = total_deadline(chunks(ours).map_err(lost), total);
        let (closed, items) = futures::join!(trickle, timely.collect::<Items>());
        assert_eq!((items.len(), closed), (5, 4));
        assert_eq!(items[4], Err(FetchFailure::TimedOut(Timeout::Total)));
    });
}

#[test]
fn l2_a_source_is_dropped_once_enough_bytes_are_taken() {
    on_virtual_time(async {
        for bytes in [0, 5, 9] {
            let (mut peer, ours) = duplex(4);
            let taken = take_bytes(chunks(ours).map_err(lost), bytes).try_concat();
            let endless = async { while peer.write_all(b"x").await.is_ok() {} };
            let (taken, ()) = futures::join!(taken, endless);
            assert_eq!(taken.unwrap(), b"x".repeat(bytes));
        }
    });
}
