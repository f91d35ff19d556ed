//! The transform server against hostile and slow peers, over pipes in memory and on virtual time.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use poetry::panics::silence_contained;
use poetry::{Clock, Counts, Kind, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::{Instant, sleep};

use super::*;
use crate::testing::{self, TestWorker, on_virtual_time, send_and_read_all};

const KEEP_ALIVE: TransformService = TransformService {
    keep_alive: true,
    lab: None,
    offload: false,
};
const ONE_SHOT: TransformService = TransformService {
    keep_alive: false,
    lab: None,
    offload: false,
};

fn limits() -> Limits {
    Limits {
        idle_timeout: Duration::from_secs(60),
        request_deadline: Duration::from_secs(30),
        write_timeout: Duration::from_secs(20),
        linger_timeout: Duration::from_secs(2),
        linger_bytes_max: 100,
        ..Limits::default()
    }
}

fn serve<T>(
    service: TransformService,
    pipe: usize,
    peer: impl AsyncFnOnce(DuplexStream) -> T,
) -> (T, Counts) {
    testing::serve(service, limits(), |worker| worker.connect(pipe), peer)
}

#[test]
fn s2_a_request_cut_anywhere_is_the_same_request() {
    let wire = b"7:shout.a,12:cummingsify.,";
    for cut in 1..wire.len() {
        let (reply, counts) = serve(KEEP_ALIVE, 1024, async |mut socket| {
            socket.write_all(&wire[..cut]).await.unwrap();
            sleep(Duration::from_millis(1)).await;
            send_and_read_all(socket, &wire[cut..], true).await
        });
        assert_eq!(reply, b"1:A,0:,");
        assert_eq!((counts.answered, counts.closed.done), (2, 1));
    }
}

#[test]
fn s4_replies_before_a_refused_request_are_delivered_and_none_after_it() {
    let (reply, counts) = serve(KEEP_ALIVE, 1024, async |socket| {
        send_and_read_all(socket, b"7:shout.a,3:bad,7:shout.b,", true).await
    });
    assert_eq!(reply, b"1:A,");
    assert_eq!((counts.requests, counts.answered), (2, 1));
    assert_eq!((counts.refused.no_dot, counts.closed.refused), (1, 1));
}

#[test]
fn s4_a_framing_error_is_a_refused_request() {
    let (reply, counts) = serve(ONE_SHOT, 1024, async |socket| {
        send_and_read_all(socket, b"x", true).await
    });
    assert_eq!(reply, b"");
    assert_eq!((counts.refused.framing, counts.requests), (1, 1));
}

#[test]
fn s5_a_slow_reader_slows_its_requests() {
    let requests = b"7:shout.a,".repeat(10_000);
    let (reply, counts) = serve(KEEP_ALIVE, 64, async |socket| {
        send_and_read_all(socket, &requests, true).await
    });
    assert_eq!(reply, b"1:A,".repeat(10_000));
    assert_eq!(counts.answered, 10_000);
}

#[test]
fn l5_nothing_is_read_while_a_reply_waits() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (connection, mut peer) = worker.connect(16);
        let served = spawn_local(answer_requests(connection, Rc::new(KEEP_ALIVE)));
        // Requests for two reads. The pipe has no room for all replies to the first.
        let requests = b"9:shout.abc,".repeat(20);
        let sender = spawn_local(async move {
            for request in requests.chunks(12) {
                if peer.write_all(request).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        });
        sleep(Duration::from_secs(1)).await;
        let counts = worker.counts();
        let read = counts.bytes_in;
        assert!(counts.in_flight > 0, "replies wait: {counts:?}");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(worker.counts().bytes_in, read);
        served.await.unwrap();
        let counts = worker.counts();
        assert_eq!((counts.closed.write, counts.bytes_in), (1, read));
        assert!(counts.failed > 0);
        sender.abort();
    });
}

#[test]
fn s6_a_client_that_has_finished_sending_gets_every_reply() {
    let (reply, counts) = serve(KEEP_ALIVE, 1024, async |socket| {
        send_and_read_all(socket, b"7:shout.a,7:shout.b,", true).await
    });
    assert_eq!(reply, b"1:A,1:B,");
    assert_eq!(counts.closed.done, 1);
}

#[test]
fn s6_a_client_that_finishes_in_mid_request_is_refused_after_its_replies() {
    let (reply, counts) = serve(KEEP_ALIVE, 1024, async |socket| {
        send_and_read_all(socket, b"7:shout.a,7:sho", true).await
    });
    assert_eq!(reply, b"1:A,");
    assert_eq!((counts.refused.truncated, counts.closed.refused), (1, 1));
}

