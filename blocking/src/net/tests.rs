//! Waking blocked calls and telling connects apart, on real sockets.

use super::*;
use crate::listener::Listener;
use std::net::TcpListener;
use std::thread;

fn listener() -> Listener {
    Listener::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Socket> {
    Connecting::begin(address)?.wait(now() + timeout)
}

#[test]
fn t2_a_hang_up_wakes_a_blocked_read() {
    let listener = listener();
    let mut near = connect(listener.address(), Duration::from_secs(10)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let hang_up = near.hang_up();
    thread::scope(|scope| {
        let blocked = scope.spawn(move || near.read(&mut [0]));
        hang_up.both_ways();
        assert_eq!(blocked.join().unwrap().unwrap(), 0);
    });
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_read_that_does_not_wait_returns_what_has_arrived() {
    let listener = listener();
    let mut near = connect(listener.address(), Duration::from_secs(10)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let nothing = near.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    far.write_all(b"ab").unwrap();
    assert_eq!(near.read(&mut [0]).unwrap(), 1); // Waits until both have arrived.
    let mut rest = [0; 8];
    assert_eq!((near.try_read(&mut rest).unwrap(), rest[0]), (1, b'b'));
    far.finish().unwrap();
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    assert_eq!(near.try_read(&mut rest).unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn s7_the_last_reply_waits_for_fin() {
    let listener = listener();
    // The kernel waits for 200 ms at most, which a busy machine may take for these lines now and then.
    let waited = (0..100).any(|_| {
        let mut near = connect(listener.address(), Duration::from_secs(10)).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.send_with_fin();
        assert_eq!(far.try_write(b"a reply").unwrap(), 7);
        let waited = near.try_read(&mut [0]).is_err();
        far.finish().unwrap();
        let mut reply = String::new();
        near.read_to_string(&mut reply).unwrap();
        waited && reply == "a reply"
    });
    assert!(waited);
}

#[test]
fn a_hang_up_handle_does_not_keep_a_socket_open() {
    let listener = listener();
    let near = connect(listener.address(), Duration::from_secs(10)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let hang_up = near.hang_up();
    drop(near);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    hang_up.both_ways();
}

/// A listener whose queue is full, so that Linux does not answer, its address, and the connections that fill the queue.
fn full() -> (socket2::Socket, SocketAddr, Vec<Socket>) {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&anywhere.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(socket) = connect(address, Duration::from_millis(50)) {
        queued.push(socket);
        assert!(queued.len() < 5_000, "the queue never fills");
    }
    (listener, address, queued)
}

#[test]
fn t2_an_unanswered_connect_ends_by_its_timeout() {
    let (_listener, address, _queued) = full();
    let refused = connect(address, Duration::from_millis(20)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn t2_a_hang_up_ends_an_unanswered_connect() {
    let (_listener, address, _queued) = full();
    let connecting = Connecting::begin(address).unwrap();
    let hang_up = connecting.hang_up();
    thread::scope(|scope| {
        // The test never waits for this deadline.
        let blocked = scope.spawn(move || connecting.wait(now() + Duration::from_secs(3_600)));
        // The thread may not wait yet; once it does, this ends the wait.
        while !blocked.is_finished() {
            hang_up.both_ways();
            thread::yield_now();
        }
        assert!(blocked.join().unwrap().is_err());
    });
}

/// As when a signal interrupts the wait, and a hang-up comes before it continues.
#[test]
fn t2_waiting_after_a_hang_up_does_not_connect_anew() {
    let (_listener, address, _queued) = full();
    let connecting = Connecting::begin(address).unwrap();
    connecting.hang_up().both_ways();
    let begun = now();
    let ended = connecting.wait(begun + Duration::from_secs(3_600));
    assert!(ended.is_err());
    assert!(now() - begun < Duration::from_secs(10));
}

#[test]
fn s1_bytes_before_a_fin_can_be_read_after_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connecting = Connecting::begin(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"a poem").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let mut socket = connecting.wait(now() + Duration::from_secs(10)).unwrap();
    let mut poem = String::new();
    socket.read_to_string(&mut poem).unwrap();
    assert_eq!(poem, "a poem");
}

#[test]
fn s11_an_established_and_reset_connection_differs_from_a_refused_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = Connecting::begin(address).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"half a po").unwrap();
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop((peer, listener));
    let deadline = now() + Duration::from_secs(10);
    let reset = connecting.wait(deadline).unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let refused = Connecting::begin(address)
        .and_then(|it| it.wait(deadline))
        .unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

/// A socket that the kernel could have chosen: its source port is the port it connects to.
#[cfg(target_os = "linux")]
fn connecting_to_itself(anywhere: SocketAddr) -> (Connecting, SocketAddr) {
    let kind = Type::STREAM.nonblocking();
    let socket = socket2::Socket::new(Domain::for_address(anywhere), kind, None).unwrap();
    socket.bind(&anywhere.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (Connecting::begin_with(socket, address).unwrap(), address)
}

#[cfg(target_os = "linux")]
#[test]
fn s11_a_connection_to_itself_is_recognised_before_it_is_waited_for() {
    for anywhere in ["127.0.0.1:0", "[::1]:0"] {
        let anywhere: SocketAddr = anywhere.parse().unwrap();
        if TcpListener::bind(anywhere).is_err() {
            println!("skipped: cannot bind {anywhere}");
            continue;
        }
        let (connecting, address) = connecting_to_itself(anywhere);
        assert!(connecting.is_to_itself(address));
        // The kernel does establish it.
        let socket = connecting.wait(now() + Duration::from_secs(10)).unwrap();
        assert!(is_same_end(&socket.stream, address));
    }
}

#[test]
fn s11_a_connection_to_a_listener_is_not_to_itself() {
    let listener = listener();
    let address = listener.address();
    let connecting = Connecting::begin(address).unwrap();
    assert!(!connecting.is_to_itself(address));
    let mut everywhere = address;
    everywhere.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
    assert!(!connecting.is_to_itself(everywhere));
}
