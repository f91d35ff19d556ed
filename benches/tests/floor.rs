//! The floor answers as every server does: split, pipelined and refused requests, and replies that are taken late.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use measure::exchange::{Exchange, poem};
use measure::floor::Floor;
use measure::verify;

/// The timeout of one read.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

fn floor(keep_alive: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let floor = Floor::new(listener, keep_alive).unwrap();
    let address = floor.address().unwrap();
    thread::spawn(|| floor.run());
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    stream
}

/// Reads until the server closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut found = Vec::new();
    stream.read_to_end(&mut found).unwrap();
    found
}

#[test]
fn s2_to_s6_the_floor_passes_the_verification_script() {
    for keep_alive in [true, false] {
        assert_eq!(verify::transforms(floor(keep_alive), keep_alive), Ok(()));
    }
}

#[test]
fn s2_pipelined_requests_split_anywhere_are_answered() {
    let exchange = Exchange::transform("shout", "ahoy").unwrap();
    let requests = exchange.request.repeat(3);
    let address = floor(true);
    for cut in 1..requests.len() {
        let (head, tail) = requests.split_at(cut);
        let mut stream = connect(address);
        stream.write_all(head).unwrap();
        // The replies to the whole requests show that the head has been read.
        let mut replies = vec![0; cut / exchange.request.len() * exchange.reply.len()];
        stream.read_exact(&mut replies).unwrap();
        stream.write_all(tail).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        replies.extend(rest(stream));
        assert_eq!(replies, exchange.reply.repeat(3), "cut at {cut}");
    }
}

#[test]
fn s5_replies_taken_late_arrive() {
    let exchange = Exchange::transform("reverse", &poem(90_000)).unwrap();
    let stream = connect(floor(true));
    let mut writer = stream.try_clone().unwrap();
    let requests = exchange.request.repeat(100);
    let writing = thread::spawn(move || {
        writer.write_all(&requests).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // The floor reads on, so all requests can be sent before any reply is taken.
    writing.join().unwrap();
    assert!(rest(stream) == exchange.reply.repeat(100), "a wrong reply");
}

#[test]
fn s7_a_reply_survives_unread_input() {
    let exchange = Exchange::transform("shout", "ahoy").unwrap();
    let mut stream = connect(floor(false));
    stream.write_all(&exchange.request).unwrap();
    stream.write_all(&vec![b'x'; 500_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(stream), exchange.reply);
}

#[test]
fn s19_a_reset_ends_only_its_own_connection() {
    let exchange = Exchange::transform("shout", "ahoy").unwrap();
    let address = floor(true);
    for _ in 0..20 {
        let mut stream = connect(address);
        stream.write_all(&exchange.request).unwrap();
        // Closing with an unread reply resets the connection.
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).unwrap();
        drop(stream);
    }
    assert_eq!(verify::transforms(address, true), Ok(()));
}
