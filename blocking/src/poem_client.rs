//! The poem client (S10–S15): a function that blocks until the poem has arrived, and a client that calls it in many threads.

use std::sync::Arc;
use std::thread;

use poetry::error::decode_poem;
use poetry::event::{Scene, Unobserved};
use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Observer, Options, Outcome, Peer, Poem,
    PoemName, Reporter, Role, netstring,
};

use crate::buffers::SMALL_BYTES;
use crate::context::{Context, Shared};
use crate::deadlines::{Timed, Wire};
use crate::exchange::{ReplyRules, exchange};
use crate::fetching::{Call, Fetches};
use crate::net;
use crate::pace::{self, SpawnPace};
use crate::permits::{PERMITS, Permits};
use crate::sockets::Sockets;
use crate::workers;
use crate::{NAME, default_options};

// ANCHOR: get_poetry
// ANCHOR: one_poem
/// Fetches one poem, within the default limits: connects, reads until FIN, and returns the text.
///
/// # Errors
/// Fails as [`FetchFailure`] lists (S11); the error names the peer.
pub fn get_poetry(peer: impl Into<Peer>) -> Result<Poem, FetchError> {
    let (options, cancel) = (default_options(), Cancel::new());
    get_poetry_with(peer, &options, Arc::new(Unobserved), &cancel)
}
// ANCHOR_END: one_poem

/// As [`get_poetry`], within the limits of `options`, with its events reported to `observer`. Cancelling `cancel`, or its
/// task 0, ends the fetch.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Duration;
/// use blocking::{Cancel, Peer, Unobserved};
///
/// let mut options = blocking::default_options();
/// options.limits.total_deadline = Some(Duration::from_secs(60));
/// let peer: Peer = "10001".parse()?;
/// let poem = blocking::get_poetry_with(peer, &options, Arc::new(Unobserved), &Cancel::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`get_poetry`].
pub fn get_poetry_with(
    peer: impl Into<Peer>,
    options: &Options,
    observer: Arc<dyn Observer>,
    cancel: &Cancel,
) -> Result<Poem, FetchError> {
    get(&FetchRequest::new(peer), options, observer, cancel)
}

/// Fetches the poem called `name` from a library (S8), within the default limits: connects, sends the name, and reads one
/// netstring.
///
/// ```
/// use std::net::TcpListener;
/// use blocking::{FramedPoem, Library, LibraryService, Poem};
///
/// let star = FramedPoem::from(&Poem::from("Stars fall."));
/// let library = Library::new([("star".parse()?, star)].into());
/// let service = LibraryService { library, keep_alive: false };
/// let server = blocking::serve_library(TcpListener::bind("127.0.0.1:0")?, service)?;
/// let poem = blocking::get_poetry_named(server.address(), &"star".parse()?)?;
/// assert_eq!(poem.as_str(), "Stars fall.");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`get_poetry`]; [`FetchFailure::Refused`] if the library has no such poem.
pub fn get_poetry_named(peer: impl Into<Peer>, name: &PoemName) -> Result<Poem, FetchError> {
    let (options, cancel) = (default_options(), Cancel::new());
    get_poetry_named_with(peer, name, &options, Arc::new(Unobserved), &cancel)
}

/// As [`get_poetry_named`], with limits, an observer and a cancel as in [`get_poetry_with`].
///
/// # Errors
/// As [`get_poetry_named`].
pub fn get_poetry_named_with(
    peer: impl Into<Peer>,
    name: &PoemName,
    options: &Options,
    observer: Arc<dyn Observer>,
    cancel: &Cancel,
) -> Result<Poem, FetchError> {
    let request = FetchRequest::named(peer, name.clone());
    get(&request, options, observer, cancel)
}

fn get(
    request: &FetchRequest,
    options: &Options,
    observer: Arc<dyn Observer>,
    cancel: &Cancel,
) -> Result<Poem, FetchError> {
    let reporter = Reporter::new(NAME, Role::PoemClient, options.clock.clone(), observer);
    with_context(options, reporter, 0, cancel, &Arc::default(), |context| {
        fetch_poem(request, context).map(Poem::from)
    })
    .map_err(|failure| FetchError::new(&request.peer, failure))
}

// ANCHOR: fetch_poem
/// Connects and reads until FIN; or, if the request has a name, sends it and reads one netstring.
pub(crate) fn fetch_poem(
    request: &FetchRequest,
    context: &mut Context<'_>,
) -> Result<String, FetchFailure> {
    match &request.name {
        None => {
            let mut connected = context.connect(&request.peer)?;
            read_poem(&mut connected.wire, context).and_then(decode_poem)
        }
        Some(name) => {
            let mut wire_name = Vec::new();
            netstring::encode(name.as_str().as_bytes(), &mut wire_name);
            let rules = ReplyRules {
                bytes_max: context.limits.poem_bytes_max,
                not_a_netstring: FetchFailure::bad_poem,
            };
            exchange(&request.peer, &wire_name, rules, context)
        }
    }
}
// ANCHOR_END: fetch_poem

// ANCHOR: read_poem
/// Reads until FIN, which is the end of a poem (S1), and appends each piece to those before it.
pub(crate) fn read_poem<W: Wire>(
    wire: &mut Timed<W>,
    context: &mut Context<'_>,
) -> Result<Vec<u8>, FetchFailure> {
    let limit = context.limits.poem_bytes_max;
    let (mut poem, mut length) = (vec![0; SMALL_BYTES], 0);
    loop {
        let read = context.read(wire, &mut poem[length..])?;
        length += read;
        if length > limit {
            let limit = limit as u64;
            return Err(FetchFailure::TooLong { limit });
        }
        if read == 0 {
            poem.truncate(length);
            return Ok(poem);
        }
        if length == poem.len() {
            // Doubling: all copies together move fewer bytes than were read.
            poem.resize(2 * length, 0);
        }
    }
}
// ANCHOR_END: read_poem
// ANCHOR_END: get_poetry

