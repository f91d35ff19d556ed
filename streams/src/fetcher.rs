//! The client behind the contract: shares the fetches among its threads and waits for them.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, panic, thread};

use futures::StreamExt;
use futures::future::{AbortHandle, AbortRegistration};
use poetry::cancel::Target;
use poetry::{
    Cancel, FetchError, FetchFailure, FetchRequest, Observer, Options, Outcome, Reporter, Role,
};
use tokio::runtime::{Builder, Runtime};

use crate::fetch::{Fetch, fetch_all};

/// A reusable client. It keeps its runtimes between fetches (S14).
#[derive(Debug)]
pub(crate) struct Fetcher {
    options: Options,
    runtimes: Mutex<Vec<Runtime>>,
}

/// The fetches of one thread.
type Share<'f> = Vec<(Fetch<'f>, AbortRegistration)>;

impl poetry::Client for Fetcher {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let clock = self.options.clock.clone();
        let reporter = Reporter::new(crate::NAME, Role::PoemClient, clock, observer);
        let (handles, registrations): (Vec<_>, Vec<_>) =
            requests.iter().map(|_| AbortHandle::new_pair()).unzip();
        let _subscription = cancel.subscribe(move |target| match target {
            Target::All => handles.iter().for_each(AbortHandle::abort),
            Target::Task(task) => handles.get(task).into_iter().for_each(AbortHandle::abort),
        });
        let shares = self.share_out(requests, registrations, &reporter);
        let mut outcomes = self.fetch_shares(shares);
        outcomes.sort_unstable_by_key(|&(task, _)| task);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

impl Fetcher {
    /// Creates a client with one runtime.
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        Ok(Self {
            options: options.clone(),
            runtimes: Mutex::new(vec![runtime()?]),
        })
    }

    /// Deals the requests in turn to the threads that the options ask for.
    fn share_out<'f>(
        &'f self,
        requests: &'f [FetchRequest],
        registrations: Vec<AbortRegistration>,
        reporter: &'f Reporter,
    ) -> Vec<Share<'f>> {
        let threads = self.options.threads.get().min(self.at_once());
        let mut shares: Vec<Share<'f>> = (0..threads).map(|_| Vec::new()).collect();
        for (task, (request, registration)) in requests.iter().zip(registrations).enumerate() {
            let worker = task % threads;
            let fetch = Fetch {
                request,
                limits: &self.options.limits,
                reporter,
                task: task as u64,
                worker: worker as u32,
                received: Cell::new(0),
            };
            shares[worker].push((fetch, registration));
        }
        shares
    }

    fn at_once(&self) -> usize {
        self.options.limits.fetches_max.max(1)
    }

    /// Fetches the first share in this thread and each other one in a thread of its own. No thread outlives this call.
    fn fetch_shares(&self, shares: Vec<Share<'_>>) -> Vec<(u64, Outcome)> {
        let (threads, at_once) = (shares.len(), self.at_once());
        let fetch_share = |thread: usize, share: Share<'_>| {
            let at_once = at_once / threads + usize::from(thread < at_once % threads);
            self.fetch_share(share, at_once)
        };
        thread::scope(|scope| {
            let mut shares = shares.into_iter().enumerate();
            let first = shares.next();
            let others: Vec<_> = shares
                .filter(|(_, share)| !share.is_empty())
                .map(|(thread, share)| scope.spawn(move || fetch_share(thread, share)))
                .collect();
            let first = first.map(|(thread, share)| fetch_share(thread, share));
            let mut outcomes = first.unwrap_or_default();
            for other in others {
                outcomes.extend(
                    other
                        .join()
                        .unwrap_or_else(|cause| panic::resume_unwind(cause)),
                );
            }
            outcomes
        })
    }

    fn fetch_share(&self, share: Share<'_>, at_once: usize) -> Vec<(u64, Outcome)> {
        let kept = self.runtimes().pop();
        match kept.map_or_else(runtime, Ok) {
            Ok(runtime) => {
                let outcomes = fetch_all(share.into_iter(), at_once).collect();
                let outcomes = runtime.block_on(outcomes);
                self.runtimes().push(runtime);
                outcomes
            }
            Err(error) => {
                let failed = |(fetch, _): (Fetch<'_>, _)| (fetch.task, not_started(&fetch, &error));
                share.into_iter().map(failed).collect()
            }
        }
    }

    fn runtimes(&self) -> MutexGuard<'_, Vec<Runtime>> {
        self.runtimes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The outcome of a fetch whose thread got no runtime from the system.
fn not_started(fetch: &Fetch<'_>, error: &io::Error) -> Outcome {
    let failure = FetchFailure::connection_failed(error);
    Outcome {
        poem: Err(FetchError::new(&fetch.request.peer, failure)),
        transform_failure: None,
        bytes: 0,
        elapsed: Duration::ZERO,
    }
}
