//! Part 14: one fetch for many clients.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::mem;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use callbacks::{Cancelled, Deferred, Failure, Trigger};
use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared, WeakShared};
use poetry::event::Unobserved;
use poetry::{Options, ProxyService, Service};
use solutions::{PlayedServer, runtime, wait_until};
use streams::{FetchError, Poem};

#[test]
fn ten_clients_share_one_fetch() {
    for model in models::ALL {
        let upstream = PlayedServer::open().unwrap();
        let service = ProxyService {
            upstream: upstream.address().unwrap().into(),
            ttl: None,
        };
        let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let options = Options::new(models::clock());
        let proxy = model
            .serve(
                listener,
                Service::Proxy(service),
                &options,
                Arc::new(Unobserved),
            )
            .unwrap();
        let clients: Vec<_> = (0..10)
            .map(|_| TcpStream::connect(proxy.address()).unwrap())
            .collect();
        // A client that waits is a request in flight.
        wait_until("all ten wait", || proxy.counters().in_flight == 10);
        upstream.accept().unwrap().write_all(b"Ahoy").unwrap();
        for mut client in clients {
            let mut poem = String::new();
            client.read_to_string(&mut poem).unwrap();
            assert_eq!(poem, "Ahoy", "{}", model.name());
        }
        assert!(!upstream.has_another().unwrap(), "{}", model.name());
        assert_eq!(proxy.counters().fetches.begun, 1, "{}", model.name());
    }
}

/// The result of one Deferred for any number of callers.
struct SharedResult<T> {
    waiting: RefCell<HashMap<usize, Trigger<T>>>,
    next: Cell<usize>,
}

impl<T: Clone + 'static> SharedResult<T> {
    fn of(one: Deferred<T>) -> Rc<Self> {
        let shared = Rc::new(Self {
            waiting: RefCell::default(),
            next: Cell::new(0),
        });
        let fires = Rc::clone(&shared);
        drop(one.add_both(move |result| {
            // Taken out first: a callback may ask again.
            let waiting = mem::take(&mut *fires.waiting.borrow_mut());
            for trigger in waiting.into_values() {
                let result = match &result {
                    Ok(value) => Ok(value.clone()),
                    Err(failure) => Err(Failure::message(failure.to_string())),
                };
                trigger.fire(result);
            }
            Ok(())
        }));
        shared
    }

    fn get(self: &Rc<Self>) -> Deferred<T> {
        let number = self.next.replace(self.next.get() + 1);
        let shared = Rc::clone(self);
        let (trigger, deferred) = Deferred::with_canceller(move || {
            if let Some(left) = shared.waiting.borrow_mut().remove(&number) {
                left.errback(Cancelled);
            }
            None
        });
        self.waiting.borrow_mut().insert(number, trigger);
        deferred
    }
}

#[test]
fn a_cancelled_caller_does_not_disturb_the_others() {
    let (trigger, one) = Deferred::new();
    let shared = SharedResult::of(one);
    let [first, second, third] = [(); 3].map(|()| shared.get());
    second.cancel();
    assert!(second.take_result().unwrap().unwrap_err().is::<Cancelled>());
    assert!(!first.has_fired());
    trigger.callback("Ahoy");
    assert_eq!(first.take_result().unwrap().unwrap(), "Ahoy");
    assert_eq!(third.take_result().unwrap().unwrap(), "Ahoy");
}

type Fetch = LocalBoxFuture<'static, Result<Poem, FetchError>>;

/// Poems by name. A fetch lives as long as a task waits for it; only a poem is kept.
struct Poems<F> {
    fetch: F,
    kept: RefCell<HashMap<String, Poem>>,
    under_way: RefCell<HashMap<String, WeakShared<Fetch>>>,
}

impl<F: Fn(&str) -> Fetch> Poems<F> {
    async fn get(&self, name: &str) -> Result<Poem, FetchError> {
        if let Some(poem) = self.kept.borrow().get(name) {
            return Ok(poem.clone());
        }
        let poem = self.join(name).await?;
        self.kept.borrow_mut().insert(name.into(), poem.clone());
        Ok(poem)
    }

    fn join(&self, name: &str) -> Shared<Fetch> {
        let mut under_way = self.under_way.borrow_mut();
        if let Some(fetch) = under_way.get(name).and_then(WeakShared::upgrade) {
            return fetch;
        }
        let fetch = (self.fetch)(name).shared();
        under_way.extend(fetch.downgrade().map(|weak| (name.into(), weak)));
        fetch
    }
}

#[test]
fn each_name_is_fetched_once() {
    let server = PlayedServer::open().unwrap();
    let peer = server.address().unwrap();
    let fetches = Rc::new(RefCell::new(Vec::new()));
    let counted = Rc::clone(&fetches);
    let poems = Poems {
        fetch: move |name: &str| {
            counted.borrow_mut().push(name.to_owned());
            let fails = name == "lost";
            async move {
                if fails {
                    return streams::get_poetry(peer).await;
                }
                Ok(Poem::from("Ahoy"))
            }
            .boxed_local()
        },
        kept: RefCell::default(),
        under_way: RefCell::default(),
    };
    drop(server); // What is fetched from it fails.
    runtime().unwrap().block_on(async {
        let (one, same, other) =
            futures::join!(poems.get("star"), poems.get("star"), poems.get("sea"));
        assert_eq!((&one, &one), (&same, &other));
        assert_eq!(poems.get("star").await, one);
        assert_eq!(*fetches.borrow(), ["star", "sea"]);
        for _ in 0..2 {
            assert!(poems.get("lost").await.is_err());
        }
        assert_eq!(fetches.borrow()[2..], ["lost", "lost"]);
    });
}
