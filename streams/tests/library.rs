//! The library server and its clients, over real sockets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use poetry::event::Unobserved;
use poetry::{Cancel, Clock, FetchFailure, FetchRequest, Limits, Model, Options, Poem};
use streams::{
    FramedPoem, Library, LibraryService, RunningServer, Streams, get_poetry_named,
    get_poetry_named_with, lines, poem_named, serve_library_with,
};

const GENEROUS: Duration = Duration::from_secs(10);

fn options(threads: usize) -> Options {
    let mut options = Options::new(Clock::stopped());
    options.threads = NonZeroUsize::new(threads).unwrap();
    options.limits.frame_bytes_max = 64 << 20;
    options
}

fn serve(poems: &[(&str, &str)], options: &Options) -> RunningServer {
    let framed = |&(name, text): &(&str, &str)| {
        let poem = FramedPoem::from(&Poem::from(text));
        (name.parse().unwrap(), poem)
    };
    let service = LibraryService {
        library: Library::new(poems.iter().map(framed).collect::<BTreeMap<_, _>>()),
        keep_alive: true,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    serve_library_with(listener, service, options, Arc::new(Unobserved)).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(test)
}

#[test]
fn s8_poems_are_fetched_by_name_whole_or_line_by_line() {
    let long = "a line of a long poem\n".repeat(100_000);
    let poems = [("long", &*long), ("empty", ""), ("Der Erlkönig", "Wer?")];
    let server = serve(&poems, &options(1));
    let peer = server.address();
    run(async {
        for (name, text) in poems {
            let poem = get_poetry_named(peer, name.parse().unwrap()).await;
            assert_eq!(poem.unwrap().as_str(), text);
        }
        let refused = get_poetry_named(peer, "none".parse().unwrap()).await;
        assert_eq!(refused.unwrap_err().failure, FetchFailure::Refused);
        let short = Limits {
            poem_bytes_max: long.len() - 1,
            ..Limits::default()
        };
        let too_long = get_poetry_named_with(peer, "long".parse().unwrap(), short).await;
        let limit = long.len() as u64 - 1;
        assert_eq!(
            too_long.unwrap_err().failure,
            FetchFailure::TooLong { limit }
        );
        let mut title = lines(poem_named(peer, "long".parse().unwrap())).take(1);
        let title = title.try_next().await.unwrap();
        assert_eq!(title.as_deref(), Some("a line of a long poem"));
    });
    let counts = server.shutdown(GENEROUS).counters;
    assert_eq!(counts.check(), Ok(()));
    assert_eq!((counts.accepted, counts.refused.unknown_poem), (6, 1));
}

#[test]
fn s8_the_client_of_the_contract_fetches_by_name_and_counts_the_bytes_of_the_wire() {
    for threads in [1, 3] {
        let server = serve(&[("star", "Stars"), ("moon", "Moon")], &options(threads));
        let requests: Vec<_> = ["star", "moon", "none", "star"]
            .map(|name| FetchRequest::named(server.address(), name.parse().unwrap()))
            .into();
        let client = Streams.client(&options(threads)).unwrap();
        let outcomes = client.fetch(&requests, Arc::new(Unobserved), &Cancel::new());
        let poems: Vec<_> = outcomes
            .iter()
            .map(|outcome| match &outcome.poem {
                Ok(poem) => (poem.as_str(), outcome.bytes),
                Err(error) => (error.failure.status(), outcome.bytes),
            })
            .collect();
        assert_eq!(
            poems,
            [("Stars", 8), ("Moon", 7), ("refused", 0), ("Stars", 8)]
        );
    }
}

#[test]
fn s8_long_and_short_poems_that_are_asked_for_together_come_in_order() {
    let long = "x".repeat(3 << 20);
    let server = serve(&[("long", &long), ("a", "A"), ("empty", "")], &options(1));
    let names = b"1:a,4:long,5:empty,1:a,4:long,".repeat(20);
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(GENEROUS)).unwrap();
    socket.write_all(&names).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let framed = |text: &str| FramedPoem::from(&Poem::from(text));
    let replies = ["A", &long, "", "A", &long].map(framed);
    let mut received = vec![0; replies[1].as_bytes().len()];
    for _ in 0..20 {
        for reply in &replies {
            let received = &mut received[..reply.as_bytes().len()];
            socket.read_exact(received).unwrap();
            assert!(received == reply.as_bytes());
        }
    }
    assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0);
    let counts = server.shutdown(GENEROUS).counters;
    assert_eq!((counts.answered, counts.closed.done), (100, 1));
}
