//! Step 8, the server with a codec, gives the same replies to the same bytes as the crate's own server.

#[allow(dead_code)] // Its `main` does not run here.
#[path = "../examples/streams_08_codec_server.rs"]
mod codec_server;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use poetry::TransformService;
use streams::serve_transforms;

const GENEROUS: Duration = Duration::from_secs(10);

fn reply_of(server: std::net::SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(server).unwrap();
    socket.set_read_timeout(Some(GENEROUS)).unwrap();
    for piece in request.chunks(request.len().div_ceil(3).max(1)) {
        socket.write_all(piece).unwrap();
    }
    socket.shutdown(Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    socket.read_to_end(&mut reply).unwrap();
    reply
}

/// The codec server's reply to one connection.
fn codec_reply(service: TransformService, request: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let request = request.to_vec();
        let client = tokio::task::spawn_blocking(move || reply_of(address, &request));
        let (socket, _) = listener.accept().await.unwrap();
        let _ = codec_server::answer_requests(socket, service).await;
        client.await.unwrap()
    })
}

#[test]
fn s2_s4_s5_s6_both_servers_give_the_same_replies() {
    let many = b"7:shout.a,".repeat(20_000);
    let long = [b"99999:shout.", &[b'a'; 99_993][..], b","].concat();
    let requests: [&[u8]; 12] = [
        b"",
        b"7:shout.a,",
        b"12:cummingsify.,",
        b"7:shout.a,7:shout.b,",
        b"7:shout.a,8:nonsense,7:shout.b,",
        b"7:shout.a,x7:shout.b,",
        b"7:shout.a,7:sho",
        b"9:nothing.a,",
        b"8:shout.\xff\xff,",
        b"100000:",
        &many,
        &long,
    ];
    for keep_alive in [true, false] {
        let service = TransformService {
            keep_alive,
            lab: None,
            offload: false,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = serve_transforms(listener, service.clone()).unwrap();
        for request in requests {
            // A one-shot server may close before it has read a long request to its end.
            if !keep_alive && request.len() > 100_000 {
                continue;
            }
            let own = reply_of(server.address(), request);
            let codec = codec_reply(service.clone(), request);
            let shown = String::from_utf8_lossy(&request[..request.len().min(40)]);
            assert!(own == codec, "{shown}");
        }
    }
}