/// Runs one exchange with one server in the calling thread, and reports its result. The events' task is `task`; to `cancel`
/// the exchange is task 0.
pub(crate) fn with_context(
    options: &Options,
    reporter: Reporter,
    task: u64,
    cancel: &Cancel,
    shared: &Arc<Shared>,
    exchange: impl FnOnce(&mut Context<'_>) -> Result<Poem, FetchFailure>,
) -> Result<Poem, FetchFailure> {
    let sockets = Arc::new(Sockets::new(1));
    let to_cancel = (Arc::clone(&sockets), Arc::clone(shared));
    let _subscription = cancel.subscribe(move |target| {
        to_cancel.0.cancel(target);
        to_cancel.1.descriptors.wake_all();
    });
    let (now, limits) = (net::now(), &options.limits);
    let scene = Scene::default();
    let context = Context::new(scene, now, limits, shared, reporter, cancel, &sockets);
    let mut context = context.numbered(task).in_thread(scene.worker);
    let result = exchange(&mut context);
    context.report_result(result.as_ref().map(Poem::as_str));
    result
}

/// A client that fetches many poems at once, each in a thread.
///
/// ```
/// use std::net::TcpListener;
/// use std::sync::Arc;
/// use blocking::{Cancel, Event, FetchFailure, FetchRequest, Interest, Observer};
/// use blocking::{Pace, PoemClient, PoemService, TransformService, Via};
///
/// /// Prints a line for each poem that arrives.
/// struct Arrivals;
///
/// impl Observer for Arrivals {
///     fn interest(&self) -> Interest {
///         Interest::FINISHED
///     }
///
///     fn observe(&self, event: &Event) {
///         println!("poem {} has arrived", event.scene.task);
///     }
/// }
///
/// let listen = || TcpListener::bind("127.0.0.1:0");
/// let poems = blocking::serve_poem(listen()?, PoemService { poem: "Ahoy!".into(), pace: Pace::Fast })?;
/// let transforms = blocking::serve_transforms(listen()?, TransformService::default())?;
/// let via = Via { transform: "shout".into(), peer: transforms.address().into() };
/// let request = FetchRequest::new(poems.address()).via(via);
///
/// let mut options = blocking::default_options();
/// options.limits.fetches_max = 100;
/// let client = PoemClient::new(&options);
/// let cancel = Cancel::new(); // A clone of it can cancel from another thread, at any time.
/// cancel.task(1);
/// let outcomes = client.fetch_all(&[request.clone(), request], Arc::new(Arrivals), &cancel);
/// assert_eq!(outcomes[0].poem.as_deref(), Ok("AHOY!"));
/// assert_eq!(outcomes[1].poem.as_ref().unwrap_err().failure, FetchFailure::Cancelled);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PoemClient {
    options: Options,
    shared: Arc<Shared>,
    permits: &'static Permits,
}

impl PoemClient {
    /// The number of threads that one call spawns at once. Further ones follow at 1,500 a second, while poems still need
    /// a thread.
    pub const THREADS_AT_ONCE: u32 = pace::BURST;

    /// Creates a client within the limits of `options`.
    pub fn new(options: &Options) -> Self {
        Self::within(&PERMITS, options)
    }

    fn within(permits: &'static Permits, options: &Options) -> Self {
        Self {
            options: options.clone(),
            shared: Arc::default(),
            permits,
        }
    }

    // ANCHOR: fetch_all
    /// Fetches all poems at once, each in a thread, as far as the limits on fetches and threads allow (S10, S15). The
    /// calling thread is one of them. If no more can be spawned, those that run fetch the other poems too, one after
    /// another. Blocks until every request has its outcome, and returns them in the order of the requests.
    ///
    /// A request with a `via` is transformed in the same thread, as soon as its poem has arrived (S13). `cancel` cancels a
    /// request by its index, or all of them (S14).
    ///
    /// # Panics
    /// If `observer` panics, after all threads have ended.
    pub fn fetch_all(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let Options { limits, clock, .. } = &self.options;
        let sockets = Arc::new(Sockets::new(requests.len()));
        let (to_cancel, spawner) = (Arc::clone(&sockets), thread::current());
        let shared = Arc::clone(&self.shared);
        let _subscription = cancel.subscribe(move |target| {
            to_cancel.cancel(target);
            shared.descriptors.wake_all();
            spawner.unpark();
        });
        let fetches = Fetches::begin(Call {
            requests,
            limits,
            clock,
            shared: &self.shared,
            reporter: Reporter::new(NAME, Role::PoemClient, clock.clone(), observer),
            cancel,
            sockets: &sockets,
        });
        let fetches_ref = &fetches;
        thread::scope(|scope| {
            let pace = SpawnPace::start();
            for worker in 1..fetches.threads_max() {
                if !pace.wait_until_due(worker, || fetches.want_a_thread()) {
                    break;
                }
                // No handle is kept: an ended thread would keep its stack until it is joined.
                let work = move || fetches_ref.run(worker);
                if workers::spawn_scoped(self.permits, scope, work).is_err() {
                    break;
                }
            }
            fetches.run(0);
        });
        fetches.outcomes()
    }
    // ANCHOR_END: fetch_all
}

impl Default for PoemClient {
    /// Creates a client within the default limits.
    fn default() -> Self {
        Self::new(&default_options())
    }
}

impl Client for PoemClient {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        self.fetch_all(requests, observer, cancel)
    }
}

#[cfg(test)]
mod tests;
