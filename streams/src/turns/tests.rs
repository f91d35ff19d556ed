//! Turns, counted by the events of connections in memory.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::stream;
use poetry::{Kind, Limits, TransformService};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::*;
use crate::connection::ByteStream;
use crate::testing::{TestWorker, on_virtual_time};
use crate::transform_server::answer_connections;

const REQUEST: &[u8] = b"7:shout.a,";
const KEEP_ALIVE: TransformService = TransformService {
    keep_alive: true,
    lab: None,
    offload: false,
};

/// What a peer's socket has at each read: so many requests, or nothing yet. It takes every reply, and finishes at last.
#[derive(Clone)]
struct Scripted(VecDeque<usize>);

impl ByteStream for Scripted {}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            Some(0) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            requests => {
                buffer.put_slice(&REQUEST.repeat(requests.unwrap_or(0)));
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Serves `peers` to their ends: the answers in their order, each with the peer that it went to.
fn serve(peers: &[Scripted]) -> Vec<(usize, u64)> {
    on_virtual_time(async {
        let worker = TestWorker::new(Limits::default());
        let connections = peers.iter().zip(0..);
        let connections = connections.map(|(peer, number)| worker.accept(peer.clone(), number));
        answer_connections(stream::iter(connections), KEEP_ALIVE).await;
        // Time moves only when no connection has anything left to do.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(worker.counts().closed.done, peers.len() as u64);
        let events = worker.recorder.events().into_iter();
        let answers = events.filter_map(|event| match event.kind {
            Kind::Answered { requests } => Some((event.scene.task as usize, requests)),
            _ => None,
        });
        answers.collect()
    })
}

fn requests_of(peer: &Scripted) -> u64 {
    peer.0.iter().sum::<usize>() as u64
}

/// Asserts that between two answers to a peer that stays ready, every other one is answered at most `most` requests.
fn assert_turns(peers: &[Scripted], answers: &[(usize, u64)], most: u64) {
    for (peer, script) in peers.iter().enumerate() {
        let mut between = vec![0; peers.len()];
        let mut own = 0;
        let stays_ready = script.0.iter().all(|&requests| requests > 0);
        for &(answered, requests) in answers {
            if answered == peer {
                own += requests;
                between.fill(0);
            } else if stays_ready && own > 0 && own < requests_of(script) {
                between[answered] += requests;
                let between = between[answered];
                assert!(
                    between <= most,
                    "{answered}: {between} between two of {peer}"
                );
            }
        }
        assert_eq!(own, requests_of(script));
    }
}

#[test]
fn s24_at_most_64_requests_of_each_other_are_answered_between_two_answers() {
    let pipelines = Scripted([3_000, 2_000, 65, 64, 1].into());
    let asks_once_at_a_time = Scripted([1; 200].into());
    let pauses = Scripted([0, 100, 0, 63, 0, 63, 0, 0, 300, 0].repeat(20).into());
    let mut peers = vec![pipelines; 4];
    peers.extend([asks_once_at_a_time.clone(), pauses.clone(), pauses]);
    peers.push(asks_once_at_a_time);
    let answers = serve(&peers);
    assert!(answers.iter().all(|&(_, requests)| requests <= 64));
    assert_turns(&peers, &answers, REQUESTS_PER_TURN_MAX.into());
}

#[test]
fn s24_turns_are_taken_by_hundreds_too() {
    // More tasks than tokio polls before it looks for I/O.
    let peers = vec![Scripted([130, 0, 70].into()); 300];
    let answers = serve(&peers);
    assert_turns(&peers, &answers, REQUESTS_PER_TURN_MAX.into());
    let peers = vec![Scripted([400].into()); 300];
    let answers = serve(&peers);
    assert_turns(&peers, &answers, REQUESTS_PER_TURN_MAX.into());
}

#[test]
fn l5_no_connection_is_answered_more_than_twice_before_every_ready_one_has_been() {
    const PEERS: usize = 300;
    const REQUESTS: usize = 40;
    let answers = serve(&vec![Scripted([1; REQUESTS].into()); PEERS]);
    let mut answered = [0; PEERS];
    for (peer, requests) in answers {
        answered[peer] += requests;
        let fewest = *answered.iter().min().unwrap();
        assert!(answered[peer] <= fewest + u64::from(READS_PER_TURN));
    }
    assert_eq!(answered, [REQUESTS as u64; PEERS]);
}

#[test]
fn s24_a_connection_that_closes_while_it_waits_frees_its_place() {
    on_virtual_time(async {
        let turns = Rc::<Turns>::default();
        let kept = Rc::clone(&turns);
        spawn_local(async move { kept.run().await });
        let mut waiting: Vec<Turn> = (0..3).map(|_| Turn::new(&turns)).collect();
        for turn in &mut waiting {
            turn.count(REQUESTS_PER_TURN_MAX);
            poll_fn(|cx| {
                assert!(turn.poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        drop(waiting.remove(0));
        for turn in &mut waiting {
            poll_fn(|cx| turn.poll(cx)).await;
        }
        assert_eq!(turns.first.get(), BEHIND_ALL);
    });
}
