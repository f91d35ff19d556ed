//! A client of the subject, and a fetch of it that is under way while the case plays the servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use poetry::event::Interest;
use poetry::model::Via;
use poetry::{Cancel, Client, Event, FetchFailure, FetchRequest, Kind, Outcome, Peer};

use crate::failure::{Check, Failure, ensure, equal, shown};
use crate::journal::Journal;

/// A client of the subject, to be used again and again.
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

    /// Fetches, and waits for all outcomes.
    ///
    /// # Errors
    /// The client panicked, or gave another number of outcomes than it was given requests.
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

    /// Begins to fetch, in a thread of its own.
    pub fn start(&self, requests: Vec<FetchRequest>) -> Fetching {
        self.start_with(requests, Cancel::new())
    }

    /// Begins to fetch with a handle that may have been cancelled.
    pub fn start_with(&self, requests: Vec<FetchRequest>, cancel: Cancel) -> Fetching {
        let journal = Arc::new(Journal::of(Interest::ALL));
        let (client, told, handle) = (
            Arc::clone(&self.client),
            Arc::clone(&journal),
            cancel.clone(),
        );
        let count = requests.len();
        let thread = thread::spawn(move || client.fetch(&requests, told, &handle));
        Fetching {
            count,
            cancel,
            journal,
            thread,
        }
    }
}

/// A fetch under way.
pub struct Fetching {
    count: usize,
    /// Cancels it.
    pub cancel: Cancel,
    journal: Arc<Journal>,
    thread: JoinHandle<Vec<Outcome>>,
}

impl Fetching {
    /// The fetch's events so far, and those to come.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Waits until `bytes` bytes of `task` have been read.
    ///
    /// # Errors
    /// They are not within the suite's patience.
    pub fn wait_read(&self, task: u64, bytes: u64) -> Check {
        let enough = |events: &[Event]| read_of(events, task) >= bytes;
        self.journal
            .wait_for(&format!("{bytes} bytes read by task {task}"), enough)?;
        Ok(())
    }

    /// Waits until `task` is connected to its poem server.
    ///
    /// # Errors
    /// It is not within the suite's patience.
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
    /// The client panicked, or gave another number of them.
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

/// A request for the poem at `address`, left as it is.
pub fn plain(address: SocketAddr) -> FetchRequest {
    FetchRequest {
        peer: Peer::from(address),
        via: None,
    }
}

/// A request for the poem at `address`, to be transformed at `via`.
pub fn transformed(address: SocketAddr, transform: &str, via: SocketAddr) -> FetchRequest {
    FetchRequest {
        peer: Peer::from(address),
        via: Some(Via {
            transform: transform.to_owned(),
            peer: Peer::from(via),
        }),
    }
}

/// Expects `poem`, with nothing having gone wrong.
///
/// # Errors
/// Something else came.
pub fn expect_poem(outcome: &Outcome, poem: &str) -> Check {
    expect_text(outcome, poem)?;
    equal("the transform's failure", &outcome.transform_failure, &None)
}

/// Expects `poem`, whatever became of its transform.
///
/// # Errors
/// Something else came.
pub fn expect_text(outcome: &Outcome, poem: &str) -> Check {
    match &outcome.poem {
        Ok(came) => crate::failure::same_bytes("the poem", came.as_bytes(), poem.as_bytes()),
        Err(error) => Err(Failure::Broken(format!(
            "expected a poem of {} bytes '{}', came the error '{error}'",
            poem.len(),
            shown(poem.as_bytes())
        ))),
    }
}

/// Expects that the poem failed in the way that `fits`, described by `what`, with the name `peer`.
///
/// # Errors
/// It failed otherwise, or not at all.
pub fn expect_failure(
    outcome: &Outcome,
    what: &str,
    peer: &str,
    fits: impl Fn(&FetchFailure) -> bool,
) -> Check {
    match &outcome.poem {
        Err(error) => {
            ensure(fits(&error.failure), || {
                format!("expected {what}, came '{error}'")
            })?;
            equal(
                "the address that the error names",
                &error.peer.as_str(),
                &peer,
            )
        }
        Ok(poem) => Err(Failure::Broken(format!(
            "expected {what}, came a poem of {} bytes '{}'",
            poem.len(),
            shown(poem.as_bytes())
        ))),
    }
}

/// Expects the original `poem`, with a transform that failed in the way that `fits`, at `peer`.
///
/// # Errors
/// It failed otherwise, or not at all, or the poem is not the original.
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
                format!("expected {what}, came '{error}'")
            })?;
            equal(
                "the address that the error names",
                &error.peer.as_str(),
                &peer,
            )
        }
        None => Err(Failure::Broken(format!("expected {what}, came no failure"))),
    }
}
