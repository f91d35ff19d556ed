//! The library server over pipes in memory, on virtual time: only what differs from the transform server, whose pipeline it
//! is.

use std::rc::Rc;
use std::time::Duration;

use poetry::library::{FramedPoem, Library, Poems};
use poetry::{CloseReason, Counts, Kind, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::*;
use crate::testing::{self, TestWorker, on_virtual_time, send_and_read_all};
use crate::transform_server::answer_requests;

fn library(poems: &[(&str, &str)]) -> Library {
    let framed = |&(name, text): &(&str, &str)| {
        let poem = FramedPoem::from(&text.into());
        (name.parse().unwrap(), poem)
    };
    Library::new(poems.iter().map(framed).collect())
}

fn service(library: &Library, keep_alive: bool) -> LibraryService {
    LibraryService {
        library: library.clone(),
        keep_alive,
    }
}

fn stars() -> LibraryService {
    service(&library(&[("star", "Stars"), ("empty", "")]), true)
}

fn limits() -> Limits {
    Limits {
        frame_bytes_max: 100_000,
        ..Limits::default()
    }
}

fn serve<T>(
    service: LibraryService,
    pipe: usize,
    peer: impl AsyncFnOnce(DuplexStream) -> T,
) -> (T, Counts) {
    testing::serve(service, limits(), |worker| worker.connect(pipe), peer)
}

/// Sends `bytes` and FIN, and reads to the end.
async fn ask(socket: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    send_and_read_all(socket, bytes, true).await
}

#[test]
fn s8_a_name_is_answered_with_its_poem_however_the_network_cuts_it() {
    let wire = b"4:star,5:empty,";
    for cut in 1..wire.len() {
        let (reply, counts) = serve(stars(), 64, async |mut socket| {
            socket.write_all(&wire[..cut]).await.unwrap();
            sleep(Duration::from_millis(1)).await;
            ask(socket, &wire[cut..]).await
        });
        assert_eq!(reply, b"5:Stars,0:,");
        assert_eq!((counts.answered, counts.closed.done), (2, 1));
    }
}

#[test]
fn s8_one_shot_answers_the_first_name_only() {
    let one_shot = LibraryService {
        keep_alive: false,
        ..stars()
    };
    let (reply, counts) = serve(one_shot, 64, async |socket| {
        ask(socket, b"4:star,4:star,").await
    });
    assert_eq!(reply, b"5:Stars,");
    assert_eq!((counts.requests, counts.closed.done), (1, 1));
}

#[test]
fn s8_a_refusal_comes_after_the_poems_before_it_and_ends_the_connection() {
    let long = library(&[("star", "Stars"), ("long", &"x".repeat(100_001))]);
    for (bad, reason) in [
        (&b"4:moon,"[..], "unknown_poem"),
        (b"6:star.x,", "bad_poem_name"),
        (b"1:\xff,", "bad_poem_name"),
        (b"0:,", "bad_poem_name"),
        (b"4:long,", "reply_too_long"),
        (b"star", "framing"),
        (b"4:st", "truncated"),
    ] {
        let sent = [b"4:star,4:star,", bad].concat();
        on_virtual_time(async {
            let worker = TestWorker::new(limits());
            let (connection, other_end) = worker.connect(64);
            let service = service(&long, true);
            let served = spawn_local(answer_requests(connection, Rc::new(service)));
            assert_eq!(ask(other_end, &sent).await, b"5:Stars,5:Stars,");
            served.await.unwrap();
            let counts = worker.counts();
            assert_eq!((counts.requests, counts.answered), (3, 2));
            let kinds = worker.recorder.kinds();
            let refused = kinds.iter().find_map(|kind| match kind {
                Kind::Refused(refusal) => Some(refusal.reason()),
                _ => None,
            });
            assert_eq!(refused, Some(reason));
            assert!(kinds.contains(&Kind::Closed(CloseReason::Refused)));
        });
    }
}

#[test]
fn s8_poems_taken_in_small_pieces_are_whole_and_answered_one_by_one() {
    let poems = library(&[("a", "one and a half"), ("b", ""), ("c", "three")]);
    let expected = b"14:one and a half,0:,5:three,";
    for pipe in 1..=expected.len() {
        let (reply, counts) = serve(service(&poems, true), pipe, async |socket| {
            ask(socket, b"1:a,1:b,1:c,").await
        });
        assert_eq!(reply, expected);
        assert_eq!((counts.answered, counts.closed.done), (3, 1));
        assert_eq!(counts.bytes_out, expected.len() as u64);
    }
}

#[test]
fn s23_only_poems_taken_to_their_last_byte_are_answered() {
    let poems = library(&[("a", "one and a half"), ("b", ""), ("c", "three")]);
    for (pipe, answered) in [(17, 0), (18, 1), (20, 1), (21, 2), (28, 2)] {
        let (_still_open, counts) = serve(service(&poems, true), pipe, async |mut socket| {
            socket.write_all(b"1:a,1:b,1:c,").await.unwrap();
            socket
        });
        assert_eq!((counts.answered, counts.failed), (answered, 3 - answered));
        assert_eq!(counts.closed.write, 1);
    }
}

#[test]
fn s8_more_names_than_one_turn_answers_are_all_answered() {
    let (reply, counts) = serve(stars(), 1 << 16, async |socket| {
        ask(socket, &b"4:star,".repeat(1000)).await
    });
    assert_eq!(reply, b"5:Stars,".repeat(1000));
    assert_eq!(counts.answered, 1000);
}

#[test]
fn s5_nothing_is_read_while_a_poem_waits() {
    on_virtual_time(async {
        let worker = TestWorker::new(limits());
        let (connection, peer) = worker.connect(16);
        let poems = library(&[("a", "longer than the pipe is")]);
        let service = service(&poems, true);
        let served = spawn_local(answer_requests(connection, Rc::new(service)));
        let (_reader, mut writer) = tokio::io::split(peer);
        let sender = spawn_local(async move { while writer.write_all(b"1:a,").await.is_ok() {} });
        sleep(Duration::from_secs(1)).await;
        let read = worker.counts().bytes_in;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(worker.counts().bytes_in, read);
        served.await.unwrap();
        let counts = worker.counts();
        assert_eq!((counts.closed.write, counts.bytes_in), (1, read));
        sender.abort();
    });
}

#[test]
fn s8_a_reply_under_way_stays_whole_when_the_library_is_replaced() {
    let poems = library(&[("a", "the old poem of this name")]);
    let (reply, counts) = serve(service(&poems, true), 8, async |mut socket| {
        socket.write_all(b"1:a,").await.unwrap();
        let mut reply = vec![0; 3];
        socket.read_exact(&mut reply).await.unwrap();
        poems.replace(Poems::from([(
            "a".parse().unwrap(),
            FramedPoem::from(&"new".into()),
        )]));
        reply.extend(ask(socket, b"1:a,").await);
        reply
    });
    assert_eq!(reply, b"25:the old poem of this name,3:new,");
    assert_eq!(counts.closed.done, 1);
}

#[test]
fn s8_a_reply_is_sent_from_the_librarys_own_bytes() {
    let poem = FramedPoem::from(&"Stars".into());
    let poems = Library::new([("star".parse().unwrap(), poem.clone())].into());
    let mut replies = Found::default();
    Answering::answer(&service(&poems, true), b"star", 5, &mut replies).unwrap();
    let sent = replies
        .poems()
        .iter()
        .map(|found| found.as_bytes().as_ptr());
    assert!(sent.eq([poem.as_bytes().as_ptr()]));
}
