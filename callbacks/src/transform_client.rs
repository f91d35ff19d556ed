//! The transform client (S13): sends a poem as a request and receives its transform; if that fails, keeps the original.

use std::rc::Rc;

use poetry::{FetchError, FetchFailure, Kind, Poem, Role, Via, request};

use crate::deferred::Deferred;
use crate::deferred::coroutine::coroutine;
use crate::netstring_client::{Exchange, ask, ask_address};
use crate::reactor::Reactor;
use crate::task::{Task, fetch_failure, is_connection_failed, no_address};

// ANCHOR: transform
/// Sends `poem` to the transform server of `via`, and fires with the reply; fails with a [`FetchFailure`]. Cancelling it closes
/// the socket at once (S14).
///
/// ```
/// use callbacks::{MemoryReactor, Poem, Via, transform};
///
/// let reactor = MemoryReactor::new();
/// let via = Via { transform: "shout".to_owned(), peer: "10002".parse()? };
/// let shouted = transform(&reactor, &via, &Poem::from("Ahoy"));
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// reactor.settle();
/// assert_eq!(server.received(), b"10:shout.Ahoy,");
/// server.send(b"4:AHOY,");
/// reactor.settle();
/// assert_eq!(shouted.take_result().unwrap().unwrap().as_str(), "AHOY");
/// # Ok::<(), String>(())
/// ```
pub fn transform(reactor: &Reactor, via: &Via, poem: &Poem) -> Deferred<Poem> {
    let task = Task::unobserved(reactor, Role::TransformClient);
    transform_with(reactor, via, poem, &task)
}

/// As [`transform`], with the limits and the observer of `task`.
pub fn transform_with(
    reactor: &Reactor,
    via: &Via,
    poem: &Poem,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    match exchange(via, poem, task) {
        Ok(exchange) => task.bound(reactor, ask(reactor, &via.peer, &exchange, task)),
        Err(failure) => Deferred::fail(failure),
    }
}
// ANCHOR_END: transform

/// A poem that has arrived, transformed or not, and if not, why.
pub type Transformed = (Poem, Option<FetchError>);

// ANCHOR: fallback
/// The transform of `poem`; if that fails, `poem` itself and the failure (S13). Only a cancel fails the Deferred.
///
/// ```
/// use callbacks::{FetchFailure, MemoryReactor, Poem, Via, transform_or_keep};
///
/// let reactor = MemoryReactor::new();
/// let via = Via { transform: "shout".to_owned(), peer: "10002".parse()? };
/// let kept = transform_or_keep(&reactor, &via, Poem::from("Ahoy"));
///
/// let server = reactor.dialled().remove(0);
/// server.accept();
/// server.finish(); // Without a reply.
/// reactor.settle();
/// let (poem, failure) = kept.take_result().unwrap().unwrap();
/// assert_eq!((poem.as_str(), failure.unwrap().failure), ("Ahoy", FetchFailure::Refused));
/// # Ok::<(), String>(())
/// ```
pub fn transform_or_keep(reactor: &Reactor, via: &Via, poem: Poem) -> Deferred<Transformed> {
    let task = Task::unobserved(reactor, Role::PoemClient);
    transform_or_keep_with(reactor, via, poem, &task)
}

// ANCHOR: keep_original
/// As [`transform_or_keep`], with the limits and the observer of the task that fetched the poem. The failure is reported
/// as an event.
pub fn transform_or_keep_with(
    reactor: &Reactor,
    via: &Via,
    poem: Poem,
    task: &Task,
) -> Deferred<Transformed> {
    let task = task.for_transform();
    let peer = via.peer.clone();
    transform_with(reactor, via, &poem, &task).add_callbacks(
        |transformed| Ok((transformed, None)),
        move |failure| match fetch_failure(failure) {
            FetchFailure::Cancelled => Err(FetchFailure::Cancelled.into()),
            failure => {
                task.report(Kind::Failed(failure.clone()));
                Ok((poem, Some(FetchError::new(peer, failure))))
            }
        },
    )
}
// ANCHOR_END: keep_original
// ANCHOR_END: fallback

// ANCHOR: in_coroutine
/// [`transform_with`] as a coroutine (Part 17): the same program, with each wait where it is read.
pub fn transform_in_coroutine(
    reactor: &Reactor,
    via: &Via,
    poem: &Poem,
    task: &Rc<Task>,
) -> Deferred<Poem> {
    let (context, task_inside) = (reactor.clone(), Rc::clone(task));
    let (via, poem) = (via.clone(), poem.clone());
    let transformed = coroutine(async move {
        let exchange = exchange(&via, &poem, &task_inside)?;
        let mut addresses = via.peer.addresses()?.iter();
        while let Some(&address) = addresses.next() {
            match ask_address(&context, address, &exchange, &task_inside).await {
                Err(failure) if addresses.len() > 0 && is_connection_failed(&failure) => {}
                transformed => return transformed,
            }
        }
        Err(no_address().into())
    });
    task.bound(reactor, transformed)
}
// ANCHOR_END: in_coroutine

fn exchange(via: &Via, poem: &Poem, task: &Task) -> Result<Rc<Exchange>, FetchFailure> {
    let limit = task.limits.frame_bytes_max;
    if request::len(&via.transform, poem.as_str()) > limit {
        return Err(FetchFailure::TooLong {
            limit: limit as u64,
        });
    }
    let mut request = Vec::new();
    request::encode(&via.transform, poem.as_str(), &mut request);
    Ok(Rc::new(Exchange {
        request,
        reply_bytes_max: limit,
        bad_reply: FetchFailure::Garbled,
    }))
}