#[test]
fn s7_the_close_lingers_until_its_timeout() {
    let (waited, counts) = serve(ONE_SHOT, 1024, async |mut socket| {
        let began = Instant::now();
        socket.write_all(b"7:shout.a,and more").await.unwrap();
        let mut reply = Vec::new();
        socket.read_to_end(&mut reply).await.unwrap();
        assert_eq!(
            (&reply[..], began.elapsed()),
            (&b"1:A,"[..], Duration::ZERO)
        );
        while socket.write_all(b"!").await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    });
    assert_eq!(waited.as_secs(), 2);
    assert_eq!((counts.answered, counts.closed.done), (1, 1));
}

#[test]
fn s7_the_close_lingers_for_a_bounded_number_of_bytes() {
    let ((), counts) = serve(ONE_SHOT, 10, async |mut socket| {
        socket.write_all(b"7:shout.a,").await.unwrap();
        while socket.write_all(b"endless").await.is_ok() {}
    });
    assert!(counts.bytes_in <= 10 + 100 + 10, "{counts:?}");
    assert_eq!(counts.closed.done, 1);
}

#[test]
fn s18_an_idle_connection_is_closed_and_each_request_restarts_the_timeout() {
    let (waited, counts) = serve(KEEP_ALIVE, 1024, async |mut socket| {
        for _ in 0..3 {
            sleep(Duration::from_secs(50)).await;
            socket.write_all(b"7:shout.a,").await.unwrap();
            socket.read_exact(&mut [0; 4]).await.unwrap();
        }
        let began = Instant::now();
        assert_eq!(socket.read(&mut [0; 4]).await.unwrap(), 0);
        began.elapsed()
    });
    assert_eq!(waited.as_secs(), 60);
    assert_eq!((counts.answered, counts.closed.idle), (3, 1));
}

#[test]
fn s18_a_request_that_trickles_is_closed_by_its_deadline() {
    let (waited, counts) = serve(KEEP_ALIVE, 1024, async |mut socket| {
        socket.write_all(b"7:shout.a,").await.unwrap();
        sleep(Duration::from_secs(10)).await;
        let began = Instant::now();
        socket.write_all(b"90:").await.unwrap();
        while socket.write_all(b"a").await.is_ok() {
            sleep(Duration::from_millis(900)).await;
        }
        began.elapsed()
    });
    assert_eq!(waited.as_secs(), 30);
    assert_eq!((counts.closed.deadline, counts.requests), (1, 1));
}

