//! A client's port: it dials, then it is a stream. The process hears how the dialling ended, then the stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poetry::FetchFailure;

use crate::port::{Port, Stream, Tcp, TcpEvent};
use crate::process;

/// A stream that can be connected: a socket, or a test's pipe.
pub trait Connect: Stream + Sized {
    /// Connects to `address`.
    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self>>;
    /// This end's address.
    fn local(&self) -> Option<SocketAddr>;
}

/// The port of a process that connects first.
pub struct Dial<S> {
    dialling: Option<Dialling<S>>,
    /// What was dialled, once it is connected.
    pub tcp: Tcp<S>,
}

type Dialling<S> = Pin<Box<dyn Future<Output = Result<(S, SocketAddr), FetchFailure>>>>;

/// The two ends of a connection that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// This end.
    pub local: Option<SocketAddr>,
    /// The other.
    pub peer: SocketAddr,
}

/// What is heard from a [`Dial`].
#[derive(Debug)]
pub enum DialEvent<'a> {
    /// The connection is made, or was not to be had.
    Dialled(Result<Ends, FetchFailure>),
    /// What the stream says.
    Tcp(TcpEvent<'a>),
}

/// A port that does nothing until it is told to dial.
impl<S> Default for Dial<S> {
    fn default() -> Self {
        Self {
            dialling: None,
            tcp: Tcp::closed(),
        }
    }
}

impl<S: Connect> Dial<S> {
    /// Tries `addresses` in order, each for at most `patience`; `trying` is told of every one.
    pub fn dial(
        &mut self,
        addresses: Vec<SocketAddr>,
        patience: Duration,
        mut trying: impl FnMut(SocketAddr) + 'static,
    ) {
        self.dialling = Some(Box::pin(async move {
            let mut last = FetchFailure::ConnectionFailed {
                cause: "no address".to_owned(),
            };
            for address in addresses {
                trying(address);
                last = match process::timeout(patience, S::connect(address)).await {
                    Some(Ok(stream)) => return Ok((stream, address)),
                    Some(Err(error)) => FetchFailure::connection_failed(&error),
                    None => FetchFailure::connect_timed_out(),
                };
            }
            Err(last)
        }));
    }

    /// Closes whatever it has.
    pub fn close(&mut self) {
        self.dialling = None;
        self.tcp = Tcp::closed();
    }
}

impl<S: Connect> Port for Dial<S> {
    type Event<'a> = DialEvent<'a>;

    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<DialEvent<'b>> {
        let Some(dialling) = &mut self.dialling else {
            return self.tcp.poll(turn, buffer).map(DialEvent::Tcp);
        };
        dialling.as_mut().poll(turn).map(|dialled| {
            self.dialling = None;
            DialEvent::Dialled(dialled.map(|(stream, peer)| {
                let local = stream.local();
                self.tcp = Tcp::open(stream);
                Ends { local, peer }
            }))
        })
    }
}
