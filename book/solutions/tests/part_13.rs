//! Part 13: waiting inside a chain.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Cancelled, Clock, Deferred, Failure, FetchFailure, MemoryReactor, Peer, Reactor, Via,
    get_poetry, transform,
};

const SECOND: Duration = Duration::from_secs(1);

/// Fires after `time`.
fn sleep(clock: &Clock, time: Duration) -> Deferred<()> {
    let (trigger, slept) = Deferred::new();
    clock.call_later(time, move || trigger.callback(()));
    slept
}

/// Calls `work` until it succeeds, at most `tries` times, with a `pause` between two tries. A cancel ends it.
fn retry<T: 'static>(
    clock: &Clock,
    tries: usize,
    pause: Duration,
    work: Rc<dyn Fn() -> Deferred<T>>,
) -> Deferred<T> {
    let clock = clock.clone();
    work().add_errback(move |failure| {
        if tries <= 1 || failure.is::<Cancelled>() {
            return Deferred::fail(failure);
        }
        // The chain waits for the pause, and then for the next try: a Deferred from a callback of one from an errback.
        sleep(&clock, pause).add_callback(move |()| retry(&clock, tries - 1, pause, work))
    })
}

/// Fails twice, and counts how often it is called.
fn succeeds_at_the_third_try(calls: &Rc<Cell<usize>>) -> Rc<dyn Fn() -> Deferred<&'static str>> {
    let calls = Rc::clone(calls);
    Rc::new(move || {
        calls.set(calls.get() + 1);
        match calls.get() {
            3 => Deferred::succeed("Ahoy"),
            _ => Deferred::fail(Failure::message("refused")),
        }
    })
}

#[test]
fn a_chain_tries_again() {
    let (clock, calls) = (Clock::new(), Rc::new(Cell::new(0)));
    let poem = retry(&clock, 3, SECOND, succeeds_at_the_third_try(&calls));
    assert_eq!(calls.get(), 1);
    clock.advance(SECOND);
    assert_eq!((calls.get(), poem.is_settled()), (2, false));
    clock.advance(SECOND);
    assert_eq!(poem.take_result().unwrap().unwrap(), "Ahoy");

    // The last failure is that of the whole.
    calls.set(0);
    let poem = retry(&clock, 2, SECOND, succeeds_at_the_third_try(&calls));
    clock.advance(SECOND);
    let failure = poem.take_result().unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "refused");

    // A cancel reaches the pause, so there is no further try.
    calls.set(0);
    let poem = retry(&clock, 3, SECOND, succeeds_at_the_third_try(&calls));
    poem.cancel();
    assert!(poem.take_result().unwrap().unwrap_err().is::<Cancelled>());
    clock.advance(SECOND);
    assert_eq!(calls.get(), 1);
}

/// The same with `.await`: the chain is a loop, and its state the variables of the function.
async fn retry_in_a_loop<T, E, F: Future<Output = Result<T, E>>>(
    mut tries: usize,
    pause: Duration,
    work: impl Fn() -> F,
) -> Result<T, E> {
    loop {
        let result = work().await;
        if result.is_ok() || tries <= 1 {
            return result;
        }
        tries -= 1;
        tokio::time::sleep(pause).await;
    }
}

#[test]
fn a_loop_tries_again() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true) // Time jumps to the next timer whenever every task waits: Part 15.
        .build()
        .unwrap();
    runtime.block_on(async {
        let calls = Cell::new(0);
        let work = || {
            calls.set(calls.get() + 1);
            std::future::ready(match calls.get() {
                3 => Ok("Ahoy"),
                _ => Err("refused"),
            })
        };
        let began = tokio::time::Instant::now();
        assert_eq!(retry_in_a_loop(3, SECOND, work).await, Ok("Ahoy"));
        assert_eq!(began.elapsed().as_secs(), 2);
        calls.set(0);
        assert_eq!(retry_in_a_loop(2, SECOND, work).await, Err("refused"));
    });
}

#[test]
fn a_cancel_reaches_the_inner_wait() {
    let reactor = MemoryReactor::new();
    let via = Via {
        transform: "shout".into(),
        peer: "10002".parse().unwrap(),
    };
    let context = Reactor::clone(&reactor);
    let poem = get_poetry(&reactor, "10001".parse::<Peer>().unwrap());
    let shouted = poem.add_callback(move |poem| transform(&context, &via, &poem));

    let poems = reactor.dialled().remove(0);
    poems.accept();
    poems.send(b"Ahoy");
    poems.finish();
    reactor.settle();
    assert!(poems.is_closed());
    // The first Deferred has fired, and the chain waits for the second.
    let transforms = reactor.dialled().remove(0);
    transforms.accept();
    reactor.settle();
    assert_eq!(transforms.received(), b"10:shout.Ahoy,");
    assert!(shouted.has_fired() && !shouted.is_settled());

    shouted.cancel();
    reactor.settle();
    assert!(transforms.is_closed());
    let failure = shouted.take_result().unwrap().unwrap_err();
    let failure: FetchFailure = failure.trap().unwrap();
    assert_eq!(failure, FetchFailure::Cancelled);
}
