//! The port of a client: it connects to the first address that accepts, then it is a stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use poetry::FetchFailure;

use crate::descriptors::{Descriptor, Descriptors};
use crate::port::{Port, Stream, Tcp, TcpEvent};

/// A stream that connects to an address: a socket, or a pipe in tests.
pub(crate) trait Connect: Stream + Sized {
    /// Connects to `address`.
    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self>>;
    /// Returns the address of this end.
    fn local(&self) -> Option<SocketAddr>;
    /// Returns whether both ends are this one socket. TCP can connect a socket to itself if its ephemeral port is the one
    /// it connects to.
    fn is_self_connected(&self) -> bool;
}

/// The port of a process that connects first.
pub(crate) struct Dial<S> {
    /// The addresses left to try.
    addresses: vec::IntoIter<SocketAddr>,
    /// How long each address may take.
    patience: Duration,
    /// The connect under way.
    trying: Option<(SocketAddr, Trying<S>)>,
    descriptors: Descriptors,
    /// The connected stream.
    pub(crate) tcp: Tcp<S>,
    /// Behind the stream, which is dropped first.
    descriptor: Option<Descriptor>,
}

type Trying<S> = Pin<Box<dyn Future<Output = Result<(S, Descriptor), FetchFailure>>>>;

/// An event of a [`Dial`].
#[derive(Debug)]
pub(crate) enum DialEvent<'a> {
    /// The port starts to connect to this address.
    Dialling(SocketAddr),
    /// The port is connected to this address, or every address has failed.
    Dialled(Result<SocketAddr, FetchFailure>),
    /// An event of the connected stream.
    Tcp(TcpEvent<'a>),
}

/// A port that is not connected and does not connect yet.
impl<S> Default for Dial<S> {
    fn default() -> Self {
        Self {
            addresses: Vec::new().into_iter(),
            patience: Duration::ZERO,
            trying: None,
            descriptors: Descriptors::default(),
            tcp: Tcp::closed(),
            descriptor: None,
        }
    }
}

impl<S: Connect> Dial<S> {
    /// Connects to the first of `addresses` that accepts within `patience`, with one of the client's `descriptors`. Without
    /// addresses there is no event.
    pub(crate) fn dial(
        &mut self,
        addresses: Vec<SocketAddr>,
        patience: Duration,
        descriptors: &Descriptors,
    ) {
        self.addresses = addresses.into_iter();
        self.patience = patience;
        self.descriptors = descriptors.clone();
    }

    /// Returns the address of this end, once it is connected.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.tcp.stream().and_then(S::local)
    }

    /// Closes the stream or gives up the connect under way.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    /// Starts to connect to the next address, if one is left.
    fn try_next(&mut self) -> Option<SocketAddr> {
        let (address, patience) = (self.addresses.next()?, self.patience);
        let descriptors = self.descriptors.clone();
        let trying = Box::pin(async move {
            let (stream, descriptor) = descriptors.connect::<S>(address, patience).await?;
            if stream.is_self_connected() {
                stream.abort();
                return Err(FetchFailure::self_connected());
            }
            Ok((stream, descriptor))
        });
        self.trying = Some((address, trying));
        Some(address)
    }
}

impl<S: Connect> Port for Dial<S> {
    type Event<'a> = DialEvent<'a>;

    // ANCHOR: dial_poll
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
            Ok((stream, descriptor)) => {
                self.addresses = Vec::new().into_iter();
                self.tcp = Tcp::open(stream);
                self.descriptor = Some(descriptor);
                DialEvent::Dialled(Ok(address))
            }
            Err(failure) => match self.try_next() {
                Some(next) => DialEvent::Dialling(next),
                None => DialEvent::Dialled(Err(failure)),
            },
        })
    }
    // ANCHOR_END: dial_poll
}
