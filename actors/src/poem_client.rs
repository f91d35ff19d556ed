//! The poem client (Parts 2 to 8): a poet process for each poem. Any process starts one with [`Me::fetch`] and receives
//! one message; `fetcher` does that for many poems at once (S10–S15).

mod fetcher;
mod poet;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;

use poetry::event::Unobserved;
use poetry::{
    Cancel, Client, FetchError, FetchFailure, FetchRequest, Limits, Observer, Options, Outcome,
    Peer, PoemName, Reporter, Role,
};

use crate::NAME;
use crate::descriptors::Descriptors;
use crate::dial::Connect;
use crate::messages::{Fetched, ToFetcher, ToPoet};
use crate::net::Socket;
use crate::port::NoPort;
use crate::process::{Arbiter, Me, Name, Node, Pid, Process, ProcessRef};
use fetcher::Fetcher;
use poet::Poet;

/// Fetching poems.
impl<P> Me<'_, P>
where
    P: Process,
    P::Message: From<Fetched>,
{
    /// Fetches a poem with the default limits. A poet, a process linked to this one, sends one [`Fetched`] and exits.
    ///
    /// ```
    /// use actors::{Fetched, Me, Next, NoPort, Process, Reason, Received};
    /// use std::net::SocketAddr;
    ///
    /// struct Reader(SocketAddr);
    ///
    /// impl Process for Reader {
    ///     type Message = Fetched;
    ///     type Port = NoPort;
    ///
    ///     fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
    ///         me.fetch(self.0);
    ///         Next::Receive
    ///     }
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
    ///         if let Received::Message(Fetched { outcome, .. }) = received {
    ///             println!("{:?}", outcome.poem);
    ///         }
    ///         Next::Exit(Reason::Normal)
    ///     }
    /// }
    /// ```
    pub fn fetch(&mut self, from: impl Into<Peer>) -> ProcessRef {
        self.fetch_one(FetchRequest::new(from))
    }

    /// Fetches the poem called `name` from a library server (S8), with the default limits. Everything else is as with
    /// [`Me::fetch`].
    ///
    /// ```
    /// use actors::{FramedPoem, Library, LibraryService, Poem, Server, serve_library};
    /// use actors::{Fetched, Me, Next, NoPort, Node, Process, Reason, Received};
    /// use std::net::{SocketAddr, TcpListener};
    ///
    /// struct Reader(SocketAddr);
    ///
    /// impl Process for Reader {
    ///     type Message = Fetched;
    ///     type Port = NoPort;
    ///
    ///     fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
    ///         if let Ok(name) = "star".parse() {
    ///             me.fetch_named(self.0, name);
    ///         }
    ///         Next::Receive
    ///     }
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
    ///         if let Received::Message(Fetched { outcome, .. }) = received {
    ///             assert_eq!(outcome.poem.as_deref(), Ok("Stars fall."));
    ///         }
    ///         Next::Exit(Reason::Normal)
    ///     }
    /// }
    ///
    /// let star = FramedPoem::from(&Poem::from("Stars fall."));
    /// let library = Library::new([("star".parse()?, star)].into());
    /// let service = LibraryService { library, keep_alive: false };
    /// let server = serve_library(TcpListener::bind("127.0.0.1:0")?, service)?;
    /// let node = Node::start_one()?;
    /// let reader = node.spawn("reader", Reader(server.address()));
    /// assert_eq!(node.join(&reader.process()), Reason::Normal);
    /// node.stop();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fetch_named(&mut self, from: impl Into<Peer>, name: PoemName) -> ProcessRef {
        self.fetch_one(FetchRequest::named(from, name))
    }

    fn fetch_one(&mut self, request: FetchRequest) -> ProcessRef {
        self.fetch_with(0, request, &Arc::new(FetchSettings::default()))
    }

    /// Fetches a poem, and has it transformed if `request` asks for it. [`Fetched`] and the observer's events carry the
    /// number `task`.
    ///
    /// To cancel the fetch, call [`ProcessRef::exit`] on the returned poet. It sends [`FetchFailure::Cancelled`] and exits
    /// with [`Reason::Shutdown`](crate::Reason::Shutdown), so a process that continues after a cancel must
    /// [trap exits](Me::trap_exits). If this process ends first, the poet closes its socket and exits (S14).
    ///
    /// ```
    /// use actors::{Event, FetchFailure, FetchRequest, FetchSettings, Fetched, Interest, Limits, Me};
    /// use actors::{Next, NoPort, Node, Observer, Options, Pace, Peer, PoemService, Process};
    /// use actors::{ProcessRef, Reason, Received, Server, TransformService, Via};
    /// use actors::{default_options, serve_poem, serve_transforms};
    /// use std::net::TcpListener;
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// struct Print;
    ///
    /// impl Observer for Print {
    ///     fn interest(&self) -> Interest {
    ///         Interest::CONNECTED | Interest::FINISHED | Interest::FAILED
    ///     }
    ///
    ///     fn observe(&self, event: &Event) {
    ///         println!("{:?} {:?}", event.at, event.kind);
    ///     }
    /// }
    ///
    /// /// Has a poem transformed, and cancels the fetch if that takes too long.
    /// struct Reader {
    ///     poem: Peer,
    ///     transforms: Peer,
    ///     poet: Option<ProcessRef>,
    /// }
    ///
    /// impl Process for Reader {
    ///     type Message = Fetched;
    ///     type Port = NoPort;
    ///
    ///     fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
    ///         let limits = Limits { poem_bytes_max: 4_096, ..Limits::default() };
    ///         let options = Options { limits, ..default_options() };
    ///         let settings = Arc::new(FetchSettings::new(&options, Arc::new(Print)));
    ///         let transform = "cummingsify".to_owned();
    ///         let via = Via { transform, peer: self.transforms.clone() };
    ///         let request = FetchRequest::new(self.poem.clone()).via(via);
    ///         me.trap_exits();
    ///         self.poet = Some(me.fetch_with(0, request, &settings));
    ///         me.after(Duration::from_millis(100));
    ///         Next::Receive
    ///     }
    ///
    ///     fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
    ///         match received {
    ///             Received::Timeout => {
    ///                 self.poet.iter().for_each(|poet| me.exit(poet, Reason::Shutdown));
    ///                 Next::Receive
    ///             }
    ///             Received::Message(fetched) => {
    ///                 let error = fetched.outcome.poem.unwrap_err();
    ///                 assert_eq!(error.failure, FetchFailure::Cancelled);
    ///                 Next::Exit(Reason::Normal)
    ///             }
    ///             _ => Next::Receive,
    ///         }
    ///     }
    /// }
    ///
    /// let listener = || TcpListener::bind("127.0.0.1:0");
    /// let poem = "The lamp is out, the harbour is not.".into();
    /// let slow = PoemService { poem, pace: Pace::SLOW };
    /// let slow = serve_poem(listener()?, slow)?;
    /// let transforms = serve_transforms(listener()?, TransformService::default())?;
    /// let node = Node::start_one()?;
    /// let reader = Reader {
    ///     poem: slow.address().into(),
    ///     transforms: transforms.address().into(),
    ///     poet: None,
    /// };
    /// let reader = node.spawn("reader", reader);
    /// assert_eq!(node.join(&reader.process()), Reason::Normal);
    /// node.stop();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fetch_with(
        &mut self,
        task: usize,
        request: FetchRequest,
        settings: &Arc<FetchSettings>,
    ) -> ProcessRef {
        let arbiter = self.arbiter();
        let poet = get_poetry::<Socket, _>(&arbiter, settings, (task, request), self.pid());
        let poet = poet.process();
        self.link(&poet);
        poet
    }
}

