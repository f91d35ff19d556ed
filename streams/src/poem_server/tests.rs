//! The poem server over pipes in memory, on virtual time.

use std::num::NonZeroUsize;
use std::time::Duration;

use poetry::{Counts, Limits, Poem};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::*;
use crate::testing::{TestWorker, on_virtual_time};

const SLOW: Pace = Pace::Slow {
    num_bytes: NonZeroUsize::new(4).unwrap(),
    delay: Duration::from_secs(1),
};

fn serve<T>(
    text: &str,
    pace: Pace,
    pipe: usize,
    peer: impl AsyncFnOnce(DuplexStream) -> T,
) -> (T, Counts) {
    serve_over(text, pace, |worker| worker.connect(pipe), peer)
}

fn serve_over<S, T>(
    text: &str,
    pace: Pace,
    connect: impl FnOnce(&TestWorker) -> (Connection<S>, DuplexStream),
    peer: impl AsyncFnOnce(DuplexStream) -> T,
) -> (T, Counts)
where
    S: ByteStream + 'static,
{
    let poem = Poem::from(text);
    let service = PoemService { poem, pace };
    on_virtual_time(async {
        let worker = TestWorker::new(Limits::default());
        let (connection, other_end) = connect(&worker);
        // A task of its own, so that a wake of the peer does not poll it.
        let served = spawn_local(async move { write_poem(&connection, &service).await });
        let (served, result) = futures::join!(served, peer(other_end));
        served.unwrap();
        (result, worker.counts())
    })
}

#[test]
fn s1_an_empty_poem_ends_at_once_also_at_a_slow_pace() {
    let (waited, counts) = serve("", SLOW, 1024, async |mut socket| {
        let began = tokio::time::Instant::now();
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
        began.elapsed()
    });
    assert_eq!(waited, Duration::ZERO);
    assert_eq!((counts.answered, counts.closed.done), (1, 1));
}

#[test]
fn s1_a_fast_poem_arrives_at_once_and_ends_with_fin() {
    let (poem, counts) = serve("a poem", Pace::Fast, 1024, async |mut socket| {
        let mut poem = String::new();
        socket.read_to_string(&mut poem).await.unwrap();
        poem
    });
    assert_eq!(poem, "a poem");
    assert_eq!((counts.answered, counts.closed.done), (1, 1));
}

// ANCHOR: chunks_on_time
#[test]
fn s1_each_chunk_arrives_when_it_is_due_and_fin_one_delay_after_the_last() {
    let (received, _) = serve("ten bytes!", SLOW, 1024, async |mut socket| {
        let began = Instant::now();
        let mut received = Vec::new();
        loop {
            let mut bytes = [0; 16];
            let read = socket.read(&mut bytes).await.unwrap();
            received.push((began.elapsed().as_secs(), bytes[..read].to_vec()));
            if read == 0 {
                return received;
            }
        }
    });
    let text = |text: &str| text.as_bytes().to_vec();
    let expected = [
        (0, text("ten ")),
        (1, text("byte")),
        (2, text("s!")),
        (3, text("")),
    ];
    assert_eq!(received, expected);
}
// ANCHOR_END: chunks_on_time

#[test]
fn s1_input_and_a_fin_of_the_client_do_not_end_the_poem() {
    let (poem, counts) = serve("ten bytes!", SLOW, 8, async |mut socket| {
        let mut poem = String::new();
        socket.write_all(&[b'?'; 1000]).await.unwrap();
        socket.shutdown().await.unwrap();
        socket.read_to_string(&mut poem).await.unwrap();
        poem
    });
    assert_eq!(poem, "ten bytes!");
    assert_eq!((counts.bytes_in, counts.closed.done), (1000, 1));
}

#[test]
fn s1_lateness_does_not_accumulate() {
    let (elapsed, _) = serve(&"x".repeat(40), SLOW, 4, async |mut socket| {
        let began = Instant::now();
        sleep(Duration::from_millis(5500)).await;
        let mut poem = String::new();
        socket.read_to_string(&mut poem).await.unwrap();
        assert_eq!(poem.len(), 40);
        began.elapsed().as_secs()
    });
    assert_eq!(elapsed, 10);
}

#[test]
fn s18_a_peer_that_reads_nothing_is_closed_by_the_write_timeout() {
    let (waited, counts) = serve("ten bytes!", Pace::Fast, 4, async |mut socket| {
        let began = Instant::now();
        sleep(Duration::from_secs(20)).await;
        socket.read_exact(&mut [0; 4]).await.unwrap();
        while socket.write_all(b"?").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
        began.elapsed().as_secs()
    });
    assert_eq!(waited, 50);
    assert_eq!((counts.failed, counts.closed.write), (1, 1));
}

#[test]
fn s18_a_slow_but_steady_reader_gets_the_whole_poem_although_no_room_is_announced() {
    let text = "a poem that a client takes byte by byte".repeat(2);
    for pace in [Pace::Fast, SLOW] {
        let connect = |worker: &TestWorker| worker.connect_unannounced(8);
        let (poem, counts) = serve_over(&text, pace, connect, async |mut socket| {
            let mut poem = vec![0; text.len()];
            for byte in &mut poem {
                sleep(Duration::from_secs(10)).await;
                *byte = socket.read_u8().await.unwrap();
            }
            assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
            poem
        });
        assert_eq!(poem, text.as_bytes());
        assert_eq!((counts.answered, counts.closed.done), (1, 1));
        assert_eq!(counts.bytes_out, text.len() as u64);
    }
}

#[test]
fn s18_bytes_taken_without_an_announcement_restart_the_write_timeout_once() {
    let text = "more than ten bytes";
    let connect = |worker: &TestWorker| worker.connect_unannounced(8);
    let (_still_open, counts) = serve_over(text, Pace::Fast, connect, async |mut socket| {
        sleep(Duration::from_secs(10)).await;
        socket.read_exact(&mut [0; 2]).await.unwrap();
        // Input wakes the server, which writes again in vain. That does not restart the timeout.
        sleep(Duration::from_secs(49)).await;
        socket.write_all(b"?").await.unwrap();
        sleep(Duration::from_secs(2)).await;
        assert!(socket.write_all(b"?").await.is_err());
        socket
    });
    assert_eq!((counts.failed, counts.closed.write), (1, 1));
    assert_eq!(counts.bytes_out, 8 + 2);
}

#[test]
fn s19_a_reset_in_mid_poem_costs_that_connection() {
    let ((), counts) = serve("ten bytes!", SLOW, 1024, async |mut socket| {
        socket.read_exact(&mut [0; 4]).await.unwrap();
    });
    assert_eq!((counts.failed, counts.closed.reset), (1, 1));
}

#[test]
fn s1_an_empty_poem_is_served() {
    for pace in [Pace::Fast, SLOW] {
        let (read, counts) = serve("", pace, 8, async |mut socket| {
            socket.read(&mut [0; 8]).await.unwrap()
        });
        assert_eq!((read, counts.answered, counts.closed.done), (0, 1, 1));
    }
}
