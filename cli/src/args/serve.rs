//! The options of `quatrain serve`: those of every server, and those of each kind.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use poetry::limits::{self, Limits};
use poetry::poem::{DELAY, NUM_BYTES};
use poetry::{Clock, Options, Pace};

use super::ModelArg;
use super::values::{self, Address, Seconds, at_least_one, count, some_time};

/// Linux's default limit on descriptors of one process.
const CONNECTIONS_MAX_MAX: usize = 1 << 20;
/// The largest limit on frames: a gibibyte.
pub(crate) const FRAME_BYTES_MAX_MAX: usize = 1 << 30;

const POEM_EXAMPLES: &str = "\
Examples:
  quatrain serve poem poems/lantern.txt                      ten bytes every 0.7 s, on a free port
  quatrain serve poem poems/stairs.txt --port 10001 --fast   all at once, on port 10001
  quatrain serve poem poems/post.txt --num-bytes 30 --delay 100ms --model actors";

const TRANSFORM_EXAMPLES: &str = "\
Examples:
  quatrain serve transform --port 10100                      one request per connection
  quatrain serve transform --keep-alive --model streams      any number of requests
  quatrain serve transform --model blocking --pool 8         eight threads; the rest queue
  quatrain serve transform --keep-alive --lab --offload      a burn delays no other client
  printf '16:cummingsify.AHOY,' | nc 127.0.0.1 10100         a request by hand; the reply is 4:ahoy,

Transforms: cummingsify (lower case), shout (upper case), reverse (lines in reverse order), \
gibberish (always fails).";

const LIBRARY_EXAMPLES: &str = "\
Examples:
  quatrain serve library poems --port 10200   lantern.txt is called lantern
  quatrain fetch 10200 --poem lantern         fetches it by its name
  printf '7:lantern,' | nc 127.0.0.1 10200    a request by hand
  kill -HUP PID                               reads the directory again

Directories and hidden files are ignored. A file that cannot be served is reported and skipped; if it held a poem before, \
that one is still served.";

const PROXY_EXAMPLES: &str = "\
Examples:
  quatrain serve proxy 10001 --port 10300     fetches the poem of port 10001 once
  quatrain serve proxy 10001 --cache-ttl 1m   and again after a minute
  quatrain fetch 10300 10300 10300            three clients; they share one fetch

Clients wait until the whole poem has arrived. If the fetch fails, they are reset, and the next client starts another. The \
counts have the fetches of the proxy under \"fetches\".";

const SIGNALS: &str = "\
SIGTERM or Ctrl-C stops accepting and gives requests and poems in flight up to --grace to finish; a second one ends the \
server at once, with status 1 if a connection was open at the first. SIGUSR1 writes the counts to --stats, and to \
stderr what the model consists of: delayed calls and Deferreds, the supervision tree, tasks and permits, or threads.
Exit status: 0 all finished, 1 something was cut, 2 it could not start.";

/// The help of `--metrics`.
pub(crate) const METRICS: &str = "Serve the counts and the latencies of replies as OpenMetrics, for Prometheus: \
                                  http://HOST:PORT/metrics. Without a host on 127.0.0.1; port 0 takes a free one";

#[derive(Subcommand)]
pub(crate) enum ServeCommand {
    /// Serve one poem to every client, slowly
    #[command(after_help = format!("{POEM_EXAMPLES}\n\n{SIGNALS}"))]
    Poem(PoemArgs),
    /// Answer requests to transform poems
    #[command(after_help = format!("{TRANSFORM_EXAMPLES}\n\n{SIGNALS}"))]
    Transform(TransformArgs),
    /// Serve the poems of a directory by name
    #[command(after_help = format!("{LIBRARY_EXAMPLES}\n\n{SIGNALS}"))]
    Library(LibraryArgs),
    /// Serve the poem of another server, fetched once for all clients
    #[command(after_help = format!("{PROXY_EXAMPLES}\n\n{SIGNALS}"))]
    Proxy(ProxyArgs),
}

impl ServeCommand {
    /// Returns the options of every server.
    pub(crate) fn server(&self) -> &ServerArgs {
        match self {
            Self::Poem(args) => &args.server,
            Self::Transform(args) => &args.server,
            Self::Library(args) => &args.server,
            Self::Proxy(args) => &args.server,
        }
    }

    /// Returns the options for the model.
    pub(crate) fn options(&self, clock: Clock) -> Options {
        let server = self.server();
        let limits = Limits {
            connections_max: server.connections_max,
            write_timeout: server.write_timeout.0,
            ..Limits::default()
        };
        let limits = match self {
            Self::Poem(_) => limits,
            Self::Transform(args) => args.requests.bound(limits),
            Self::Library(args) => args.requests.bound(limits),
            Self::Proxy(args) => args.upstream_bounds.bound(limits),
        };
        Options {
            threads: server.threads,
            limits,
            clock,
        }
    }
}

#[derive(Args)]
pub(crate) struct PoemArgs {
    /// The poem: a text file in UTF-8
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Bytes sent at a time
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = NUM_BYTES, value_parser = at_least_one(usize::MAX))]
    num_bytes: NonZeroUsize,

    /// Time between sends: 0.7, 700ms, 2s
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(DELAY))]
    delay: Seconds,

    /// Send the whole poem at once
    #[arg(long, conflicts_with_all = ["num_bytes", "delay"])]
    fast: bool,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

impl PoemArgs {
    /// Returns the pace at which the poem is served.
    pub(crate) fn pace(&self) -> Pace {
        match self.fast {
            true => Pace::Fast,
            false => Pace::Slow {
                num_bytes: self.num_bytes,
                delay: self.delay.0,
            },
        }
    }
}

