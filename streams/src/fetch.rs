//! One fetch behind the contract, with its events; and many of them at once (S10, S14).

use std::cell::Cell;
use std::sync::Arc;

use futures::future::{AbortRegistration, Abortable};
use futures::{Stream, TryStreamExt, stream};
use poetry::error::decode_poem;
use poetry::event::{Interest, Scene};
use poetry::library::PoemName;
use poetry::{FetchError, FetchFailure, FetchRequest, Kind, Limits, Outcome, Peer, Reporter};

use crate::chunks;
use crate::deadlines::{deadline, until};
use crate::descriptors::Descriptors;
use crate::dialling;
use crate::exchange::unwrapped;
use crate::joins::as_they_end;
use crate::library_client::ask;
use crate::net::Dialled;
use crate::poem_client::chunks_of;
use crate::transform_client::fall_back;
use crate::watched::watched_fetch;

// ANCHOR: fetch_all
/// All fetches, `at_once` of them under way, as a stream of outcomes in the order in which they end.
pub(crate) fn fetch_all<'f>(
    fetches: impl Iterator<Item = (Fetch<'f>, AbortRegistration)> + 'f,
    at_once: usize,
) -> impl Stream<Item = (u64, Outcome)> + 'f {
    let outcomes = fetches.map(|(fetch, registration)| fetch.outcome(registration));
    as_they_end(outcomes, at_once)
}
// ANCHOR_END: fetch_all

/// One request of a client's `fetch`.
pub(crate) struct Fetch<'f> {
    pub(crate) request: &'f FetchRequest,
    pub(crate) limits: &'f Limits,
    pub(crate) reporter: &'f Reporter,
    /// The connections of the client.
    pub(crate) descriptors: &'f Arc<Descriptors>,
    /// The index of the request.
    pub(crate) task: u64,
    /// The thread that fetches, from 0.
    pub(crate) worker: u32,
    /// Bytes received from the poem server.
    pub(crate) received: Cell<u64>,
}

impl Fetch<'_> {
    // ANCHOR: abortable
    /// Connects, fetches and transforms until it ends, its total deadline passes or it is cancelled. Returns the task and
    /// its outcome.
    async fn outcome(self, registration: AbortRegistration) -> (u64, Outcome) {
        let began = self.reporter.clock().now();
        let call = Call::new(self.reporter, self.descriptors, self.scene(None));
        let fetching = watched_fetch(&call, self.fetch_and_transform(&call));
        let fetched = Abortable::new(fetching, registration).await;
        let (poem, transform_failure) = fetched.unwrap_or_else(|_| {
            call.report_end(Err(&FetchFailure::Cancelled));
            (Err(FetchFailure::Cancelled), None)
        });
        let outcome = Outcome {
            poem: poem.map_err(|failure| FetchError::new(&self.request.peer, failure)),
            transform_failure,
            bytes: self.received.get(),
            elapsed: self.reporter.clock().now() - began,
        };
        (self.task, outcome)
    }
    // ANCHOR_END: abortable

    // ANCHOR: fetch_and_transform
    async fn fetch_and_transform(
        &self,
        call: &Call<'_>,
    ) -> (Result<String, FetchFailure>, Option<FetchError>) {
        let deadline = deadline(self.limits.total_deadline);
        let poem = until(deadline, self.fetch(call)).await;
        call.report_end(poem.as_deref());
        match (poem, &self.request.via) {
            (Ok(poem), Some(via)) => {
                // Boxed, because few fetches transform and the others should not hold room for it.
                let (poem, failure) = Box::pin(fall_back(self, via, poem, deadline)).await;
                (Ok(poem), failure)
            }
            (poem, _) => (poem, None),
        }
    }
    // ANCHOR_END: fetch_and_transform

    /// The poem, within its total deadline. Does not report the end.
    pub(crate) fn poem(
        &self,
        call: &Call<'_>,
    ) -> impl Future<Output = Result<String, FetchFailure>> {
        until(deadline(self.limits.total_deadline), self.fetch(call))
    }

    async fn fetch(&self, call: &Call<'_>) -> Result<String, FetchFailure> {
        let poem = match &self.request.name {
            None => {
                stream::once(call.connect(&self.request.peer, self.limits))
                    .map_ok(|socket| chunks_of(socket, self.limits))
                    .try_flatten()
                    .inspect_ok(|chunk| self.count(call, chunk))
                    .try_concat()
                    .await?
            }
            // Boxed, because the others should not hold room for it.
            Some(name) => Box::pin(self.fetch_named(call, name)).await?,
        };
        decode_poem(poem)
    }

    async fn fetch_named(&self, call: &Call<'_>, name: &PoemName) -> Result<Vec<u8>, FetchFailure> {
        let mut socket = call.connect(&self.request.peer, self.limits).await?;
        ask(&mut socket, name, self.limits).await?;
        let wire = chunks::timely(socket, self.limits.idle_timeout)
            .inspect_ok(|chunk| self.count(call, chunk));
        unwrapped(wire, self.limits.poem_bytes_max, FetchFailure::bad_poem)
            .try_concat()
            .await
    }

    /// Counts and reports the bytes of one read.
    fn count(&self, call: &Call<'_>, chunk: &[u8]) {
        let bytes = chunk.len() as u64;
        self.received.set(self.received.get() + bytes);
        call.report(Kind::Read { bytes });
    }

    /// The place of this fetch's events, or of its transform's, whose parent it is.
    pub(crate) fn scene(&self, parent: Option<u64>) -> Scene {
        Scene {
            worker: self.worker,
            task: self.task,
            parent,
            ..Scene::default()
        }
    }
}

