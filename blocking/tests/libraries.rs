//! Libraries and the fetches from them, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use blocking::Blocking;
use poetry::event::Unobserved;
use poetry::netstring::{Flaw, FramingError};
use poetry::{
    Cancel, Clock, FetchFailure, FetchRequest, FramedPoem, Library, LibraryService, Limits, Model,
    Options, Outcome, Poem, Server, Service, TransformService, Via,
};
use socket2::SockRef;

/// Generous: only a broken program waits so long.
const DEADLINE: Duration = Duration::from_secs(10);

fn framed(text: &str) -> FramedPoem {
    FramedPoem::from(&Poem::from(text))
}

fn serve(service: Service) -> Box<dyn Server> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options::new(Clock::stopped());
    Blocking::NEW
        .serve(listener, service, &options, Arc::new(Unobserved))
        .unwrap()
}

fn serve_library(library: &Library) -> Box<dyn Server> {
    serve(Service::Library(LibraryService {
        library: library.clone(),
        keep_alive: true,
    }))
}

fn named(peer: SocketAddr, name: &str) -> FetchRequest {
    FetchRequest::named(peer, name.parse().unwrap())
}

fn fetch_within(limits: Limits, requests: &[FetchRequest]) -> Vec<Outcome> {
    let options = Options {
        limits,
        ..Options::new(Clock::stopped())
    };
    let client = Blocking::NEW.client(&options).unwrap();
    client.fetch(requests, Arc::new(Unobserved), &Cancel::new())
}

fn fetch(requests: &[FetchRequest]) -> Vec<Outcome> {
    fetch_within(Limits::default(), requests)
}

fn failure(outcome: &Outcome) -> FetchFailure {
    outcome.poem.clone().unwrap_err().failure
}

/// Fetches a poem from a server that accepts one connection and does `act` with it.
fn fetch_from(limits: Limits, act: impl FnOnce(TcpStream) + Send) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || act(listener.accept().unwrap().0));
        fetch_within(limits, &[named(address, "star")]).remove(0)
    })
}

/// Reads the name before `act`.
fn fetch_after_name(limits: Limits, act: impl FnOnce(TcpStream) + Send) -> Outcome {
    fetch_from(limits, |mut stream| {
        let mut name = [0; 7];
        stream.read_exact(&mut name).unwrap();
        assert_eq!(&name, b"4:star,");
        act(stream);
    })
}

/// Sends `reply`, FIN, and a reset.
fn send_and_reset(mut stream: TcpStream, reply: &[u8]) {
    stream.write_all(reply).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn s8_poems_are_fetched_by_name_and_transformed_and_one_failure_disturbs_no_other() {
    let long = "A line with an ü.\n".repeat(5_000);
    let library = Library::new(
        [
            ("star".parse().unwrap(), framed("Stars fall.")),
            ("long".parse().unwrap(), framed(&long)),
            ("empty".parse().unwrap(), framed("")),
        ]
        .into(),
    );
    let server = serve_library(&library);
    let transforms = serve(Service::Transform(TransformService::default()));
    let via = Via {
        transform: "shout".to_owned(),
        peer: transforms.address().into(),
    };
    let at = server.address();
    let outcomes = fetch(&[
        named(at, "long"),
        named(at, "moon"),
        named(at, "star").via(via),
        named(at, "empty"),
    ]);
    assert_eq!(outcomes[0].poem.as_deref(), Ok(&*long));
    assert_eq!(outcomes[0].bytes, long.len() as u64 + 7);
    assert_eq!(failure(&outcomes[1]), FetchFailure::Refused);
    assert_eq!(outcomes[2].poem.as_deref(), Ok("STARS FALL."));
    assert_eq!(outcomes[3].poem.as_deref(), Ok(""));
    let counts = server.shutdown(DEADLINE).counters;
    assert_eq!((counts.answered, counts.refused.unknown_poem), (3, 1));
}

#[test]
fn s8_a_reply_under_way_stays_whole_when_the_poems_are_replaced() {
    let long = "x".repeat(99_999);
    let library = Library::new([("long".parse().unwrap(), framed(&long))].into());
    let server = serve_library(&library);
    let mut peer = TcpStream::connect(server.address()).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    // More than the kernel's buffers hold.
    const COUNT: usize = 200;
    peer.write_all(&b"4:long,".repeat(COUNT)).unwrap();
    let frame = [&b"99999:"[..], long.as_bytes(), b","].concat();
    let mut reply = vec![0; frame.len()];
    peer.read_exact(&mut reply).unwrap();
    library.replace([("long".parse().unwrap(), framed("new"))].into());
    peer.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    let mut rest = &rest[..];
    let mut old = 1;
    while let Some(after) = rest.strip_prefix(&frame[..]) {
        (rest, old) = (after, old + 1);
    }
    assert_eq!(rest, b"3:new,".repeat(COUNT - old));
    assert!(old < COUNT);
}

#[test]
fn s8_each_way_a_reply_can_fail_has_its_own_failure() {
    let limits = Limits {
        poem_bytes_max: 5,
        ..Limits::default()
    };
    let reply = |bytes: &'static [u8]| {
        let act = |mut stream: TcpStream| stream.write_all(bytes).unwrap();
        fetch_after_name(limits.clone(), act)
    };
    assert_eq!(reply(b"5:stars,").poem.as_deref(), Ok("stars"));
    assert_eq!(failure(&reply(b"")), FetchFailure::Refused);
    assert_eq!(failure(&reply(b"5:sta")), FetchFailure::CutShort);
    let too_long = FetchFailure::TooLong { limit: 5 };
    assert_eq!(failure(&reply(b"6:")), too_long);
    let garbled = FetchFailure::Garbled(FramingError {
        at: 0,
        flaw: Flaw::NotADigit(b'S'),
    });
    assert_eq!(failure(&reply(b"Stars")), garbled);
    let not_utf8 = FetchFailure::NotUtf8 { at: 1 };
    assert_eq!(failure(&reply(b"2:a\xff,")), not_utf8);
}

#[test]
fn s8_a_reply_before_a_reset_is_a_poem() {
    let poem = |outcome: Outcome| outcome.poem.unwrap();
    let after = |stream| send_and_reset(stream, b"4:Ahoy,");
    assert_eq!(poem(fetch_after_name(Limits::default(), after)), "Ahoy");
    // The name may not have been sent by then.
    let before = |stream| send_and_reset(stream, b"4:Ahoy,");
    assert_eq!(poem(fetch_from(Limits::default(), before)), "Ahoy");
}

#[test]
fn s8_half_a_reply_before_a_reset_is_a_lost_connection() {
    let outcome = fetch_after_name(Limits::default(), |mut stream| {
        stream.write_all(b"4:Ah").unwrap();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    let lost = failure(&outcome);
    assert!(
        matches!(lost, FetchFailure::ConnectionLost { .. }),
        "{lost}"
    );
}
