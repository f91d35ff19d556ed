//! Part 19: changing one's mind.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use callbacks::{Cancelled, Clock, Deferred, DelayedCall, Trigger};
use poetry::event::Unobserved;
use poetry::{Cancel, FetchFailure, FetchRequest, Options};
use solutions::{PlayedServer, has_ended};

/// Fires `time` from now. The trigger is in a slot that the canceller shares: if only the timer's action had it, the trigger
/// would be dropped with the timer, and the Deferred would fail with `Abandoned`.
fn sleep(clock: &Clock, time: Duration) -> Deferred<()> {
    let timer: Rc<OnceCell<DelayedCall>> = Rc::default();
    let slot: Rc<Cell<Option<Trigger<()>>>> = Rc::default();
    let (stops, takes) = (Rc::clone(&timer), Rc::clone(&slot));
    let (trigger, slept) = Deferred::with_canceller(move || {
        // It fails if the timer has run, but then the Deferred has fired and there is no cancel.
        let _ = stops.get().map(DelayedCall::cancel);
        takes
            .take()
            .into_iter()
            .for_each(|trigger| trigger.errback(Cancelled));
        None
    });
    slot.set(Some(trigger));
    let call = clock.call_later(time, move || {
        slot.take()
            .into_iter()
            .for_each(|trigger| trigger.callback(()));
    });
    let _ = timer.set(call);
    slept
}

#[test]
fn a_cancelled_sleep_leaves_no_timer() {
    let clock = Clock::new();
    let second = Duration::from_secs(1);
    let (slept, cancelled) = (sleep(&clock, second), sleep(&clock, second));
    cancelled.cancel();
    assert_eq!(clock.pending(), 1);
    let failure = cancelled.take_result().unwrap().unwrap_err();
    assert!(failure.is::<Cancelled>(), "{failure}");
    clock.advance(second);
    assert!(slept.take_result().unwrap().is_ok());
}

#[test]
fn one_of_three_is_cancelled() {
    for model in models::ALL {
        let servers = [(); 3].map(|()| PlayedServer::open().unwrap());
        let requests = servers
            .each_ref()
            .map(|server| FetchRequest::new(server.address().unwrap()));
        let client = model.client(&Options::new(models::clock())).unwrap();
        let cancel = Cancel::new();
        let outcomes = thread::scope(|scope| {
            let fetching = scope.spawn(|| client.fetch(&requests, Arc::new(Unobserved), &cancel));
            let mut wires = servers.each_ref().map(|server| server.accept().unwrap());
            for wire in &mut wires {
                wire.write_all(b"Ahoy").unwrap();
            }
            cancel.task(1);
            assert!(has_ended(&mut wires[1]));
            drop(wires); // Ends the other two poems.
            fetching.join().unwrap()
        });
        let [one, cancelled, other] = &outcomes[..] else {
            panic!("an outcome for each request");
        };
        assert_eq!(one.poem.as_deref(), Ok("Ahoy"), "{}", model.name());
        assert_eq!(other.poem.as_deref(), Ok("Ahoy"), "{}", model.name());
        let error = cancelled.poem.as_ref().unwrap_err();
        assert_eq!(error.failure, FetchFailure::Cancelled, "{}", model.name());
    }
}

/// The result of `work`, which a cancel does not reach. After a cancel the result is dropped, and a failure too.
fn shield<T: 'static>(work: Deferred<T>) -> Deferred<T> {
    let (trigger, shielded) = Deferred::new();
    drop(work.add_both(move |result| {
        trigger.fire(result);
        Ok(())
    }));
    shielded
}

#[test]
fn a_shielded_fetch_goes_on() {
    let cache = Rc::new(RefCell::new(None));
    let keeps = Rc::clone(&cache);
    let (trigger, fetch) = Deferred::<&'static str>::new();
    let fetch = fetch.add_callback(move |poem| {
        *keeps.borrow_mut() = Some(poem);
        Ok(poem)
    });
    let shielded = shield(fetch);
    shielded.cancel();
    let failure = shielded.take_result().unwrap().unwrap_err();
    assert!(failure.is::<Cancelled>());
    assert!(!trigger.is_cancelled());
    trigger.callback("Ahoy");
    assert_eq!(*cache.borrow(), Some("Ahoy"));
}

/// Reads a poem to its end; `None` if the read was ended from this side. Both look the same to `read`.
fn read_poem(mut wire: &TcpStream, cancelled: &AtomicBool) -> io::Result<Option<String>> {
    let mut poem = String::new();
    wire.read_to_string(&mut poem)?;
    Ok((!cancelled.load(Ordering::Acquire)).then_some(poem))
}

#[test]
fn a_blocked_read_is_woken() {
    let server = PlayedServer::open().unwrap();
    let connect = || TcpStream::connect(server.address().unwrap()).unwrap();
    for cancels in [true, false] {
        let (wire, cancelled) = (connect(), AtomicBool::new(false));
        let mut peer = server.accept().unwrap();
        peer.write_all(b"Ahoy").unwrap();
        let poem = thread::scope(|scope| {
            let reading = scope.spawn(|| read_poem(&wire, &cancelled));
            if cancels {
                // The flag first: the reader looks at it as soon as it wakes.
                cancelled.store(true, Ordering::Release);
                wire.shutdown(Shutdown::Both).unwrap();
            } else {
                drop(peer);
            }
            reading.join().unwrap().unwrap()
        });
        assert_eq!(poem.as_deref(), (!cancels).then_some("Ahoy"));
    }
}