#[test]
fn s18_a_slow_but_steady_reader_gets_every_reply_although_no_room_is_announced() {
    for (service, replies) in [(ONE_SHOT, 1), (KEEP_ALIVE, 30)] {
        let connect = |worker: &TestWorker| worker.connect_unannounced(16);
        let (reply, counts) = testing::serve(service, limits(), connect, async |socket| {
            let requests = b"26:shout.all of them, in turn,".repeat(replies);
            let (mut reader, mut writer) = tokio::io::split(socket);
            let send = async {
                writer.write_all(&requests).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let read = async {
                let mut reply = Vec::new();
                loop {
                    sleep(Duration::from_secs(7)).await;
                    match reader.read_u8().await {
                        Ok(byte) => reply.push(byte),
                        Err(_) => return reply,
                    }
                }
            };
            futures::join!(send, read).1
        });
        let expected = b"20:ALL OF THEM, IN TURN,".repeat(replies);
        assert_eq!(reply, expected);
        assert_eq!((counts.answered, counts.closed.done), (replies as u64, 1));
        assert_eq!(counts.bytes_out, expected.len() as u64);
    }
}

#[test]
fn s18_bytes_taken_without_an_announcement_answer_requests_and_restart_the_write_timeout_once() {
    let connect = |worker: &TestWorker| worker.connect_unannounced(8);
    let (waited, counts) = testing::serve(KEEP_ALIVE, limits(), connect, async |mut socket| {
        let began = Instant::now();
        socket.write_all(b"7:shout.a").await.unwrap();
        let rest = b",7:shout.b,7:shout.c,7:shout.d,".repeat(9);
        let (mut replies, mut requests) = tokio::io::split(socket);
        let read = async {
            sleep(Duration::from_secs(15)).await;
            replies.read_exact(&mut [0; 5]).await.unwrap();
            std::future::pending::<()>().await;
        };
        let send = async { while requests.write_all(&rest).await.is_ok() {} };
        futures::future::select(pin!(read), pin!(send)).await;
        began.elapsed().as_secs()
    });
    assert_eq!(waited, 40);
    assert_eq!((counts.answered, counts.closed.write), (3, 1));
    assert_eq!(counts.bytes_out, 8 + 5);
}

#[test]
fn s20_a_panic_costs_its_connection_and_is_reported_once() {
    silence_contained();
    on_virtual_time(async {
        let service = TransformService {
            keep_alive: true,
            lab: Some(Clock::stopped()),
            offload: false,
        };
        let worker = TestWorker::new(limits());
        let (connection, peer) = worker.connect(1024);
        let served = answer_requests(connection, Rc::new(service));
        let send = send_and_read_all(peer, b"7:shout.a,7:crash.x,7:shout.b,", true);
        let ((), reply) = futures::join!(served, send);
        assert_eq!(reply, b"1:A,");
        let counts = worker.counts();
        assert_eq!((counts.requests, counts.answered, counts.failed), (2, 1, 1));
        assert_eq!(counts.closed.panic, 1);
        let kinds = worker.recorder.kinds();
        let panics = kinds
            .iter()
            .filter(|kind| matches!(kind, Kind::Panicked(_)));
        assert_eq!(panics.count(), 1);
    });
}

#[test]
fn s21_a_stop_closes_idle_connections_at_once_and_lets_a_request_finish() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (idle, mut idle_peer) = worker.connect(1024);
        let (busy, mut busy_peer) = worker.connect(1024);
        for connection in [idle, busy] {
            spawn_local(answer_requests(connection, Rc::new(KEEP_ALIVE)));
        }
        idle_peer.write_all(b"7:shout.a,").await.unwrap();
        idle_peer.read_exact(&mut [0; 4]).await.unwrap();
        busy_peer.write_all(b"7:sho").await.unwrap();
        sleep(Duration::from_millis(1)).await;
        let began = Instant::now();
        worker.shared.stop_and_wake();
        assert_eq!(idle_peer.read(&mut [0; 4]).await.unwrap(), 0);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let reply = send_and_read_all(busy_peer, b"ut.b,7:shout.c,", true).await;
        assert_eq!(reply, b"1:B,1:C,");
        sleep(Duration::from_millis(1)).await;
        assert_eq!(worker.counts().closed.done, 2);
        assert_eq!(worker.shared.stop.finished.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn s24_a_connection_that_always_has_more_lets_others_have_their_turn() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (greedy, peer) = worker.connect(1 << 16);
        let (modest, mut modest_peer) = worker.connect(1 << 16);
        for connection in [greedy, modest] {
            spawn_local(answer_requests(connection, Rc::new(KEEP_ALIVE)));
        }
        let (mut replies, mut requests) = tokio::io::split(peer);
        let send = spawn_local(async move {
            let many = b"7:shout.a,".repeat(100);
            while requests.write_all(&many).await.is_ok() {}
        });
        let read = spawn_local(async move { while replies.read(&mut [0; 4096]).await.is_ok() {} });
        let modest = spawn_local(async move {
            for _ in 0..50 {
                let before = worker.counts().answered;
                modest_peer.write_all(b"7:shout.b,").await.unwrap();
                modest_peer.read_exact(&mut [0; 4]).await.unwrap();
                // A turn that was under way and a whole one of the other connection, and the own request.
                let meanwhile = worker.counts().answered - before;
                assert!(meanwhile <= 2 * 64 + 1, "{meanwhile} others first");
            }
        });
        modest.await.unwrap();
        send.abort();
        read.abort();
    });
}

/// Requests that arrive in one read. More than 64 leave a rest to the next turn.
fn requests(count: usize) -> Vec<u8> {
    b"7:shout.a,".repeat(count)
}

/// Serves a connection until its first turn has left a rest. Returns the task that serves it and its peer.
async fn with_a_rest(worker: &TestWorker) -> (JoinHandle<()>, DuplexStream) {
    let (connection, mut peer) = worker.connect(1 << 16);
    let served = spawn_local(answer_requests(connection, Rc::new(KEEP_ALIVE)));
    peer.write_all(&requests(200)).await.unwrap();
    while worker.counts().answered == 0 {
        yield_now().await;
    }
    assert!(worker.counts().answered < 200);
    (served, peer)
}

