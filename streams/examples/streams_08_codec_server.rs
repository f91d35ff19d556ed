//! Step 8: a transform server in combinators alone, with a codec for netstrings (`common/codec.rs`).
//!
//! It answers the same requests as [`streams::serve_transforms`], which does without a codec. A codec has a read and a
//! write buffer for each connection, also for an idle one, and copies each frame; MEASURING has the cost. The crate's
//! own server also takes turns, counts, and reads nothing more while a reply waits.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_08_codec_server           # serves, and asks itself
//! cargo run -p quatrain-streams --example streams_08_codec_server -- 11000  # serves until it is stopped
//! ```

mod common;

use std::future::ready;
use std::io::{self, Write, stdout};
use std::pin::pin;
use std::process::ExitCode;

use futures::StreamExt;
use poetry::limits::{FRAME_BYTES_MAX, IDLE_TIMEOUT, LINGER_BYTES_MAX, LINGER_TIMEOUT};
use poetry::{Peer, TransformService};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, copy, sink};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::codec::Framed;

use common::codec::Netstrings;

// The server: requests in, replies out.

/// Answers the requests of one connection in order, and closes it.
pub(crate) async fn answer_requests<S>(socket: S, service: TransformService) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut replies, mut requests) = Framed::new(socket, Netstrings::default()).split();
    let requests_max = if service.keep_alive { usize::MAX } else { 1 };

    let timely = tokio_stream::StreamExt::timeout(requests.by_ref(), IDLE_TIMEOUT);
    let answered = timely
        .map(|request| answer(&service, &request??)) // The first error is a timeout, the second one of the decoder.
        .take(requests_max)
        .take_while(|reply| ready(reply.is_ok())) // Replies to the requests before a refused one are delivered.
        .forward(&mut replies);
    pin!(answered).await?;

    let mut socket = requests
        .reunite(replies)
        .map_err(|_| io::Error::other("two halves of different connections"))?
        .into_inner()
        .take(LINGER_BYTES_MAX as u64);
    timeout(LINGER_TIMEOUT, copy(&mut socket, &mut sink())).await??;
    Ok(())
}

fn answer(service: &TransformService, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    service
        .answer(request, FRAME_BYTES_MAX, &mut reply)
        .map_err(io::Error::other)?;
    Ok(reply)
}

async fn serve(listener: TcpListener, service: TransformService) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        // A connection that fails concerns only its client.
        tokio::spawn(answer_requests(socket, service.clone()));
    }
}

// The step: its arguments, and a request to itself.

const USAGE: &str = "[[HOST:]PORT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = match &arguments[..] {
        [] => common::block_on(ask_itself()),
        [text] => match text.parse() {
            Ok(peer) => common::block_on(serve_at(peer)),
            Err(error) => return common::wrong(USAGE, &format!("'{text}': {error}")),
        },
        _ => return common::wrong(USAGE, "more than one address is given"),
    };
    common::finish(ended)
}

async fn ask_itself() -> common::Ended {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, keep_alive()));
    let reply = streams::transform(address, "cummingsify", "I Asked Myself.").await?;
    writeln!(stdout(), "{reply}")?;
    Ok(())
}

async fn serve_at(peer: Peer) -> common::Ended {
    let listener = TcpListener::bind(peer.addresses()?).await?;
    writeln!(stdout(), "Serving transforms on {}", listener.local_addr()?)?;
    Ok(serve(listener, keep_alive()).await?)
}

fn keep_alive() -> TransformService {
    TransformService {
        keep_alive: true,
        lab: None,
        offload: false,
    }
}
