//! A server's socket over the loopback. tokio's driver does not run here, so its view of the kernel is out of date.

use std::io::{Read, Write};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use super::*;
use crate::dialling::connect;

const GENEROUS: Duration = Duration::from_secs(10);
const CHUNK: [u8; 1 << 14] = [b'x'; 1 << 14];

/// Runs `test` on a server's socket and its peer.
fn with_socket<T>(test: impl AsyncFnOnce(Socket, std::net::TcpStream) -> T) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(GENEROUS)).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        test(take_over(socket).unwrap(), peer).await
    })
}

fn write(socket: &mut Socket) -> Poll<usize> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let written = Pin::new(socket).poll_write(&mut cx, &CHUNK);
    written.map(Result::unwrap)
}

/// Writes until the kernel takes no more. Returns the bytes it took.
fn fill(socket: &mut Socket) -> usize {
    let mut taken = 0;
    let mut refusals = 0;
    while refusals < 100 {
        match write(socket) {
            Poll::Ready(bytes) => {
                taken += bytes;
                refusals = 0;
            }
            Poll::Pending => refusals += 1,
        }
    }
    taken
}

#[test]
fn s18_a_repeated_write_tries_the_kernel_although_tokio_has_announced_no_room() {
    with_socket(async |mut socket, mut peer| {
        // tokio learns this once that there is room, and never again.
        socket.write_all(b"!").await.unwrap();
        let mut taken = 1 + fill(&mut socket);
        let began = Instant::now();
        let more = loop {
            peer.read_exact(&mut [0; 1 << 10]).unwrap();
            taken -= 1 << 10;
            if let Poll::Ready(more) = write(&mut socket) {
                break more;
            }
            assert!(
                began.elapsed() < GENEROUS && taken > 1 << 10,
                "nothing was taken"
            );
        };
        assert!(more > 0);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn s7_the_last_reply_waits_for_fin() {
    // The kernel waits for 200 ms at most, which a busy machine may take for these lines now and then.
    let waited = (0..100).any(|_| {
        with_socket(async |mut socket, mut peer| {
            socket.sends_with_fin();
            socket.write_all(b"a reply").await.unwrap();
            peer.set_nonblocking(true).unwrap();
            let waited = peer.read(&mut [0]).is_err();
            peer.set_nonblocking(false).unwrap();
            socket.shutdown().await.unwrap();
            let mut reply = String::new();
            peer.read_to_string(&mut reply).unwrap();
            waited && reply == "a reply"
        })
    });
    assert!(waited);
}

#[test]
fn a_new_socket_is_read_and_written_before_tokio_has_heard_of_it() {
    with_socket(async |mut socket, mut peer| {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut buffer = [0; 16];
        let mut buffer = ReadBuf::new(&mut buffer);
        peer.write_all(b"a request").unwrap();
        socket.reads_at_once();
        // The loopback has delivered it by now.
        let read = Pin::new(&mut socket).poll_read(&mut cx, &mut buffer);
        assert!(matches!(read, Poll::Ready(Ok(()))));
        assert_eq!(buffer.filled(), b"a request");
        // The next read waits for an announcement.
        assert!(
            Pin::new(&mut socket)
                .poll_read(&mut cx, &mut buffer)
                .is_pending()
        );
        assert_eq!(write(&mut socket), Poll::Ready(CHUNK.len()));
        let mut reply = [0; CHUNK.len()];
        peer.read_exact(&mut reply).unwrap();
    });
}

#[test]
fn s11_a_connection_to_itself_is_closed_at_once_and_has_failed() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The kernel may pick the dialled port as the source by chance; here it has no choice.
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = open(any).unwrap();
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let failure = dial(socket, address, GENEROUS).await.unwrap_err();
        assert_eq!(failure, FetchFailure::self_connected());
        // The port is free again.
        std::net::TcpListener::bind(address).unwrap();
    });
}

/// Dials a listener, and lets `peer` use the other end before the client looks at its own.
fn dialled_late(peer: impl FnOnce(std::net::TcpStream)) -> Result<Vec<u8>, FetchFailure> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    runtime.block_on(async {
        let socket = open(address).unwrap();
        let _ = socket.connect(&address.into());
        peer(listener.accept().unwrap().0);
        let mut socket = TcpStream::from_std(socket.into()).unwrap();
        established(&socket, true)?;
        let mut bytes = Vec::new();
        let read = socket.read_to_end(&mut bytes).await;
        read.map_err(|error| FetchFailure::connection_lost(&error))?;
        Ok(bytes)
    })
}

fn finish_and_reset(mut peer: &std::net::TcpStream, poem: &[u8]) {
    peer.write_all(poem).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    SockRef::from(peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn s11_a_poem_that_ended_with_fin_is_a_poem_although_a_reset_came_before_the_client_looked() {
    let poem = dialled_late(|peer| finish_and_reset(&peer, b"a poem"));
    assert_eq!(poem, Ok(b"a poem".to_vec()));
}

#[test]
fn s11_a_reset_without_fin_is_a_lost_connection() {
    let lost = dialled_late(|mut peer| {
        peer.write_all(b"a part of a poem").unwrap();
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    assert!(matches!(lost, Err(FetchFailure::ConnectionLost { .. })));
}

#[test]
fn s15_the_own_busy_time_does_not_count_against_the_connect_timeout() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    runtime.block_on(async {
        // The timeout is over before tokio's driver has run at all.
        for _ in 0..100 {
            let dialled = connect(&[address], Duration::ZERO, &Arc::default(), |_| ()).await;
            drop(dialled.unwrap());
        }
    });
}

#[test]
fn s15_an_address_that_does_not_answer_times_out() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    // A full backlog answers no more.
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let silent = open(any).unwrap();
    silent.bind(&any.into()).unwrap();
    silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    runtime.block_on(async {
        let patience = Duration::from_millis(50);
        let failure = connect(&[address], patience, &Arc::default(), |_| ()).await;
        assert_eq!(failure.unwrap_err(), FetchFailure::connect_timed_out());
    });
}
