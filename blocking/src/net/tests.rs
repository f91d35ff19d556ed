//! What wakes a blocked call, on real sockets.

use super::*;
use std::thread;

fn listener() -> Listener {
    Listener::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Socket> {
    Connecting::begin(address)?.wait(now() + timeout)
}

#[test]
fn t2_closing_a_listener_wakes_every_thread_that_waits_on_it() {
    let listener = listener();
    thread::scope(|scope| {
        let waiting = [(); 8].map(|()| scope.spawn(|| listener.accept()));
        listener.close(8);
        for thread in waiting {
            assert!(thread.join().unwrap().is_err());
        }
    });
    assert!(TcpStream::connect(listener.address()).is_err());
}

#[test]
fn t2_where_that_is_refused_connections_of_our_own_wake_them() {
    let listener = Listener::new(TcpListener::bind("0.0.0.0:0").unwrap()).unwrap();
    thread::scope(|scope| {
        let waiting = [(); 8].map(|()| scope.spawn(|| listener.accept()));
        listener.wake_by_connecting(8);
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
    });
}

#[test]
fn t2_hanging_up_wakes_a_blocked_read() {
    let listener = listener();
    let mut near = connect(listener.address(), Duration::from_secs(10)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let hook = near.hook();
    thread::scope(|scope| {
        let blocked = scope.spawn(move || near.read(&mut [0]));
        hook.hang_up();
        assert_eq!(blocked.join().unwrap().unwrap(), 0);
    });
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_hook_does_not_keep_a_socket_open() {
    let listener = listener();
    let near = connect(listener.address(), Duration::from_secs(10)).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let hook = near.hook();
    drop(near);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    hook.hang_up();
}

/// A listener whose queue is full, so that Linux does not even answer; and what fills it.
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
        assert!(queued.len() < 5_000, "the queue has no end");
    }
    (listener, address, queued)
}

#[test]
fn t2_a_connect_that_nobody_answers_ends_by_its_timeout() {
    let (_listener, address, _queued) = full();
    let refused = connect(address, Duration::from_millis(20)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn t2_hanging_up_ends_a_connect_that_nobody_answers() {
    let (_listener, address, _queued) = full();
    let connecting = Connecting::begin(address).unwrap();
    let hook = connecting.hook();
    thread::scope(|scope| {
        // Nobody waits for the timeout.
        let blocked = scope.spawn(move || connecting.wait(now() + Duration::from_secs(3_600)));
        // It may not wait yet; once it does, this ends it.
        while !blocked.is_finished() {
            hook.hang_up();
            thread::yield_now();
        }
        assert!(blocked.join().unwrap().is_err());
    });
}

/// As when a signal interrupts the wait, and somebody hangs up before it goes on.
#[test]
fn t2_to_wait_for_a_connect_that_was_hung_up_on_does_not_begin_it_anew() {
    let (_listener, address, _queued) = full();
    let connecting = Connecting::begin(address).unwrap();
    connecting.hook().hang_up();
    let begun = now();
    let ended = connecting.wait(begun + Duration::from_secs(3_600));
    assert!(ended.is_err());
    assert!(now() - begun < Duration::from_secs(10));
}

#[test]
fn s1_what_came_before_a_reset_that_came_after_fin_is_there_to_be_read() {
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
fn s11_a_connection_that_was_made_and_reset_is_told_from_one_that_was_refused() {
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
