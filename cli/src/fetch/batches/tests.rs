//! Names that the test resolves when it wants: which fetches have begun by then, in what order, and how many at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex};

use poetry::event::{Scene, Unobserved};
use poetry::{Kind, Pace, PoemService, Role, Service};

use super::*;
use crate::fetch::task::ViaAddress;
use crate::resolve::Resolved;

const DEADLINE: Duration = Duration::from_secs(30);

fn task(address: &str) -> Task {
    Task {
        address: Arc::new(address.parse().unwrap()),
        name: None,
        via: None,
    }
}

/// A resolver whose answers the test gives.
#[derive(Clone, Default)]
struct Names(Arc<(Mutex<BTreeMap<String, Resolved>>, Condvar)>);

impl Names {
    /// Resolves `name`: to this machine, or to nothing.
    fn resolve(&self, name: &str, resolved: Result<(), &str>) {
        let local = resolved.map(|()| vec![IpAddr::from([127, 0, 0, 1])]);
        let (answers, changed) = &*self.0;
        let answer = local.map_err(str::to_owned);
        answers.lock().unwrap().insert(name.to_owned(), answer);
        changed.notify_all();
    }

    fn lookup(&self) -> Lookup {
        let names = self.clone();
        Arc::new(move |name| {
            let (answers, changed) = &*names.0;
            let answers = answers.lock().unwrap();
            let known = changed
                .wait_timeout_while(answers, DEADLINE, |answers| !answers.contains_key(name));
            known
                .unwrap()
                .0
                .get(name)
                .cloned()
                .unwrap_or(Err("the test gave no answer".to_owned()))
        })
    }
}

/// A client that tells the test what it is asked for, and returns when the test ends it.
struct Fake {
    fetches_max: usize,
    begun: Sender<Begun>,
}

/// A call of the fake client.
struct Begun {
    peers: Vec<String>,
    fetches_max: usize,
    end: Sender<()>,
}

impl Begun {
    fn end(self) {
        self.end.send(()).unwrap();
    }
}

impl Client for Fake {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let (end, ended) = channel();
        let wake = end.clone();
        let _subscription = cancel.subscribe(move |_| {
            let _ = wake.send(());
        });
        let peers = requests.iter().map(|request| request.peer.to_string());
        let begun = Begun {
            peers: peers.collect(),
            fetches_max: self.fetches_max,
            end,
        };
        self.begun.send(begun).unwrap();
        ended.recv_timeout(DEADLINE).unwrap();
        let outcome = |(index, request)| {
            report(index, &observer);
            outcome(request, cancel)
        };
        requests.iter().enumerate().map(outcome).collect()
    }
}

fn report(index: usize, observer: &Arc<dyn Observer>) {
    observer.observe(&Event {
        at: Duration::ZERO,
        model: "fake".into(),
        role: Role::PoemClient,
        scene: Scene {
            task: index as u64,
            ..Scene::default()
        },
        kind: Kind::Finished { bytes: 0 },
    });
}

fn outcome(request: &FetchRequest, cancel: &Cancel) -> Outcome {
    let poem = match request.peer.addresses() {
        _ if cancel.is_all() => Err(FetchFailure::Cancelled),
        Err(failure) => Err(failure),
        Ok(_) => Ok(request.peer.to_string()),
    };
    Outcome {
        poem: poem.map_err(|failure| FetchError::new(&request.peer, failure)),
        transform_failure: None,
        bytes: 0,
        elapsed: Duration::ZERO,
    }
}

/// Notes the tasks of the events.
#[derive(Default)]
struct Tasks(Mutex<Vec<u64>>);

impl Observer for Tasks {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.scene.task);
    }
}

/// A fetch by the fake client, under way in a thread.
struct Fetching {
    begun: Receiver<Begun>,
    names: Names,
    cancel: Cancel,
    observed: Arc<Tasks>,
    outcomes: thread::JoinHandle<Vec<Outcome>>,
}