/// What the fetches of one client share: limits, clock, observer and descriptors. A fetch that finds no free descriptor waits
/// for another one with the same settings to end (S15).
pub struct FetchSettings {
    pub(crate) limits: Limits,
    pub(crate) reporter: Reporter,
    pub(crate) descriptors: Descriptors,
    /// Takes or rejects a poem that has arrived.
    pub(crate) accept: fn(String) -> Result<String, FetchFailure>,
}

impl FetchSettings {
    /// Takes the limits and the clock of `options` and reports events to `observer`.
    pub fn new(options: &Options, observer: Arc<dyn Observer>) -> Self {
        let clock = options.clock.clone();
        Self {
            limits: options.limits.clone(),
            reporter: Reporter::new(NAME, Role::PoemClient, clock, observer),
            descriptors: Descriptors::default(),
            accept: Ok,
        }
    }
}

/// The default limits, the real clock, and no observer.
impl Default for FetchSettings {
    fn default() -> Self {
        Self::new(&crate::default_options(), Arc::new(Unobserved))
    }
}

// ANCHOR: get_poetry
/// Starts a poet. It fetches one poem, sends `parent` one message, and exits. `S` is the stream it connects: a [`Socket`],
/// or a pipe in tests.
///
/// ```erlang
/// get_poetry(Task, Request) ->
///     Parent = self(),
///     spawn(fun() -> Parent ! {fetched, Task, fetch(Request)} end).
/// ```
pub(crate) fn get_poetry<S, M>(
    arbiter: &Arbiter,
    settings: &Arc<FetchSettings>,
    (task, request): (usize, FetchRequest),
    parent: Pid<M>,
) -> Pid<ToPoet>
where
    S: Connect,
    M: From<Fetched> + Send + 'static,
{
    let settings = Arc::clone(settings);
    arbiter.spawn(Name::numbered("poet", task as u64), move || {
        Ok(Poet::<S, M>::new(settings, task, request, parent))
    })
}
// ANCHOR_END: get_poetry

/// A client of the model: a node in which poets run.
pub(crate) struct Poets {
    node: Node,
    options: Options,
    descriptors: Descriptors,
}

impl Poets {
    /// Starts the node.
    ///
    /// # Errors
    /// The system is out of threads or descriptors.
    pub(crate) fn start(options: &Options) -> io::Result<Self> {
        Ok(Self {
            node: Node::start(options.threads)?,
            options: options.clone(),
            descriptors: Descriptors::default(),
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
        let settings = Arc::new(FetchSettings {
            descriptors: self.descriptors.clone(),
            ..FetchSettings::new(&self.options, observer)
        });
        let (sender, outcomes) = mpsc::channel();
        let fetcher = Fetcher::<Socket>::new(settings, requests.to_vec(), cancel.clone(), sender);
        let fetcher = self
            .node
            .arbiter(0)
            .spawn("fetcher", move || Ok((fetcher, NoPort)));
        let node = self.node.clone();
        let _subscription =
            cancel.subscribe(move |target| node.send(&fetcher, ToFetcher::Cancel(target)));
        outcomes.recv().unwrap_or_else(|_| {
            let lost = |request| crashed(request, "the fetching process has ended");
            requests.iter().map(lost).collect()
        })
    }
}

/// Returns the outcome for a poet that ended without a message.
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
mod simulation;
#[cfg(test)]
mod tests;
