//! The poem client (S10–S12): one Deferred for each poem, any number at once in one reactor.

use std::mem;
use std::rc::Rc;

use poetry::error::{Timeout, decode_poem};
use poetry::{FetchFailure, Peer, Poem, PoemName, Role, netstring};

use crate::deferred::{Deferred, Trigger};
use crate::dialling::{dial, hang_up};
use crate::failure::Failure;
use crate::netstring_client::{Exchange, ask};
use crate::protocol::{Lost, Protocol};
use crate::reactor::{Reactor, Transport};
use crate::task::{Task, connection_lost};

// ANCHOR: get_poetry
/// Fetches the poem that `peer` serves; fails with a [`FetchFailure`]. Cancelling it closes the socket at once (S14);
/// dropping it does not, as in Twisted.
///
/// ```
/// use callbacks::{MemoryReactor, Peer, get_poetry};
///
/// let reactor = MemoryReactor::new();
/// let poem = get_poetry(&reactor, "10001".parse::<Peer>()?);
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// server.send(b"Ahoy");
/// server.finish();
/// reactor.settle();
/// assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "Ahoy");
/// # Ok::<(), String>(())
/// ```
pub fn get_poetry(reactor: &Reactor, peer: impl Into<Peer>) -> Deferred<Poem> {
    get_poetry_with(reactor, peer, &Task::unobserved(reactor, Role::PoemClient))
}

/// As [`get_poetry`], with the limits and the observer of `task`.
pub fn get_poetry_with(
    reactor: &Reactor,
    peer: impl Into<Peer>,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    task.bound(reactor, collect_poem(reactor, &peer.into(), task))
}

/// Collects what `peer` sends until FIN, without the deadline and the end of a whole task.
pub(crate) fn collect_poem(reactor: &Reactor, peer: &Peer, task: &Rc<Task>) -> Deferred<Poem> {
    let collects = Rc::clone(task);
    dial(reactor, peer, task, move |trigger| {
        Box::new(PoetryProtocol {
            task: Rc::clone(&collects),
            trigger: Some(trigger),
            poem: Vec::new(),
            finished: false,
            failure: None,
        })
    })
}
// ANCHOR_END: get_poetry

/// Fetches the poem called `name` from a library server (S8); fails with a [`FetchFailure`].
///
/// ```
/// use callbacks::{MemoryReactor, Peer, get_poetry_named};
///
/// let reactor = MemoryReactor::new();
/// let poem = get_poetry_named(&reactor, "10003".parse::<Peer>()?, &"lantern".parse().unwrap());
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// reactor.settle();
/// assert_eq!(server.received(), b"7:lantern,");
/// server.send(b"4:Ahoy,");
/// reactor.settle();
/// assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "Ahoy");
/// # Ok::<(), String>(())
/// ```
pub fn get_poetry_named(
    reactor: &Reactor,
    peer: impl Into<Peer>,
    name: &PoemName,
) -> Deferred<Poem> {
    let task = Task::unobserved(reactor, Role::PoemClient);
    get_poetry_named_with(reactor, peer, name, &task)
}

/// As [`get_poetry_named`], with the limits and the observer of `task`.
pub fn get_poetry_named_with(
    reactor: &Reactor,
    peer: impl Into<Peer>,
    name: &PoemName,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    let mut request = Vec::new();
    netstring::encode(name.as_str().as_bytes(), &mut request);
    let exchange = Rc::new(Exchange {
        request,
        reply_bytes_max: task.limits.poem_bytes_max,
        bad_reply: FetchFailure::bad_poem,
    });
    task.bound(reactor, ask(reactor, &peer.into(), &exchange, task))
}

/// Collects a poem until FIN.
struct PoetryProtocol {
    task: Rc<Task>,
    trigger: Option<Trigger<Poem>>,
    poem: Vec<u8>,
    finished: bool,
    failure: Option<FetchFailure>,
}

impl PoetryProtocol {
    fn fail(&mut self, transport: &Transport, failure: FetchFailure) {
        self.failure = Some(failure);
        hang_up(transport);
    }
}

// ANCHOR: poem_protocol
impl Protocol for PoetryProtocol {
    fn connection_made(&mut self, transport: &Transport) {
        self.task.on_connected(transport);
        transport.set_timeout(Some(self.task.limits.idle_timeout));
    }

    // ANCHOR: piece_arrives
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.task.on_bytes_read(data.len());
        transport.set_timeout(Some(self.task.limits.idle_timeout));
        let limit = self.task.limits.poem_bytes_max;
        if self.poem.len() + data.len() > limit {
            let limit = limit as u64;
            return self.fail(transport, FetchFailure::TooLong { limit });
        }
        self.poem.extend_from_slice(data);
    }
    // ANCHOR_END: piece_arrives

    /// FIN is the end of the poem (S1).
    fn read_connection_lost(&mut self, transport: &Transport) {
        self.finished = true;
        transport.lose_connection();
    }

    fn timeout_connection(&mut self, transport: &Transport) {
        self.fail(transport, FetchFailure::TimedOut(Timeout::Idle));
    }

    fn connection_lost(&mut self, _: &Transport, lost: Lost) {
        let Some(trigger) = self.trigger.take() else {
            return;
        };
        match self.failure.take() {
            Some(failure) => trigger.errback(failure),
            // Decoded whole, so that a character cut by the network is one again (S12).
            None if self.finished => {
                let poem = decode_poem(mem::take(&mut self.poem));
                trigger.fire(poem.map(Poem::from).map_err(Failure::from));
            }
            None => trigger.errback(connection_lost(lost)),
        }
    }
}
// ANCHOR_END: poem_protocol