impl Fetching {
    fn start(tasks: Vec<Task>, fetches_max: usize, wait: Duration) -> Self {
        let (send, begun) = channel();
        let (names, cancel) = (Names::default(), Cancel::new());
        let observed = Arc::new(Tasks::default());
        let (lookup, observer) = (names.lookup(), Arc::clone(&observed));
        let own = cancel.clone();
        let fetch = move || {
            let send = Mutex::new(send);
            let fake = |fetches_max| Fake {
                fetches_max,
                begun: send.lock().unwrap().clone(),
            };
            let batches = Batches {
                client: &fake(fetches_max),
                limited: &|limit| Ok(Box::new(fake(limit))),
                fetches_max,
                lookup,
                wait,
                observer,
                cancel: &own,
            };
            batches.fetch(&tasks)
        };
        Self {
            begun,
            names,
            cancel,
            observed,
            outcomes: thread::spawn(fetch),
        }
    }

    /// Waits until the client is asked for exactly `peers`.
    fn wait_for(&self, peers: &[&str]) -> Begun {
        let begun = self.begun.recv_timeout(DEADLINE).unwrap();
        assert_eq!(begun.peers, peers);
        begun
    }

    /// Waits for the end; returns the poems, or the causes of their failures.
    fn end(self) -> Vec<String> {
        let poem = |outcome: Outcome| match outcome.poem {
            Ok(poem) => poem,
            Err(error) => error.failure.to_string(),
        };
        self.outcomes
            .join()
            .unwrap()
            .into_iter()
            .map(poem)
            .collect()
    }
}

fn tasks(addresses: &[&str]) -> Vec<Task> {
    addresses.iter().map(|address| task(address)).collect()
}

#[test]
fn s10_a_slow_name_delays_only_its_own_fetch() {
    let addresses = ["slow:1", "127.0.0.1:2", "fast:3"];
    let fetching = Fetching::start(tasks(&addresses), 10, DEADLINE);
    fetching.wait_for(&["127.0.0.1:2"]).end();
    fetching.names.resolve("fast", Ok(()));
    fetching.wait_for(&["fast:3"]).end();
    fetching.names.resolve("slow", Ok(()));
    fetching.wait_for(&["slow:1"]).end();
    let observed = Arc::clone(&fetching.observed);
    assert_eq!(fetching.end(), addresses);
    let mut observed = observed.0.lock().unwrap().clone();
    observed.sort_unstable();
    assert_eq!(observed, [0, 1, 2]);
}

#[test]
fn s10_fetches_of_one_name_begin_together() {
    let fetching = Fetching::start(tasks(&["host:1", "host:2"]), 10, DEADLINE);
    fetching.names.resolve("host", Ok(()));
    fetching.wait_for(&["host:1", "host:2"]).end();
    assert_eq!(fetching.end(), ["host:1", "host:2"]);
}

#[test]
fn s10_a_name_that_does_not_resolve_fails_its_own_fetch() {
    let fetching = Fetching::start(tasks(&["nowhere:1", "127.0.0.1:2"]), 10, DEADLINE);
    let other = fetching.wait_for(&["127.0.0.1:2"]);
    fetching.names.resolve("nowhere", Err("no such name"));
    fetching.wait_for(&["nowhere:1"]).end();
    other.end();
    assert_eq!(
        fetching.end(),
        ["connection failed: no such name", "127.0.0.1:2"]
    );
}

#[test]
fn s10_a_name_that_takes_too_long_fails_its_own_fetch() {
    let wait = Duration::from_millis(1);
    let fetching = Fetching::start(tasks(&["never:1", "127.0.0.1:2"]), 10, wait);
    fetching.wait_for(&["127.0.0.1:2"]).end();
    fetching.wait_for(&["never:1"]).end();
    assert_eq!(
        fetching.end(),
        [
            "connection failed: the name was not resolved within 0.001 s",
            "127.0.0.1:2"
        ]
    );
}

#[test]
fn s13_a_fetch_waits_for_the_name_of_its_transform_server() {
    let mut poem = task("poems:1");
    poem.via = Some(Arc::new(ViaAddress {
        transform: "shout".to_owned(),
        address: "transforms:9".parse().unwrap(),
    }));
    let fetching = Fetching::start(vec![poem], 10, DEADLINE);
    fetching.names.resolve("poems", Ok(()));
    fetching.names.resolve("transforms", Ok(()));
    fetching.wait_for(&["poems:1"]).end();
    assert_eq!(fetching.end(), ["poems:1"]);
}

