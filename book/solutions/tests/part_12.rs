//! Part 12: requests and replies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{Address, Factory, MemoryReactor, Protocol, Transport};
use poetry::event::Unobserved;
use poetry::netstring::{self, Decoder, FramingError};
use poetry::{Options, Service, TransformService};

/// Returns the requests in the pieces, and the error after them, if there is one.
fn decoded(pieces: [&[u8]; 3]) -> (Vec<String>, Option<FramingError>) {
    let mut decoder = Decoder::new(99);
    let mut requests = Vec::new();
    for piece in pieces {
        let mut frames = decoder.feed(piece);
        loop {
            match frames.next() {
                Ok(Some(frame)) => requests.push(String::from_utf8_lossy(frame).into_owned()),
                Ok(None) => break, // More bytes, please.
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

/// Cuts `wire` in three pieces at any two places.
fn cuts(wire: &[u8]) -> impl Iterator<Item = [&[u8]; 3]> {
    (0..=wire.len()).flat_map(move |first| {
        (first..=wire.len())
            .map(move |second| [&wire[..first], &wire[first..second], &wire[second..]])
    })
}

#[test]
fn where_the_network_cuts_does_not_matter() {
    for pieces in cuts(b"10:shout.ahoy,6:shout.,") {
        let (requests, error) = decoded(pieces);
        assert_eq!(requests, ["shout.ahoy", "shout."], "{pieces:?}");
        assert_eq!(error, None);
    }
    for pieces in cuts(b"10:shout.ahoy,6:shout.;") {
        let (requests, error) = decoded(pieces);
        assert_eq!(requests, ["shout.ahoy"], "{pieces:?}");
        assert_eq!(error.unwrap().at, 22); // The semicolon.
    }
}

/// Answers each request with what `answer` returns; without a reply it closes.
struct Answers<F> {
    answer: Rc<F>,
    decoder: Decoder,
}

impl<F: Fn(&[u8]) -> Option<Vec<u8>>> Protocol for Answers<F> {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        let mut replies = Vec::new();
        let mut frames = self.decoder.feed(data);
        let goes_on = loop {
            match frames.next() {
                Ok(None) => break true,
                Err(_) => break false,
                Ok(Some(request)) => match (self.answer)(request) {
                    Some(reply) => netstring::encode(&reply, &mut replies),
                    None => break false,
                },
            }
        };
        drop(frames);
        transport.write(&replies);
        if !goes_on {
            transport.lose_connection(); // Behind the replies.
        }
    }
}

struct AnswersFactory<F>(Rc<F>);

impl<F: Fn(&[u8]) -> Option<Vec<u8>> + 'static> Factory for AnswersFactory<F> {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Answers {
            answer: Rc::clone(&self.0),
            decoder: Decoder::new(99),
        }))
    }
}

#[test]
fn a_server_for_any_function() {
    let doubled = |request: &[u8]| (request != b"no").then(|| request.repeat(2));
    let factory: Rc<dyn Factory> = Rc::new(AnswersFactory(Rc::new(doubled)));
    let reactor = MemoryReactor::new();
    let peer = reactor.accept(&factory);
    for (bytes, replies) in [
        ("2:ab,1:", "4:abab,"),
        ("c", ""),
        (",", "2:cc,"),
        ("1:d,2:no,1:e,", "2:dd,"),
    ] {
        assert!(!peer.sees_fin());
        peer.send(bytes.as_bytes());
        reactor.settle();
        assert_eq!(String::from_utf8(peer.received()).unwrap(), replies);
    }
    assert!(peer.sees_fin() && !peer.is_reset());
}

#[test]
fn replies_before_a_wrong_request_arrive() {
    for model in models::ALL {
        let service = TransformService {
            keep_alive: true,
            ..TransformService::default()
        };
        let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let options = Options::new(models::clock());
        let service = Service::Transform(service);
        let observer = Arc::new(Unobserved);
        let server = model.serve(listener, service, &options, observer).unwrap();
        let mut client = TcpStream::connect(server.address()).unwrap();
        client
            .write_all(b"7:shout.a,8:nonsense,7:shout.b,")
            .unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut replies = String::new();
        // An orderly end, not a reset, which could destroy the first reply on its way.
        client.read_to_string(&mut replies).unwrap();
        assert_eq!(replies, "1:A,", "{}", model.name());
        let counts = server.counters();
        assert_eq!((counts.requests, counts.answered), (2, 1));
    }
}
