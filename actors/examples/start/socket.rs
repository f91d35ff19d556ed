//! A socket as the port of a process: what arrives there is received like a message. The crate's own port also writes, and
//! stops reading on demand; this one connects and reads, and no more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actors::{Peer, Port};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// A socket that connects as soon as it is polled.
pub(crate) enum Socket {
    Connecting(Connecting),
    Connected(TcpStream),
}

impl Socket {
    pub(crate) fn to(peer: Peer) -> Self {
        Self::Connecting(Box::pin(async move {
            let addresses = peer.addresses().map_err(io::Error::other)?;
            TcpStream::connect(addresses).await
        }))
    }
}

impl Port for Socket {
    /// Bytes: Erlang's `{tcp, Socket, Data}`, or `{tcp_closed, Socket}` if there are none; or `{tcp_error, Socket, Reason}`,
    /// also if the connection failed. After the last two the process must exit.
    type Event<'a> = io::Result<&'a [u8]>;

    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<Self::Event<'b>> {
        loop {
            match self {
                Self::Connecting(connecting) => match ready!(connecting.as_mut().poll(turn)) {
                    Ok(socket) => *self = Self::Connected(socket),
                    Err(error) => return Poll::Ready(Err(error)),
                },
                Self::Connected(socket) => {
                    let mut read = ReadBuf::new(buffer);
                    let ended = ready!(Pin::new(socket).poll_read(turn, &mut read));
                    let count = read.filled().len();
                    return Poll::Ready(ended.map(|()| &buffer[..count]));
                }
            }
        }
    }
}
