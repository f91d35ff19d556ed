//! Fetches each poem as soon as its names are resolved (S10): a slow name delays only its own fetches. Poems whose names are
//! known at the same time are one batch, which the client fetches at once.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};
use std::{io, thread};

use poetry::event::Interest;
use poetry::{
    Cancel, Client, Event, FetchError, FetchFailure, FetchRequest, Observer, Outcome, panics,
};

use super::schedule::{Batch, Message, Schedule};
use super::task::Task;
use crate::resolve::{self, Lookup};

/// How poems are fetched.
pub(super) struct Batches<'f> {
    /// Fetches [`Batches::fetches_max`] at once.
    pub(super) client: &'f dyn Client,
    /// Creates a client that fetches fewer at once.
    pub(super) limited: &'f (dyn Fn(usize) -> io::Result<Box<dyn Client>> + Sync),
    /// Fetches under way at once. With 1, poems are fetched one after another, in order.
    pub(super) fetches_max: usize,
    /// How names are resolved, and how long that may take.
    pub(super) lookup: Lookup,
    pub(super) wait: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) cancel: &'f Cancel,
}

impl Batches<'_> {
    /// Fetches all `tasks`, and returns the outcomes in their order.
    pub(super) fn fetch(&self, tasks: &[Task]) -> Vec<Outcome> {
        let (send, messages) = mpsc::channel();
        let (wake, answer) = (send.clone(), send.clone());
        let cancelled = self
            .cancel
            .subscribe(move |_| drop(wake.send(Message::NamesEnd)));
        let mut schedule = Schedule::new(tasks, self.fetches_max, self.wait);
        let answered =
            move |name, addresses| answer.send(Message::Resolved(name, addresses)).is_ok();
        resolve::start(schedule.names(), &self.lookup, answered);
        let deadline = Instant::now() + self.wait;
        thread::scope(|scope| {
            loop {
                messages
                    .try_iter()
                    .for_each(|message| schedule.note(message));
                let batch = match schedule.next_batch() {
                    Some(batch) => batch,
                    None if schedule.is_done() => break,
                    None => {
                        schedule.wait(&messages, deadline);
                        continue;
                    }
                };
                let (batch, sender) = (Arc::new(batch), send.clone());
                let work = move || self.fetch_batch(&batch, &sender);
                let here = work.clone();
                let thread = thread::Builder::new().name("batch".to_owned());
                // The last batch needs no thread, and without a thread the next one waits for this.
                if schedule.have_all_begun() || thread.spawn_scoped(scope, work).is_err() {
                    here();
                }
            }
        });
        drop(cancelled);
        schedule.outcomes()
    }

    fn fetch_batch(&self, batch: &Arc<Batch>, send: &Sender<Message>) {
        let requests = &batch.requests;
        let fetched = panics::contain(|| {
            let observer = Renumbered::for_batch(batch, &self.observer);
            match batch.share < requests.len().min(self.fetches_max) {
                true => (self.limited)(batch.share)
                    .map(|client| client.fetch(requests, observer, self.cancel)),
                false => Ok(self.client.fetch(requests, observer, self.cancel)),
            }
        });
        let fetched = fetched.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let outcomes = fetched.unwrap_or_else(|error| {
            let failed = |request: &FetchRequest| failed(request, &error);
            requests.iter().map(failed).collect()
        });
        // The receiver outlives every batch.
        let _ = send.send(Message::Ended(Arc::clone(batch), outcomes));
    }
}

/// The outcome of a request for which the system had no client.
fn failed(request: &FetchRequest, error: &io::Error) -> Outcome {
    Outcome {
        poem: Err(FetchError::new(
            &request.peer,
            FetchFailure::connection_failed(error),
        )),
        transform_failure: None,
        bytes: 0,
        elapsed: Duration::ZERO,
    }
}

/// Passes events on with the numbers that their tasks have among all, not those that they have in the batch.
struct Renumbered {
    batch: Arc<Batch>,
    observer: Arc<dyn Observer>,
}

impl Renumbered {
    fn for_batch(batch: &Arc<Batch>, observer: &Arc<dyn Observer>) -> Arc<dyn Observer> {
        let observer = Arc::clone(observer);
        let own = 0..batch.tasks.len();
        match batch.tasks.iter().copied().eq(own) {
            true => observer,
            false => Arc::new(Self {
                batch: Arc::clone(batch),
                observer,
            }),
        }
    }

    fn number(&self, index: u64) -> u64 {
        let task = usize::try_from(index)
            .ok()
            .and_then(|index| self.batch.tasks.get(index));
        task.map_or(index, |&task| task as u64)
    }
}

impl Observer for Renumbered {
    fn interest(&self) -> Interest {
        self.observer.interest()
    }

    fn observe(&self, event: &Event) {
        let mut event = event.clone();
        let scene = &mut event.scene;
        match &mut scene.parent {
            Some(fetch) => *fetch = self.number(*fetch),
            None => scene.task = self.number(scene.task),
        }
        self.observer.observe(&event);
    }
}

#[cfg(test)]
mod tests;
