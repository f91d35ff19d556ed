//! A client's port: it dials, then it is a stream. The process hears whom it dials, how that
//! ended, then the stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

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
    /// Those left to try.
    addresses: vec::IntoIter<SocketAddr>,
    /// How long each may take.
    patience: Duration,
    /// The one that is being tried.
    trying: Option<(SocketAddr, Trying<S>)>,
    /// What was dialled, once it is connected.
    pub tcp: Tcp<S>,
}

type Trying<S> = Pin<Box<dyn Future<Output = Result<S, FetchFailure>>>>;

/// What is heard from a [`Dial`].
#[derive(Debug)]
pub enum DialEvent<'a> {
    /// It begins to connect to this address.
    Dialling(SocketAddr),
    /// The connection to this address is made, or none was to be had.
    Dialled(Result<SocketAddr, FetchFailure>),
    /// What the stream says.
    Tcp(TcpEvent<'a>),
}

/// A port that does nothing until it is told to dial.
impl<S> Default for Dial<S> {
    fn default() -> Self {
        Self {
            addresses: Vec::new().into_iter(),
            patience: Duration::ZERO,
            trying: None,
            tcp: Tcp::closed(),
        }
    }
}

impl<S: Connect> Dial<S> {
    /// Tries `addresses` in order, each for at most `patience`; it is told of every one. If there are none, nothing
    /// is heard.
    pub fn dial(&mut self, addresses: Vec<SocketAddr>, patience: Duration) {
        self.addresses = addresses.into_iter();
        self.patience = patience;
    }

    /// This end's address, once it is connected.
    pub fn local(&self) -> Option<SocketAddr> {
        self.tcp.stream().and_then(S::local)
    }

    /// Closes whatever it has.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Begins to connect to the next address, if there is one left.
    fn try_next(&mut self) -> Option<SocketAddr> {
        let (address, patience) = (self.addresses.next()?, self.patience);
        let trying = Box::pin(async move {
            match process::timeout(patience, pin!(S::connect(address))).await {
                Some(Ok(stream)) => Ok(stream),
                Some(Err(error)) => Err(FetchFailure::connection_failed(&error)),
                None => Err(FetchFailure::connect_timed_out()),
            }
        });
        self.trying = Some((address, trying));
        Some(address)
    }
}

impl<S: Connect> Port for Dial<S> {
    type Event<'a> = DialEvent<'a>;

    fn poll<'b>(&mut self, turn: &mut Context<'_>, buffer: &'b mut [u8]) -> Poll<DialEvent<'b>> {
        let Some((address, trying)) = &mut self.trying else {
            return match self.try_next() {
                Some(address) => Poll::Ready(DialEvent::Dialling(address)),
                None => self.tcp.poll(turn, buffer).map(DialEvent::Tcp),
            };
        };
        let (address, tried) = (*address, ready!(trying.as_mut().poll(turn)));
        self.trying = None;
        Poll::Ready(match tried {
            Ok(stream) => {
                self.addresses = Vec::new().into_iter();
                self.tcp = Tcp::open(stream);
                DialEvent::Dialled(Ok(address))
            }
            Err(failure) => match self.try_next() {
                Some(next) => DialEvent::Dialling(next),
                None => DialEvent::Dialled(Err(failure)),
            },
        })
    }
}
