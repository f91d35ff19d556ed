//! Part 2: slow poems, many sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::TcpStream;
use std::str::Utf8Error;
use std::sync::mpsc;
use std::thread;

use blocking::{FetchError, Peer, Poem};
use solutions::{PlayedServer, wait_until};

/// Fetches all poems at once. Returns them as they arrive, each with the number of its peer.
fn as_they_arrive(peers: Vec<Peer>) -> impl Iterator<Item = (usize, Result<Poem, FetchError>)> {
    let (poems, arrived) = mpsc::channel();
    for (number, peer) in peers.into_iter().enumerate() {
        let poems = poems.clone();
        thread::spawn(move || poems.send((number, blocking::get_poetry(peer))));
    }
    arrived.into_iter()
}

#[test]
fn a_slow_poem_does_not_delay_a_fast_one() {
    let [slow, fast] = [(); 2].map(|()| PlayedServer::open().unwrap());
    let peers: [Peer; 2] = [&slow, &fast].map(|server| server.address().unwrap().into());
    let mut poems = as_they_arrive(peers.into());
    let mut arrived = || poems.next().map(|(number, poem)| (number, poem.unwrap()));

    let mut client = slow.accept().unwrap();
    client.write_all(b"Wait").unwrap();
    fast.serve("Ahoy").unwrap();
    assert_eq!(arrived(), Some((1, "Ahoy".into())));

    client.write_all(b" for me").unwrap();
    drop(client);
    assert_eq!(arrived(), Some((0, "Wait for me".into())));
    assert_eq!(arrived(), None);
}

/// How a socket's turn ends.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There may be more, for the next turn.
    ReadItsFill,
    /// Nothing is left.
    Emptied,
    /// The poem is complete.
    Finished,
}

/// Reads at most `bytes_max` bytes from a socket that does not block.
fn take_turn(socket: &mut TcpStream, poem: &mut Vec<u8>, bytes_max: usize) -> io::Result<Turn> {
    let mut buffer = vec![0; bytes_max];
    match socket.read(&mut buffer) {
        Ok(0) => Ok(Turn::Finished),
        Ok(count) => {
            poem.extend_from_slice(&buffer[..count]);
            Ok(match count == bytes_max {
                true => Turn::ReadItsFill,
                false => Turn::Emptied,
            })
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Turn::Emptied),
        Err(error) => Err(error),
    }
}

/// A client's socket that does not block, to which `poem` has been sent.
fn sent(poem: &str) -> TcpStream {
    let server = PlayedServer::open().unwrap();
    let socket = TcpStream::connect(server.address().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    server.serve(poem).unwrap();
    wait_until("it has arrived", || {
        let count = socket.peek(&mut vec![0; poem.len()]);
        count.is_ok_and(|count| count == poem.len())
    });
    socket
}

#[test]
fn a_long_poem_does_not_keep_a_short_one_waiting() {
    let mut long = (sent(&"la ".repeat(1_000)), Vec::new());
    let mut short = (sent("Ahoy"), Vec::new());
    let turn = |poem: &mut (TcpStream, Vec<u8>)| take_turn(&mut poem.0, &mut poem.1, 100).unwrap();
    assert_eq!(turn(&mut long), Turn::ReadItsFill);
    assert_eq!(turn(&mut short), Turn::Emptied);
    assert_eq!((long.1.len(), &short.1[..]), (100, &b"Ahoy"[..]));

    let mut turns = 1;
    while turn(&mut long) == Turn::ReadItsFill {
        turns += 1;
    }
    assert_eq!((turns, long.1.len()), (30, 3_000));
}

/// Decodes UTF-8 piece by piece. A character may be cut.
#[derive(Default)]
struct Decoder {
    /// The beginning of a character whose end has not arrived.
    cut: Vec<u8>,
}

impl Decoder {
    /// Returns the characters that are now complete.
    fn decode(&mut self, piece: &[u8]) -> Result<String, Utf8Error> {
        self.cut.extend_from_slice(piece);
        let complete = match str::from_utf8(&self.cut) {
            Ok(text) => text.len(),
            // More bytes may make it right.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(error),
        };
        let rest = self.cut.split_off(complete);
        let text = mem::replace(&mut self.cut, rest);
        String::from_utf8(text).map_err(|error| error.utf8_error())
    }

    /// Returns whether a poem may end here.
    fn may_end(&self) -> bool {
        self.cut.is_empty()
    }
}

#[test]
fn a_character_cut_by_the_network_survives() {
    let poem = "Grüße aus dem 灯籠 🏮\n";
    for cut in 0..=poem.len() {
        let (first, second) = poem.as_bytes().split_at(cut);
        let mut decoder = Decoder::default();
        let text = decoder.decode(first).unwrap() + &decoder.decode(second).unwrap();
        assert_eq!((text.as_str(), decoder.may_end()), (poem, true));
    }
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(&"🏮".as_bytes()[..3]).unwrap(), "");
    assert!(!decoder.may_end());
    assert!(decoder.decode(b"!").is_err());
}
