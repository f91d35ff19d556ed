//! The poem client (Parts 2 to 8): a poet process for each poem, and one process that sends them out and collects
//! their messages (S10–S15).

mod fetcher;
mod poet;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;

use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Limits, Observer, Options, Outcome,
    Reporter, Role,
};

use crate::NAME;
use crate::dial::Connect;
use crate::messages::{ToFetcher, ToPoet};
use crate::net::Socket;
use crate::port::NoPort;
use crate::process::{Arbiter, Name, Node, Pid};
use fetcher::Fetcher;
use poet::Poet;

/// What all poets of one fetch share.
pub struct Fetch {
    pub(crate) requests: Vec<FetchRequest>,
    pub(crate) limits: Limits,
    pub(crate) reporter: Reporter,
}

impl Fetch {
    /// A fetch of `requests` within the limits of `options`, whose events `observer` is told of. Its tasks are the
    /// places in `requests`.
    pub fn new(
        requests: Vec<FetchRequest>,
        options: &Options,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            requests,
            limits: options.limits.clone(),
            reporter: Reporter::new(NAME, Role::PoemClient, options.clock.clone(), observer),
        }
    }
}

// ANCHOR: get_poetry
/// Sends out a poet for the request at `task`. It tells `parent` once what came of it, and exits; asked to exit
/// before that, it says that it was cancelled. `S` is what it connects by: a [`Socket`], or a test's pipe.
///
/// If `fetch` has no request at `task` the poet crashes, and whoever monitors it hears why.
///
/// ```erlang
/// get_poetry(Fetch, Task) ->
///     Parent = self(),
///     spawn(fun() -> Parent ! {poem, Task, fetch(Fetch, Task)} end).
/// ```
pub fn get_poetry<S: Connect>(
    arbiter: &Arbiter,
    fetch: &Arc<Fetch>,
    task: usize,
    parent: Pid<ToFetcher>,
) -> Pid<ToPoet> {
    let fetch = Arc::clone(fetch);
    arbiter.spawn(Name::numbered("poet", task as u64), move || {
        Ok(Poet::<S>::new(fetch, task, parent))
    })
}
// ANCHOR_END: get_poetry

/// A node of arbiters in which poets live.
pub struct Poets {
    node: Node,
    options: Options,
}

impl Poets {
    /// Starts the node.
    ///
    /// # Errors
    /// The system had no thread or no descriptor to spare.
    pub fn start(options: &Options) -> io::Result<Self> {
        Ok(Self {
            node: Node::start(options.threads)?,
            options: options.clone(),
        })
    }
}

impl Client for Poets {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let fetch = Arc::new(Fetch::new(requests.to_vec(), &self.options, observer));
        let (sender, outcomes) = mpsc::channel();
        let asked = cancel.clone();
        let fetcher = self.node.arbiter(0).spawn("fetcher".into(), move || {
            Ok((Fetcher::<Socket>::new(fetch, asked, sender), NoPort))
        });
        let node = self.node.clone();
        let _subscription =
            cancel.subscribe(move |target| node.send(&fetcher, ToFetcher::Cancel(target)));
        outcomes.recv().unwrap_or_else(|_| {
            let lost = |request| crashed(request, "the fetching process is gone");
            requests.iter().map(lost).collect()
        })
    }
}

/// What is said of a poem whose process ended without a word.
fn crashed(request: &FetchRequest, cause: &str) -> Outcome {
    let cause = cause.to_owned();
    failed(request, FetchFailure::ConnectionLost { cause })
}

fn failed(request: &FetchRequest, failure: FetchFailure) -> Outcome {
    Outcome {
        poem: Err(FetchError::new(&request.peer, failure)),
        transform_failure: None,
        bytes: 0,
        elapsed: std::time::Duration::ZERO,
    }
}

impl Drop for Poets {
    fn drop(&mut self) {
        self.node.stop();
    }
}

impl fmt::Debug for Poets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Poets")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
