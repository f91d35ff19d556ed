//! A server's socket over the loopback. tokio's driver does not run here, so its view of the kernel is out of date.

use std::io::Read;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::runtime::Builder;

use super::*;

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

#[test]
fn s11_a_connection_to_itself_is_closed_at_once_and_has_failed() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The kernel may pick the dialled port as the source by chance; here it has no choice.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let failure = dial(socket, address).await.unwrap_err();
        assert_eq!(failure, FetchFailure::self_connected());
        // The port is free again.
        std::net::TcpListener::bind(address).unwrap();
    });
}