/// One connection of a client and the reporter of its events.
#[derive(Debug)]
pub(crate) struct Call<'f> {
    reporter: &'f Reporter,
    descriptors: &'f Arc<Descriptors>,
    scene: Cell<Scene>,
}

impl<'f> Call<'f> {
    /// A call that reports to `reporter`.
    pub(crate) fn new(
        reporter: &'f Reporter,
        descriptors: &'f Arc<Descriptors>,
        scene: Scene,
    ) -> Self {
        Self {
            reporter,
            descriptors,
            scene: Cell::new(scene),
        }
    }

    /// Connects to `peer` and reports each address that it tries and the one that accepts.
    pub(crate) async fn connect(
        &self,
        peer: &Peer,
        limits: &Limits,
    ) -> Result<Dialled, FetchFailure> {
        let trying = |address| {
            self.scene.set(Scene {
                peer: Some(address),
                ..self.scene.get()
            });
            self.report(Kind::Connecting);
        };
        let timeout = limits.connect_timeout;
        let socket =
            dialling::connect(peer.addresses()?, timeout, self.descriptors, trying).await?;
        // The addresses cost system calls, so they are looked up only for an observer.
        if self.reporter.wants(Interest::ALL) {
            let (local, peer) = socket.get_ref().ends();
            self.scene.set(Scene {
                local,
                peer,
                ..self.scene.get()
            });
            self.report(Kind::Connected);
        }
        Ok(socket)
    }

    /// Whether the observer wants turns.
    pub(crate) fn wants_turns(&self) -> bool {
        self.reporter.wants(Interest::TURNS)
    }

    /// Whether a connection is established, as far as an observer knows.
    pub(crate) fn is_connected(&self) -> bool {
        self.scene.get().local.is_some()
    }

    /// Reports an event.
    pub(crate) fn report(&self, kind: Kind) {
        self.reporter.report(self.scene.get(), kind);
    }

    /// Reports the end: the length of the poem, or the failure.
    pub(crate) fn report_end(&self, end: Result<&str, &FetchFailure>) {
        self.report(match end {
            Ok(poem) => Kind::Finished {
                bytes: poem.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        });
    }
}
