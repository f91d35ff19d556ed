//! A client without threads of its own, and a cancel of everything.

use super::*;
use poetry::Clock;
use poetry::event::Unobserved;
use std::io::Write;
use std::net::TcpListener;

/// A client that can spawn no thread, a listener, and the request for its poem.
fn without_threads() -> (PoemClient, TcpListener, FetchRequest) {
    static NONE: Permits = Permits::new(|| 0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let request = FetchRequest::new(listener.local_addr().unwrap());
    let client = PoemClient::within(&NONE, &Options::new(Clock::stopped()));
    (client, listener, request)
}

#[test]
fn t1_without_further_threads_the_calling_one_fetches_every_poem() {
    let (client, listener, request) = without_threads();
    let outcomes = thread::scope(|scope| {
        scope.spawn(|| {
            for poem in ["one", "two", "three"] {
                let (mut client, _) = listener.accept().unwrap();
                client.write_all(poem.as_bytes()).unwrap();
            }
        });
        let observer = Arc::new(Unobserved);
        client.fetch_all(&vec![request; 3], observer, &Cancel::new())
    });
    let poems = outcomes.iter().map(|outcome| outcome.poem.as_deref());
    assert_eq!(
        poems.collect::<Vec<_>>(),
        [Ok("one"), Ok("two"), Ok("three")]
    );
}

/// The only thread waits for a poem that never comes. Of the other poems, two have arrived whole, one has arrived in part, and
/// one is cancelled alone.
#[test]
fn s11_a_poem_that_arrived_whole_survives_a_cancel_of_everything() {
    let (client, listener, request) = without_threads();
    let cancel = Cancel::new();
    let outcomes = thread::scope(|scope| {
        let server = scope.spawn(|| {
            // In the order in which the client began them.
            let [never, mut whole, mut single, mut half, mut second] =
                [(); 5].map(|()| listener.accept().unwrap().0);
            whole.write_all(b"whole").unwrap();
            single.write_all(b"cancelled by its number").unwrap();
            half.write_all(b"half a").unwrap();
            second.write_all(b"second").unwrap();
            drop((whole, single, second));
            cancel.task(2);
            cancel.all();
            (never, half)
        });
        let observer = Arc::new(Unobserved);
        let outcomes = client.fetch_all(&vec![request; 5], observer, &cancel);
        drop(server.join());
        outcomes
    });
    let cancelled = Err(FetchFailure::Cancelled);
    let poems = outcomes
        .into_iter()
        .map(|outcome| outcome.poem.map_err(|it| it.failure));
    assert_eq!(
        poems.collect::<Vec<_>>(),
        [
            cancelled.clone(),
            Ok("whole".to_owned()),
            cancelled.clone(),
            cancelled,
            Ok("second".to_owned())
        ]
    );
}

#[test]
fn s14_a_cancel_ends_a_single_fetch() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let (options, cancel) = (Options::new(Clock::stopped()), Cancel::new());
    let fetched = thread::scope(|scope| {
        let observer = Arc::new(Unobserved);
        let fetch = scope.spawn(|| get_poetry_with(peer, &options, observer, &cancel));
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"half a po").unwrap();
        cancel.task(0);
        fetch.join().unwrap()
    });
    assert_eq!(fetched.unwrap_err().failure, FetchFailure::Cancelled);
}

/// The only thread waits for the first reply. The other connections were begun beforehand, but no name was sent on them.
#[test]
fn s14_a_cancel_of_everything_ends_fetches_by_name_that_no_thread_has_begun() {
    let (client, listener, request) = without_threads();
    let request = FetchRequest::named(request.peer, "star".parse().unwrap());
    let cancel = Cancel::new();
    let outcomes = thread::scope(|scope| {
        let server = scope.spawn(|| {
            let mut all = [(); 3].map(|()| listener.accept().unwrap().0);
            all[1].write_all(b"4:Ahoy,").unwrap();
            cancel.all();
            all
        });
        let observer = Arc::new(Unobserved);
        let outcomes = client.fetch_all(&vec![request; 3], observer, &cancel);
        drop(server.join());
        outcomes
    });
    for outcome in outcomes {
        assert_eq!(outcome.poem.unwrap_err().failure, FetchFailure::Cancelled);
    }
}