#[test]
fn s10_sequentially_poems_are_fetched_in_order_although_later_names_are_known() {
    let addresses = ["127.0.0.1:1", "slow:2", "127.0.0.1:3", "fast:4"];
    let fetching = Fetching::start(tasks(&addresses), 1, DEADLINE);
    let first = fetching.wait_for(&["127.0.0.1:1"]);
    fetching.names.resolve("fast", Ok(()));
    fetching.names.resolve("slow", Ok(()));
    first.end();
    let mut fetched = vec!["127.0.0.1:1".to_owned()];
    while fetched.len() < addresses.len() {
        let begun = fetching.begun.recv_timeout(DEADLINE).unwrap();
        assert_eq!(begun.fetches_max, 1);
        fetched.extend(begun.peers.clone());
        begun.end();
    }
    assert_eq!(fetched, addresses);
    assert_eq!(fetching.end(), addresses);
}

#[test]
fn s15_batches_share_the_limit_on_fetches_at_once() {
    let addresses: Vec<String> = (1..=6)
        .map(|port| format!("127.0.0.1:{port}"))
        .chain(["a:1", "a:2", "b:1"].map(str::to_owned))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let fetching = Fetching::start(tasks(&addresses), 3, DEADLINE);
    let known = fetching.wait_for(&addresses[..6]);
    fetching.names.resolve("a", Ok(()));
    let of_a = fetching.wait_for(&["a:1", "a:2"]);
    // Two of three for six of nine fetches, and the rest for the first that come.
    assert_eq!((known.fetches_max, of_a.fetches_max), (2, 1));
    fetching.names.resolve("b", Ok(()));
    of_a.end();
    let of_b = fetching.wait_for(&["b:1"]);
    of_b.end();
    known.end();
    assert_eq!(fetching.end(), addresses);
}

#[test]
fn s14_a_cancel_ends_the_wait_for_names_and_the_fetches_under_way() {
    let fetching = Fetching::start(tasks(&["never:1", "127.0.0.1:2"]), 10, DEADLINE);
    fetching.wait_for(&["127.0.0.1:2"]);
    fetching.cancel.all();
    fetching.wait_for(&["never:1"]);
    assert_eq!(fetching.end(), ["cancelled", "cancelled"]);
}

#[test]
fn s10_every_model_fetches_a_known_address_before_a_slow_name_is_resolved() {
    for &model in models::ALL {
        let options = poetry::Options::new(models::clock());
        let serve = |poem: &str| {
            let listener = models::listen(([127, 0, 0, 1], 0).into()).unwrap();
            let (poem, pace) = (poem.into(), Pace::Fast);
            let service = Service::Poem(PoemService { poem, pace });
            let server = model.serve(listener, service, &options, Arc::new(Unobserved));
            server.unwrap()
        };
        let (first, second) = (serve("first"), serve("second"));
        let names = Names::default();
        let addresses = [
            format!("slow:{}", first.address().port()),
            second.address().to_string(),
        ];
        let cancel = Cancel::new();
        let batches = Batches {
            client: &*model.client(&options).unwrap(),
            limited: &|_| Err(io::Error::other("not needed")),
            fetches_max: options.limits.fetches_max,
            lookup: names.lookup(),
            wait: DEADLINE,
            observer: Arc::new(ResolvesAfter { task: 1, names }),
            cancel: &cancel,
        };
        let outcomes = batches.fetch(&tasks(&[&addresses[0], &addresses[1]]));
        let poems: Vec<_> = outcomes.into_iter().map(|outcome| outcome.poem).collect();
        let expected = [Ok("first".to_owned()), Ok("second".to_owned())];
        assert_eq!(poems, expected, "{}", model.name());
    }
}

/// Resolves the slow name when a task has finished.
struct ResolvesAfter {
    task: u64,
    names: Names,
}

impl Observer for ResolvesAfter {
    fn interest(&self) -> Interest {
        Interest::FINISHED
    }

    fn observe(&self, event: &Event) {
        if event.scene.task == self.task {
            self.names.resolve("slow", Ok(()));
        }
    }
}
