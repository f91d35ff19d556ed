//! A client of the subject, and a fetch in progress while the case plays the servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use poetry::event::Interest;
use poetry::model::Via;
use poetry::{Cancel, Client, Event, FetchFailure, FetchRequest, Kind, Observer, Outcome, Peer};

use crate::failure::{Check, Failure, ensure, equal, shown};
use crate::journal::Journal;

/// A client of the subject, which can be used any number of times.
#[derive(Clone)]
pub struct Fetcher {
    client: Arc<dyn Client>,
}

impl Fetcher {
    pub(crate) fn new(client: Box<dyn Client>) -> Self {
        Self {
            client: client.into(),
        }
    }

    /// Fetches and waits for all outcomes.
    ///
    /// # Errors
    /// The client panicked, or the number of outcomes is not the number of requests.
    pub fn fetch(&self, requests: Vec<FetchRequest>) -> Check<Vec<Outcome>> {
        self.start(requests).outcomes()
    }

    /// Fetches one poem.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`].
    pub fn fetch_one(&self, request: FetchRequest) -> Check<Outcome> {
        Ok(self.fetch(vec![request])?.remove(0))
    }

    /// Starts to fetch, in a new thread.
    pub fn start(&self, requests: Vec<FetchRequest>) -> Fetching {
        self.start_with(requests, Cancel::new())
    }

    /// Starts to fetch with `cancel`, which may already be cancelled.
    pub fn start_with(&self, requests: Vec<FetchRequest>, cancel: Cancel) -> Fetching {
        let journal = Arc::new(Journal::new(Interest::ALL));
        let observer = Arc::clone(&journal);
        self.start_observed(requests, cancel, observer, journal)
    }

    /// Starts to fetch while `hold` is called with each event, in the client's own thread.
    pub fn start_holding(
        &self,
        requests: Vec<FetchRequest>,
        hold: impl Fn(&Event) + Send + Sync + 'static,
    ) -> Fetching {
        let journal = Arc::new(Journal::new(Interest::ALL));
        let observer = Arc::new(Holding {
            journal: Arc::clone(&journal),
            hold,
        });
        self.start_observed(requests, Cancel::new(), observer, journal)
    }

    fn start_observed(
        &self,
        requests: Vec<FetchRequest>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
        journal: Arc<Journal>,
    ) -> Fetching {
        let (client, handle) = (Arc::clone(&self.client), cancel.clone());
        let count = requests.len();
        let thread = thread::spawn(move || client.fetch(&requests, observer, &handle));
        Fetching {
            count,
            cancel,
            journal,
            thread,
        }
    }
}

/// An observer that may keep the client's thread busy, and records every event.
struct Holding<H> {
    journal: Arc<Journal>,
    hold: H,
}

impl<H: Fn(&Event) + Send + Sync> Observer for Holding<H> {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        self.journal.observe(event);
        (self.hold)(event);
    }
}

/// A fetch in progress.
pub struct Fetching {
    count: usize,
    /// Cancels the fetch.
    pub cancel: Cancel,
    journal: Arc<Journal>,
    thread: JoinHandle<Vec<Outcome>>,
}

impl Fetching {
    /// Returns the journal of the fetch's events.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Waits until `task` has read `bytes` bytes.
    ///
    /// # Errors
    /// It has not within [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn wait_read(&self, task: u64, bytes: u64) -> Check {
        let enough = |events: &[Event]| read_of(events, task) >= bytes;
        self.journal
            .wait_for(&format!("{bytes} bytes read by task {task}"), enough)?;
        Ok(())
    }

    /// Waits until `task` is connected to its poem server.
    ///
    /// # Errors
    /// It is not within [`WAIT_MAX`](crate::WAIT_MAX).
    pub fn wait_connected(&self, task: u64) -> Check {
        let connected = |event: &Event| event.scene.task == task && event.kind == Kind::Connected;
        self.journal
            .wait_for(&format!("task {task} connected"), |events| {
                events.iter().any(connected)
            })?;
        Ok(())
    }

    /// Waits for the outcomes.
    ///
    /// # Errors
    /// The client panicked, or the number of outcomes is not the number of requests.
    pub fn outcomes(self) -> Check<Vec<Outcome>> {
        let joined = self.thread.join();
        let outcomes = joined.map_err(|panic| {
            Failure::Broken(format!(
                "the client panicked: {}",
                poetry::panics::message(&*panic)
            ))
        })?;
        equal("the number of outcomes", &outcomes.len(), &self.count)?;
        Ok(outcomes)
    }

    /// Waits for the only outcome.
    ///
    /// # Errors
    /// Those of [`Fetching::outcomes`].
    pub fn outcome(self) -> Check<Outcome> {
        Ok(self.outcomes()?.remove(0))
    }
}