#[test]
fn s24_s6_a_half_close_behind_a_rest_gets_every_reply() {
    for partial in [&b""[..], b"7:sho"] {
        let sent = [&requests(200)[..], partial].concat();
        let (reply, counts) = serve(KEEP_ALIVE, 1 << 16, async |socket| {
            send_and_read_all(socket, &sent, true).await
        });
        assert_eq!(reply, b"1:A,".repeat(200));
        assert_eq!(counts.answered, 200);
        let refused = u64::from(!partial.is_empty());
        assert_eq!(counts.refused.truncated, refused);
        assert_eq!(
            (counts.closed.done, counts.closed.refused),
            (1 - refused, refused)
        );
    }
}

#[test]
fn s24_s5_one_shot_keeps_no_rest() {
    let (reply, counts) = serve(ONE_SHOT, 1 << 16, async |socket| {
        send_and_read_all(socket, &requests(200), true).await
    });
    assert_eq!(reply, b"1:A,");
    assert_eq!(
        (counts.requests, counts.answered, counts.closed.done),
        (1, 1, 1)
    );
}

#[test]
fn s24_s4_s20_a_refusal_or_a_panic_in_the_rest_comes_after_the_replies_before_it() {
    silence_contained();
    let service = TransformService {
        keep_alive: true,
        lab: Some(Clock::stopped()),
        offload: false,
    };
    for bad in [&b"3:bad,"[..], b"x", b"7:crash.x,"] {
        let sent = [&requests(150)[..], bad, &requests(150)].concat();
        let (reply, counts) = serve(service.clone(), 1 << 16, async |socket| {
            send_and_read_all(socket, &sent, true).await
        });
        assert_eq!(reply, b"1:A,".repeat(150));
        assert_eq!((counts.requests, counts.answered), (151, 150));
        assert_eq!(counts.refused.total() + counts.failed, 1);
        assert_eq!(counts.closed.refused + counts.closed.panic, 1);
    }
}

#[test]
fn s24_s18_a_peer_that_takes_no_reply_is_closed_with_its_rest() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (connection, mut peer) = worker.connect(1000);
        let served = spawn_local(answer_requests(connection, Rc::new(KEEP_ALIVE)));
        // 1,200 bytes of replies: the last turns find no room.
        let sent = peer.write_all(&requests(300)).await;
        assert!(sent.is_ok());
        sleep(Duration::from_secs(1)).await;
        let (read, answered) = (worker.counts().bytes_in, worker.counts().answered);
        assert_eq!((read, answered), (3000, 250));
        let more = spawn_local(async move {
            let _ = peer.write_all(&requests(300)).await;
            std::future::pending::<()>().await;
        });
        sleep(Duration::from_secs(10)).await;
        assert_eq!(
            worker.counts().bytes_in,
            read,
            "nothing is read while a reply waits"
        );
        served.await.unwrap();
        let counts = worker.counts();
        assert_eq!((counts.answered, counts.closed.write), (250, 1));
        assert!(counts.failed > 0 && counts.in_flight == 0);
        more.abort();
    });
}

#[test]
fn s24_s21_a_rest_is_in_flight_when_the_server_stops() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (served, peer) = with_a_rest(&worker).await;
        worker.shared.stop_and_wake();
        let reply = send_and_read_all(peer, b"", false).await;
        assert_eq!(reply, b"1:A,".repeat(200));
        served.await.unwrap();
        let counts = worker.counts();
        assert_eq!((counts.answered, counts.closed.done), (200, 1));
        assert_eq!(worker.shared.stop.finished.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn s24_s21_a_rest_is_cut_when_the_grace_ends() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (served, _peer) = with_a_rest(&worker).await;
        worker.shared.stop.begin();
        served.abort();
        assert!(served.await.unwrap_err().is_cancelled());
        assert_eq!(worker.counts().closed.cut, 1);
        assert_eq!(worker.shared.stop.cut.load(Ordering::Relaxed), 1);
    });
}

/// tokio adds 104 bytes and rounds up to a multiple of 128: one byte more would cost every connection 128.
#[test]
#[cfg(target_pointer_width = "64")]
fn the_task_of_a_connection_takes_no_more_than_256_bytes() {
    fn bytes<C, A, F: Future>(_: impl FnOnce(C, A) -> F) -> usize {
        size_of::<F>()
    }
    let task = answer_requests::<crate::net::Socket, TransformService>;
    // In a debug build mio keeps a word more in each socket.
    let debug = if cfg!(debug_assertions) { 8 } else { 0 };
    assert!(bytes(task) <= 256 - 104 + debug);
}
