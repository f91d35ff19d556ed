//! Part 17: code that reads from top to bottom.

use std::future;
use std::io;
use std::mem::{replace, size_of_val};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use callbacks::{Cancelled, Deferred, Failure, MemoryReactor, Peer, Poem, Reactor};
use callbacks::{coroutine, get_poetry};
use futures::FutureExt;
use futures::channel::oneshot::{self, Receiver};

fn nobody_asked() -> Failure {
    Failure::message("there is nobody to ask")
}

/// Asks each peer in turn. The block keeps the iterator and the last failure across its waits.
fn ask_in_turn(reactor: &Reactor, peers: Vec<Peer>) -> Deferred<Poem> {
    let reactor = reactor.clone();
    coroutine(async move {
        let mut failure = nobody_asked();
        for peer in peers {
            match get_poetry(&reactor, peer).await {
                Ok(poem) => return Ok(poem),
                Err(other) => failure = other,
            }
        }
        Err(failure)
    })
}

/// The same with callbacks: the loop variables are arguments, and the next round is a call.
fn ask_in_turn_with_callbacks(
    reactor: &Reactor,
    mut peers: std::vec::IntoIter<Peer>,
    failure: Failure,
) -> Deferred<Poem> {
    let Some(peer) = peers.next() else {
        return Deferred::fail(failure);
    };
    let context = reactor.clone();
    get_poetry(reactor, peer)
        .add_errback(move |failure| ask_in_turn_with_callbacks(&context, peers, failure))
}

type Ask = fn(&Reactor, Vec<Peer>) -> Deferred<Poem>;

#[test]
fn the_first_peer_that_answers() {
    let peers: Vec<Peer> = ["10001", "10002", "10003"]
        .map(|peer| peer.parse().unwrap())
        .into();
    let ways: [Ask; 2] = [ask_in_turn, |reactor, peers| {
        ask_in_turn_with_callbacks(reactor, peers.into_iter(), nobody_asked())
    }];
    for ask in ways {
        let reactor = MemoryReactor::new();
        let poem = ask(&reactor, peers.clone());
        let mut dialled = reactor.dialled();
        assert_eq!(dialled.len(), 1, "one at a time");
        let first = dialled.remove(0);
        first.fail(io::ErrorKind::ConnectionRefused);
        reactor.settle();
        let second = reactor.dialled().remove(0);
        second.accept();
        second.send(b"Ahoy");
        second.finish();
        reactor.settle();
        assert_eq!(poem.take_result().unwrap().unwrap().as_str(), "Ahoy");
        assert!(reactor.dialled().is_empty());
    }
}

#[test]
fn a_cancelled_coroutine_keeps_what_it_has() {
    let (mut triggers, lines): (Vec<_>, Vec<_>) = (0..3).map(|_| Deferred::<&str>::new()).unzip();
    let poem = coroutine(async move {
        let mut poem = Vec::new();
        for line in lines {
            match line.await {
                Ok(line) => poem.push(line),
                // It arrives at the line that was awaited, as its failure.
                Err(failure) if failure.is::<Cancelled>() => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(poem)
    });
    triggers.remove(0).callback("The lamp is out,");
    assert!(!poem.is_settled());
    poem.cancel();
    assert!(triggers[0].is_cancelled());
    assert_eq!(poem.take_result().unwrap().unwrap(), ["The lamp is out,"]);
}

/// What `async { one.await? + other.await? }` is, in which each variant is a wait.
enum Sum {
    First(Receiver<u32>, Receiver<u32>),
    Second(u32, Receiver<u32>),
    Done,
}

impl Future for Sum {
    type Output = Result<u32, oneshot::Canceled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::First(one, _) => {
                    let one = ready!(one.poll_unpin(cx))?;
                    if let Self::First(_, other) = replace(&mut *self, Self::Done) {
                        *self = Self::Second(one, other);
                    }
                }
                Self::Second(one, other) => {
                    let sum = *one + ready!(other.poll_unpin(cx))?;
                    *self = Self::Done;
                    return Poll::Ready(Ok(sum));
                }
                Self::Done => panic!("polled after its end"),
            }
        }
    }
}

#[test]
fn a_state_machine_by_hand() {
    let mut cx = Context::from_waker(Waker::noop());
    for by_hand in [true, false] {
        let ((sends_one, one), (sends_other, other)) = (oneshot::channel(), oneshot::channel());
        let mut sum = match by_hand {
            true => Sum::First(one, other).boxed_local(),
            false => async { Ok::<_, oneshot::Canceled>(one.await? + other.await?) }.boxed_local(),
        };
        assert!(sum.poll_unpin(&mut cx).is_pending());
        sends_one.send(40).unwrap();
        assert!(sum.poll_unpin(&mut cx).is_pending());
        sends_other.send(2).unwrap();
        assert_eq!(sum.poll_unpin(&mut cx), Poll::Ready(Ok(42)));
    }
}

#[test]
fn only_what_lives_across_a_wait_is_kept() {
    let forgets = async {
        let sum = {
            let buffer = [1_u8; 1_000];
            buffer.iter().map(|&byte| u32::from(byte)).sum::<u32>()
        };
        future::ready(()).await;
        sum
    };
    let keeps = async {
        let buffer = [1_u8; 1_000];
        future::ready(()).await;
        buffer.iter().map(|&byte| u32::from(byte)).sum::<u32>()
    };
    assert!(size_of_val(&forgets) < 100);
    assert!(size_of_val(&keeps) >= 1_000);
    assert_eq!(forgets.now_or_never(), keeps.now_or_never());
}
