//! Every bare server answers good input correctly, in every role.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use bare::Kind;
use poetry::library::{FramedPoem, Library};
use poetry::{
    LibraryService, Pace, Peer, Poem, PoemService, ProxyService, Service, TransformService,
};

/// How long a read may take; every test needs far less.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts a server, which runs until the tests end, and returns its address.
fn start(kind: Kind, service: Service) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || bare::serve(kind, listener, service));
    address
}

/// Sends `bytes`, then FIN, and receives to the end.
fn ask(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    receive(stream)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn receive(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    assert!(read.is_ok(), "{read:?} after {} bytes", bytes.len());
    bytes
}

fn poem_server(kind: Kind, poem: &str, pace: Pace) -> SocketAddr {
    let poem = Poem::from(poem);
    start(kind, Service::Poem(PoemService { poem, pace }))
}

/// Longer than the kernel's buffers.
fn long_poem() -> String {
    "So much depends upon\n".repeat(1_000_000)
}

#[test]
fn a_poem_arrives_whole_at_once_and_slowly() {
    let slowly = Pace::Slow {
        num_bytes: NonZeroUsize::new(3).unwrap(),
        delay: Duration::from_millis(1),
    };
    let poem = long_poem();
    for kind in Kind::ALL {
        let fast = poem_server(kind, &poem, Pace::Fast);
        assert!(receive(connect(fast)) == poem.as_bytes(), "{kind:?}");
        let slow = poem_server(kind, "a red wheel barrow", slowly);
        assert_eq!(receive(connect(slow)), b"a red wheel barrow", "{kind:?}");
    }
}

#[test]
fn requests_are_answered_in_order_until_the_client_finishes() {
    for kind in Kind::ALL {
        let service = |keep_alive| {
            Service::Transform(TransformService {
                keep_alive,
                lab: None,
                offload: false,
            })
        };
        let requests = b"7:shout.a,13:reverse.a\nb\nc,";
        let kept = start(kind, service(true));
        assert_eq!(ask(kept, requests), b"1:A,5:c\nb\na,", "{kind:?}");
        let one_shot = start(kind, service(false));
        assert_eq!(ask(one_shot, &requests[..10]), b"1:A,", "{kind:?}");
    }
}

#[test]
fn a_request_in_pieces_is_answered_once_it_is_whole() {
    for kind in Kind::ALL {
        let address = start(kind, Service::Transform(TransformService::default()));
        let mut stream = connect(address);
        for byte in b"7:shout.a," {
            stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(receive(stream), b"1:A,", "{kind:?}");
    }
}

#[test]
fn a_library_serves_poems_by_name() {
    let framed = |text: &str| FramedPoem::from(&Poem::from(text));
    for kind in Kind::ALL {
        let poems = [
            ("moon".parse().unwrap(), framed("Moon.")),
            ("star".parse().unwrap(), framed("Star.")),
        ];
        let library = Library::new(poems.into());
        let service = LibraryService {
            library,
            keep_alive: true,
        };
        let address = start(kind, Service::Library(service));
        let replies = ask(address, b"4:star,4:moon,");
        assert_eq!(replies, b"5:Star.,5:Moon.,", "{kind:?}");
    }
}

#[test]
fn a_proxy_fetches_once_and_then_serves_from_its_cache() {
    for kind in Kind::ALL {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer::from(upstream.local_addr().unwrap());
        // One client only: a second fetch would wait for ever.
        let serves_once = thread::spawn(move || -> io::Result<()> {
            upstream.accept()?.0.write_all(long_poem().as_bytes())
        });
        let service = ProxyService {
            upstream: peer,
            ttl: None,
        };
        let proxy = start(kind, Service::Proxy(service));
        for _ in 0..2 {
            let poem = receive(connect(proxy));
            assert!(poem == long_poem().as_bytes(), "{kind:?}");
        }
        serves_once.join().unwrap().unwrap();
    }
}
