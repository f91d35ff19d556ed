//! Real sockets: bytes and room that the kernel has not announced, and self-connects.

use std::io::Write;
use std::thread;

use super::*;

/// The timeout of every wait in these tests.
const DEADLINE: Duration = Duration::from_secs(10);

/// Returns a socket with a small and full send buffer, its peer, and the number of bytes under way. The runtime does not
/// run afterwards, so it cannot learn that the socket is writable again.
fn full(system: &actix::SystemRunner) -> (Socket, net::TcpStream, usize) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Accepted sockets inherit it.
    let small = SockRef::from(&listener).set_send_buffer_size(16 << 10);
    small.unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut socket = system.block_on(async {
        let mut listener = Listener::adopt(listener).unwrap();
        let (mut socket, _) = poll_fn(|turn| listener.poll_accept(turn)).await.unwrap();
        poll_fn(|turn| socket.poll_writable(turn)).await;
        socket
    });
    let mut taken = 0;
    while let more @ 1.. = socket.try_write(IoData::Binary(&[b'x'; 1 << 10])).unwrap() {
        taken += more;
    }
    assert!(taken > 0);
    (socket, peer, taken)
}

/// Returns a new socket, of which the arbiter has heard nothing, and its peer.
fn new(system: &actix::SystemRunner) -> (Socket, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let socket = system.block_on(async { Released(stream).adopt().unwrap() });
    (socket, peer)
}

#[cfg(target_os = "linux")]
#[test]
fn s7_the_last_reply_waits_for_fin() {
    let system = actix::System::new();
    // The kernel waits for 200 ms at most, which a busy machine may take for these lines now and then.
    let waited = (0..100).any(|_| {
        let (mut socket, mut peer) = new(&system);
        socket.send_with_fin();
        let taken = socket.try_write_unannounced(IoData::Binary(b"a reply"));
        assert_eq!(taken.unwrap(), 7);
        peer.set_nonblocking(true).unwrap();
        let waited = peer.read(&mut [0]).is_err();
        peer.set_nonblocking(false).unwrap();
        socket.finish();
        let mut reply = String::new();
        peer.read_to_string(&mut reply).unwrap();
        system.block_on(async { drop(socket) });
        waited && reply == "a reply"
    });
    assert!(waited);
}

#[test]
fn a_new_port_reads_and_writes_before_its_arbiter_has_heard_of_the_socket() {
    let system = actix::System::new();
    let (socket, mut peer) = new(&system);
    peer.write_all(b"a request").unwrap();
    let mut port = crate::port::Tcp::open(socket);
    port.read_at_once();
    let mut turn = Context::from_waker(std::task::Waker::noop());
    let mut buffer = [0; 16];
    // The loopback has delivered it by now.
    let event = crate::port::Port::poll(&mut port, &mut turn, &mut buffer);
    assert!(matches!(
        event,
        Poll::Ready(crate::port::TcpEvent::Data(b"a request"))
    ));
    // The next read waits for an announcement.
    let event = crate::port::Port::poll(&mut port, &mut turn, &mut buffer);
    assert!(event.is_pending());
    assert_eq!(port.write(&b"a reply"[..]).unwrap(), 7);
    peer.read_exact(&mut [0; 7]).unwrap();
    system.block_on(async { drop(port) });
}

#[test]
fn s18_a_write_into_unannounced_room_is_made_and_counted() {
    let system = actix::System::new();
    let (mut socket, mut peer, taken) = full(&system);
    let mut buffer = [0; 1 << 10];
    let (mut read, begun) = (0, Instant::now());
    let more = loop {
        assert!(begun.elapsed() < DEADLINE);
        // The peer reads until its kernel has room.
        if read < taken {
            read += peer.read(&mut buffer).unwrap();
        }
        assert_eq!(socket.try_write(IoData::Binary(b"more")).unwrap(), 0);
        match socket
            .try_write_unannounced(IoData::Binary(b"more"))
            .unwrap()
        {
            0 => thread::yield_now(),
            more => break more,
        }
    };
    system.block_on(async { drop(socket) });
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    assert_eq!(read + rest.len(), taken + more);
}

#[test]
fn s18_bytes_that_were_not_announced_are_read() {
    let system = actix::System::new();
    let (mut socket, mut peer, _) = full(&system);
    let mut buffer = [0; 8];
    assert!(socket.try_read_unannounced(&mut buffer).is_pending());
    peer.write_all(b"late").unwrap();
    let begun = Instant::now();
    let read = loop {
        assert!(begun.elapsed() < DEADLINE);
        match socket.try_read_unannounced(&mut buffer) {
            Poll::Ready(read) => break read.unwrap(),
            Poll::Pending => thread::yield_now(),
        }
    };
    assert_eq!(&buffer[..read], b"late");
    system.block_on(async { drop(socket) });
}

#[test]
fn s18_a_write_to_a_reset_connection_is_an_error_and_not_a_peer_that_reads_nothing() {
    let system = actix::System::new();
    let (mut socket, peer, _) = full(&system);
    // Dropped with unread input, the peer resets the connection.
    drop(peer);
    let begun = Instant::now();
    while socket
        .try_write_unannounced(IoData::Binary(b"more"))
        .is_ok()
    {
        assert!(begun.elapsed() < DEADLINE);
        thread::yield_now();
    }
}

/// Connects to a peer that sends a poem and then, if `finishes`, FIN, and resets the connection before the client looks.
/// Returns what the client reads, up to the error.
fn read_after_reset(finishes: bool) -> (Vec<u8>, Option<io::ErrorKind>) {
    use std::io::Write;
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    actix::System::new().block_on(async {
        let mut connecting = pin!(Socket::connect(address));
        poll_fn(|turn| {
            // It begins to connect, and loopback completes that.
            assert!(connecting.as_mut().poll(turn).is_pending());
            Poll::Ready(())
        })
        .await;
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"Stars").unwrap();
        if finishes {
            peer.shutdown(net::Shutdown::Write).unwrap();
        }
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        let mut poem = Vec::new();
        let mut socket = match connecting.await {
            Ok(socket) => socket,
            Err(error) => return (poem, Some(error.kind())),
        };
        let mut buffer = [0; 3];
        loop {
            match poll_fn(|turn| socket.poll_read(turn, &mut buffer)).await {
                Ok(0) => return (poem, None),
                Ok(count) => poem.extend(&buffer[..count]),
                Err(error) => return (poem, Some(error.kind())),
            }
        }
    })
}

#[test]
fn s11_a_poem_with_fin_and_then_a_reset_before_the_client_looked_is_complete() {
    assert_eq!(read_after_reset(true), (b"Stars".to_vec(), None));
}

#[test]
fn s11_a_reset_without_fin_before_the_client_looked_is_an_error() {
    let (_, error) = read_after_reset(false);
    assert_eq!(error, Some(io::ErrorKind::ConnectionReset));
}

#[test]
fn s11_a_socket_connected_to_itself_is_recognised_and_its_abort_frees_the_port() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let (ordinary, _peer, _) = full(&actix::System::new());
    assert!(!ordinary.is_self_connected());
    actix::System::new().block_on(async {
        let socket = Released(socket.into()).adopt().unwrap();
        assert!(socket.is_self_connected());
        socket.abort();
    });
    // Without SO_REUSEADDR, which a TIME_WAIT would not stop.
    let next = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    next.bind(&address).unwrap();
}