#[derive(Args)]
pub(crate) struct TransformArgs {
    /// Answer any number of requests on a connection, not only the first
    #[arg(long)]
    pub(crate) keep_alive: bool,

    /// Compute heavy transforms, such as `burn`, outside the event loop: in a pool of threads, in worker processes or with
    /// spawn_blocking. With `blocking` this changes nothing: its threads delay no other connection
    #[arg(long)]
    pub(crate) offload: bool,

    #[command(flatten)]
    pub(crate) requests: RequestBounds,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args)]
pub(crate) struct LibraryArgs {
    /// The poems: a directory of text files in UTF-8
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Answer any number of requests on a connection, not only the first
    #[arg(long)]
    pub(crate) keep_alive: bool,

    #[command(flatten)]
    pub(crate) requests: RequestBounds,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Args)]
pub(crate) struct ProxyArgs {
    #[arg(
        value_name = "UPSTREAM",
        help = "The poem server to fetch from: [host:]port, such as 10001, localhost:10001 or [::1]:10001. A name is resolved once, \
                when the proxy starts"
    )]
    pub(crate) upstream: Address,

    /// How long a poem is served after it has arrived [default: for ever]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) cache_ttl: Option<Seconds>,

    #[command(flatten)]
    pub(crate) upstream_bounds: UpstreamBounds,

    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// The options of servers that read requests.
#[derive(Args)]
#[command(next_help_heading = "Request options")]
pub(crate) struct RequestBounds {
    /// How long a connection may be idle between requests
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::IDLE_TIMEOUT), value_parser = some_time)]
    idle_timeout: Seconds,

    /// How long a request may take to arrive, from its first byte
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::REQUEST_DEADLINE), value_parser = some_time)]
    deadline: Seconds,

    /// Most bytes of a request or reply
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = limits::FRAME_BYTES_MAX, value_parser = count(FRAME_BYTES_MAX_MAX))]
    frame_bytes_max: usize,
}

impl RequestBounds {
    fn bound(&self, limits: Limits) -> Limits {
        Limits {
            idle_timeout: self.idle_timeout.0,
            request_deadline: self.deadline.0,
            frame_bytes_max: self.frame_bytes_max,
            ..limits
        }
    }
}

/// The options of a proxy's fetches, called as those of `quatrain fetch`.
#[derive(Args)]
#[command(next_help_heading = "Upstream options")]
pub(crate) struct UpstreamBounds {
    /// How long connecting to the upstream, or resolving its name, may take
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::CONNECT_TIMEOUT), value_parser = some_time)]
    pub(crate) connect_timeout: Seconds,

    /// How long the upstream may send nothing
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::IDLE_TIMEOUT), value_parser = some_time)]
    idle_timeout: Seconds,

    /// How long a fetch may take in all [default: no limit]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = some_time)]
    deadline: Option<Seconds>,

    /// Most bytes of the poem
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = limits::POEM_BYTES_MAX, value_parser = count(values::POEM_BYTES_MAX_MAX))]
    poem_bytes_max: usize,
}

impl UpstreamBounds {
    fn bound(&self, limits: Limits) -> Limits {
        Limits {
            connect_timeout: self.connect_timeout.0,
            idle_timeout: self.idle_timeout.0,
            total_deadline: self.deadline.map(|deadline| deadline.0),
            poem_bytes_max: self.poem_bytes_max,
            ..limits
        }
    }
}

/// The options of every server.
#[derive(Args)]
#[command(next_help_heading = "Server options")]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) model: ModelArg,

    /// The address or host name to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) iface: String,

    /// The port to listen on; 0 takes a free one
    #[arg(
        long,
        value_name = "PORT",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) port: u16,

    /// Serve on the socket of this name that systemd passes (FileDescriptorName=), instead of an interface and a port
    #[arg(long, value_name = "NAME", conflicts_with_all = ["iface", "port"])]
    pub(crate) socket: Option<String>,

    /// Threads: reactors, arbiters or workers; blocking uses one for each connection, or --pool
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = NonZeroUsize::MIN, value_parser = at_least_one(limits::THREADS_MAX))]
    threads: NonZeroUsize,

    /// Blocking only: N threads and a queue, instead of a thread for each connection; N slow clients then delay all others
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one(CONNECTIONS_MAX_MAX))]
    pub(crate) pool: Option<NonZeroUsize>,

    /// Most connections at once; further ones wait until one ends
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = limits::CONNECTIONS_MAX, value_parser = count(CONNECTIONS_MAX_MAX))]
    pub(crate) connections_max: usize,

    /// How long a client may accept no byte
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::WRITE_TIMEOUT), value_parser = some_time)]
    write_timeout: Seconds,

    /// How long requests and poems in flight may take to finish after a signal to stop
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::GRACE))]
    pub(crate) grace: Seconds,

    /// Append the counts to this file on SIGUSR1 and at exit, as a line of JSON [default: stderr]
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,

    #[arg(long, value_name = "[HOST:]PORT", value_parser = Address::to_listen, help = METRICS)]
    pub(crate) metrics: Option<Address>,

    /// Show on stderr, while it runs, what every connection waits for, and what the model consists of: delayed calls and Deferreds,
    /// the supervision tree, tasks and permits, or threads
    #[arg(long)]
    pub(crate) observe: bool,

    /// For teaching: `serve transform` also offers `crash`, which panics, `burn`, which computes for 10 ms, and `overheat`, which
    /// does both; with --observe, a line `crash NAME` on stdin crashes that part of the server, such as the acceptor of actors
    #[arg(long)]
    pub(crate) lab: bool,

    /// Record every event in this file, for `quatrain timeline`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// For `compare`: the parent process, to end with it
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) end_with_parent: Option<u32>,
}
