//! The client behind the contract: shares the fetches among its threads and waits for them.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, panic, thread};

use futures::StreamExt;
use futures::future::{AbortHandle, AbortRegistration};
use poetry::cancel::Target;
use poetry::limits::ACCEPT_RETRY;
use poetry::{
    Cancel, FetchError, FetchFailure, FetchRequest, Observer, Options, Outcome, Reporter, Role,
};
use tokio::runtime::{Builder, Runtime};

use crate::descriptors::Descriptors;
use crate::fetch::{Fetch, fetch_all};

/// A reusable client. It keeps its runtimes between fetches (S14), which share its descriptors (S15).
#[derive(Debug)]
pub(crate) struct Fetcher {
    options: Options,
    descriptors: Arc<Descriptors>,
    runtimes: Mutex<Vec<Runtime>>,
    /// Notified when a runtime is returned.
    returned: Condvar,
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
        // ANCHOR: abort_handles
        let (handles, registrations): (Vec<_>, Vec<_>) =
            requests.iter().map(|_| AbortHandle::new_pair()).unzip();
        let _subscription = cancel.subscribe(move |target| abort(&handles, target));
        // ANCHOR_END: abort_handles
        let threads = self.options.threads.get().min(self.at_once());
        let mut outcomes = match self.take_runtimes(threads.min(requests.len()).max(1)) {
            Ok(runtimes) => {
                let shares = self.share_out(requests, registrations, &reporter, runtimes.len());
                self.fetch_shares(shares, runtimes)
            }
            Err(error) => (0..)
                .zip(requests)
                .map(|(task, request)| (task, not_started(request, &error)))
                .collect(),
        };
        outcomes.sort_unstable_by_key(|&(task, _)| task);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

impl Fetcher {
    /// Creates a client with one runtime.
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        Ok(Self {
            options: options.clone(),
            descriptors: Arc::default(),
            runtimes: Mutex::new(vec![runtime()?]),
            returned: Condvar::new(),
        })
    }

    /// Deals the requests in turn to `threads`.
    fn share_out<'f>(
        &'f self,
        requests: &'f [FetchRequest],
        registrations: Vec<AbortRegistration>,
        reporter: &'f Reporter,
        threads: usize,
    ) -> Vec<Share<'f>> {
        let mut shares: Vec<Share<'f>> = (0..threads).map(|_| Vec::new()).collect();
        for (task, (request, registration)) in requests.iter().zip(registrations).enumerate() {
            let worker = task % threads;
            let fetch = Fetch {
                request,
                limits: &self.options.limits,
                reporter,
                descriptors: &self.descriptors,
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
    fn fetch_shares(&self, shares: Vec<Share<'_>>, runtimes: Vec<Runtime>) -> Vec<(u64, Outcome)> {
        let (threads, at_once) = (shares.len(), self.at_once());
        let fetch_share = |thread: usize, share: Share<'_>, runtime: Runtime| {
            let at_once = at_once / threads + usize::from(thread < at_once % threads);
            let outcomes = runtime.block_on(fetch_all(share.into_iter(), at_once).collect());
            self.runtimes().push(runtime);
            self.returned.notify_one();
            outcomes
        };
        thread::scope(|scope| {
            let mut shares = shares.into_iter().zip(runtimes).enumerate();
            let first = shares.next();
            let others: Vec<_> = shares
                .map(|(thread, (share, runtime))| {
                    scope.spawn(move || fetch_share(thread, share, runtime))
                })
                .collect();
            let first = first.map(|(thread, (share, runtime))| fetch_share(thread, share, runtime));
            let mut outcomes: Vec<_> = first.unwrap_or_default();
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

    /// Takes up to `wanted` runtimes: fewer, but at least one, if the system has no descriptors for more. While another
    /// fetch of this client has them all, this waits for one of them (S15).
    fn take_runtimes(&self, wanted: usize) -> io::Result<Vec<Runtime>> {
        let patience = self.options.limits.connect_timeout;
        let mut retries = patience.as_millis() / ACCEPT_RETRY.as_millis();
        let mut kept = self.runtimes();
        loop {
            let first = kept.len().saturating_sub(wanted);
            let mut runtimes = kept.split_off(first);
            let missing = wanted - runtimes.len();
            let made: io::Result<()> =
                (0..missing).try_for_each(|_| runtime().map(|made| runtimes.push(made)));
            match made {
                Err(error) if runtimes.is_empty() && retries == 0 => return Err(error),
                Err(_) if runtimes.is_empty() => retries -= 1,
                _ => return Ok(runtimes),
            }
            let waited = self.returned.wait_timeout(kept, ACCEPT_RETRY);
            kept = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn runtimes(&self) -> MutexGuard<'_, Vec<Runtime>> {
        self.runtimes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ANCHOR: abort
/// Aborts the fetches of `target`. The last one first: a fetch that ends makes room for a later one, which must not begin.
fn abort(handles: &[AbortHandle], target: Target) {
    match target {
        Target::All => handles.iter().rev().for_each(AbortHandle::abort),
        Target::Task(task) => handles.get(task).into_iter().for_each(AbortHandle::abort),
    }
}
// ANCHOR_END: abort

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The outcome of a request for which the system refused a runtime.
fn not_started(request: &FetchRequest, error: &io::Error) -> Outcome {
    let failure = FetchFailure::connection_failed(error);
    Outcome {
        poem: Err(FetchError::new(&request.peer, failure)),
        transform_failure: None,
        bytes: 0,
        elapsed: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use futures::future::Abortable;

    use super::*;

    /// Notes, when it is woken, whether a later fetch could still begin.
    struct Notes {
        later: AbortHandle,
        could_begin: AtomicBool,
    }

    impl Wake for Notes {
        fn wake(self: Arc<Self>) {
            let could_begin = !self.later.is_aborted();
            self.could_begin.store(could_begin, Ordering::Relaxed);
        }
    }

    #[test]
    fn s14_a_cancel_of_all_lets_no_later_fetch_begin() {
        let [(first, registration), (later, _)] = [(); 2].map(|()| AbortHandle::new_pair());
        let notes = Arc::new(Notes {
            later: later.clone(),
            could_begin: AtomicBool::new(true),
        });
        let mut fetch = pin!(Abortable::new(pending::<()>(), registration));
        let waker = Waker::from(Arc::clone(&notes));
        let mut turn = Context::from_waker(&waker);
        assert!(fetch.as_mut().poll(&mut turn).is_pending());
        abort(&[first, later], Target::All);
        assert!(fetch.poll(&mut turn).is_ready());
        assert!(!notes.could_begin.load(Ordering::Relaxed));
    }
}