fn read_of(events: &[Event], task: u64) -> u64 {
    let of_task = events.iter().filter(|event| event.scene.task == task);
    of_task.fold(0, |sum, event| match event.kind {
        Kind::Read { bytes } => sum + bytes,
        _ => sum,
    })
}

/// Returns a request for the poem at `address` without a transform.
pub fn plain(address: SocketAddr) -> FetchRequest {
    FetchRequest {
        peer: Peer::from(address),
        name: None,
        via: None,
    }
}

/// Returns a request for the poem called `name` of the library at `address`.
///
/// # Panics
/// If it is not a poem's name.
pub fn named(address: SocketAddr, name: &str) -> FetchRequest {
    FetchRequest::named(address, name.parse().expect("a poem's name"))
}

/// Returns a request for the poem at `address`, transformed by the server at `via`.
pub fn transformed(address: SocketAddr, transform: &str, via: SocketAddr) -> FetchRequest {
    FetchRequest {
        peer: Peer::from(address),
        name: None,
        via: Some(Via {
            transform: transform.to_owned(),
            peer: Peer::from(via),
        }),
    }
}

/// Expects `poem`, and no failed transform.
///
/// # Errors
/// The poem is another one, or failed.
pub fn expect_poem(outcome: &Outcome, poem: &str) -> Check {
    expect_text(outcome, poem)?;
    equal("the transform's failure", &outcome.transform_failure, &None)
}

/// Expects `poem`, whether or not its transform failed.
///
/// # Errors
/// The poem is another one, or failed.
pub fn expect_text(outcome: &Outcome, poem: &str) -> Check {
    match &outcome.poem {
        Ok(text) => crate::failure::same_bytes("the poem", text.as_bytes(), poem.as_bytes()),
        Err(error) => Err(Failure::Broken(format!(
            "expected a poem of {} bytes '{}', got the error '{error}'",
            poem.len(),
            shown(poem.as_bytes())
        ))),
    }
}

/// Expects that the poem failed at `peer` with a failure that `fits`; messages describe the expected failure as `what`.
///
/// # Errors
/// It failed differently, or not at all.
pub fn expect_failure(
    outcome: &Outcome,
    what: &str,
    peer: &str,
    fits: impl Fn(&FetchFailure) -> bool,
) -> Check {
    match &outcome.poem {
        Err(error) => {
            ensure(fits(&error.failure), || {
                format!("expected {what}, got '{error}'")
            })?;
            equal("the address in the error", &error.peer.as_str(), &peer)
        }
        Ok(poem) => Err(Failure::Broken(format!(
            "expected {what}, got a poem of {} bytes '{}'",
            poem.len(),
            shown(poem.as_bytes())
        ))),
    }
}

/// Expects the original `poem`, and that its transform failed at `peer` with a failure that `fits`.
///
/// # Errors
/// The transform failed differently, or not at all, or the poem is not the original.
pub fn expect_original(
    outcome: &Outcome,
    poem: &str,
    what: &str,
    peer: &str,
    fits: impl Fn(&FetchFailure) -> bool,
) -> Check {
    expect_text(outcome, poem)?;
    match &outcome.transform_failure {
        Some(error) => {
            ensure(fits(&error.failure), || {
                format!("expected {what}, got '{error}'")
            })?;
            equal("the address in the error", &error.peer.as_str(), &peer)
        }
        None => Err(Failure::Broken(format!("expected {what}, got no failure"))),
    }
}
