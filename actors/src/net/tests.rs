//! What the kernel takes and does not announce, on real sockets.

use std::io::Read;
use std::thread;

use super::*;

/// Whatever a test waits for comes sooner.
const DEADLINE: Duration = Duration::from_secs(10);

/// A socket that the kernel buffers little for and takes nothing more from, its peer, and how many bytes are on the
/// way. The runtime has no turn from then on in which it could hear that the socket is writable again.
fn full(system: &actix::SystemRunner) -> (Socket, net::TcpStream, usize) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    // What is accepted inherits it.
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
    while let more @ 1.. = socket.try_write(&[b'x'; 1 << 10]).unwrap() {
        taken += more;
    }
    assert!(taken > 0);
    (socket, peer, taken)
}

#[test]
fn s18_room_that_is_not_announced_is_asked_of_the_kernel_and_counted() {
    let system = actix::System::new();
    let (mut socket, mut peer, taken) = full(&system);
    let mut buffer = [0; 1 << 10];
    let (mut read, begun) = (0, Instant::now());
    let more = loop {
        assert!(begun.elapsed() < DEADLINE);
        // As long as its kernel has no room the peer reads on.
        if read < taken {
            read += peer.read(&mut buffer).unwrap();
        }
        assert_eq!(socket.try_write(b"more").unwrap(), 0);
        match socket.try_write_unannounced(b"more").unwrap() {
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
fn s18_a_connection_that_is_gone_is_not_one_that_takes_nothing() {
    let system = actix::System::new();
    let (mut socket, peer, _) = full(&system);
    // With unread input: it resets.
    drop(peer);
    let begun = Instant::now();
    while socket.try_write_unannounced(b"more").is_ok() {
        assert!(begun.elapsed() < DEADLINE);
        thread::yield_now();
    }
}
