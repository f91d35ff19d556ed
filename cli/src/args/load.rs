//! The options of `quatrain load`, for each role, and of `quatrain floor`.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand, ValueEnum};
use measure::Plan;
use measure::exchange::POEM_BYTES;
use poetry::PoemName;
use poetry::limits::FRAME_BYTES_MAX;

use super::share::{MixShare, Share};
use super::values::{self, Address, Seconds, at_least_one, count, some_time};

/// The ports of one address.
const CONNECTIONS_MAX: usize = 1 << 16;
/// Deeper than any read buffer of requests.
const DEPTH_MAX: usize = 1 << 10;
/// 127.0.0.1 to 127.0.0.254.
const SOURCES_MAX: u64 = 254;

const EXAMPLES: &str = "\
Examples:
  quatrain load transform 10100                          closed loop: how much can it do?
  quatrain load transform 10100 --rate 20000             open loop: their latency
  quatrain load transform 10100 --rate 2000 --mix burn=1%
  quatrain load library 10200 --poem lantern --connections 1000
  quatrain load poem 10001 --connections 10000           ten thousand slow poems at once
  quatrain load idle 10100 --connections 5000 --pid PID  what an idle connection costs

Every byte of every reply is verified; one wrong byte is an error, and there are no figures then. MEASURING.md says how \
latencies are counted.";

const MORE: &str = "\
Ctrl-C ends a load early and prints what it has; a second one ends the command at once.
--json prints one object. Times are in microseconds where their name ends in _us: \"latency_us\" has count, min, mean, p50, p90, \
p99, p99_9 and max. \"replies\" and \"replies_per_second\" are of the timed window, \"ledger\" is everything from the first \
connect to the last close. \"open_loop\", \"mix_latency_us\", \"fairness\" and \"server\" are null where they do not apply.
Exit status: 0 every reply was right, 1 one was not or the server failed, 2 it could not start, 130 interrupted by Ctrl-C.";

const TRANSFORM: &str = "\
Examples:
  quatrain serve transform --keep-alive --port 10100 &
  quatrain load transform 10100                             closed loop: how much can it do?
  quatrain load transform 10100 --rate 5000 --duration 10s  open loop: how long does a request take?
  quatrain load transform 10100 --rate 500 --mix burn=1%    1 % compute for 10 ms (serve with --lab)
  quatrain load transform 10100 --one-shot                  for a server without --keep-alive";

const LIBRARY: &str = "\
Examples:
  quatrain serve library poems --keep-alive --port 10200 &
  quatrain load library 10200 --poem lantern --rate 5000
  quatrain load library 10200 --poem lantern --file poems/lantern.txt";

const POEM: &str = "\
Examples:
  quatrain serve poem poems/lantern.txt --delay 0.1 --port 10001 &
  quatrain load poem 10001 --connections 1000          a thousand poems at once, one each
  quatrain load poem 10001 --duration 20s --leave 30%  three in ten leave after the first byte
  quatrain load poem 10001 --file poems/lantern.txt --rate 200 --duration 10s

A proxy is loaded in the same way. Without --file the poem is fetched once before, which also fills a proxy's cache.";

const IDLE: &str = "\
Examples:
  quatrain serve transform --keep-alive --port 10100 &
  quatrain load idle 10100 --connections 5000 --pid $!    what an idle connection costs the server
  quatrain load idle 10100 --hold 1m                      keeps them for a minute

Each connection makes one request and then stays idle. Memory is read at a quarter, a half and all of the connections; the cost of \
one is the difference between the first and the last reading.";

const MERGE: &str = "\
Examples:
  quatrain load transform server:10100 --rate 2000 --duration 1m --histogram a.hlog    on one host
  quatrain load transform server:10100 --rate 2000 --duration 1m --histogram b.hlog    on another
  quatrain load merge a.hlog b.hlog                      their latencies as those of one load

Histograms are added, so that percentiles are those of all requests; percentiles of hosts cannot be averaged. Rates are added, too: \
start the loads at the same time, and let them last as long.
--json prints one object: logs, and for each request its name, replies, replies_per_second (null if a log does not say how long it \
lasted) and latency_us as of a load.
Exit status: 0 success, 1 the output could not be written, 2 a file is no log of latencies.";

#[derive(Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    pub(crate) command: LoadCommand,
}

#[derive(Subcommand)]
pub(crate) enum LoadCommand {
    /// Request transforms
    #[command(after_help = format!("{TRANSFORM}\n\n{MORE}"))]
    Transform(LoadTransformArgs),
    /// Request a poem by its name
    #[command(after_help = format!("{LIBRARY}\n\n{MORE}"))]
    Library(LoadLibraryArgs),
    /// Read poems of a poem server or a proxy to their end
    #[command(after_help = format!("{POEM}\n\n{MORE}"))]
    Poem(LoadPoemArgs),
    /// Hold idle connections to a transform server
    #[command(after_help = IDLE)]
    Idle(LoadIdleArgs),
    /// Report the latencies of several loads, such as from several hosts, as those of one
    #[command(after_help = MERGE)]
    Merge(LoadMergeArgs),
}

impl LoadArgs {
    /// Returns how many connections the load has at once.
    pub(crate) fn connections(&self) -> usize {
        match &self.command {
            LoadCommand::Transform(args) => args.load.connections,
            LoadCommand::Library(args) => args.load.connections,
            LoadCommand::Poem(args) => args.load.connections,
            LoadCommand::Idle(args) => args.connections,
            LoadCommand::Merge(_) => 0,
        }
    }
}

/// The options of every load but an idle one.
#[derive(Args)]
pub(crate) struct LoadOptions {
    #[arg(value_name = "ADDR", help = "The server, [host:]port")]
    pub(crate) address: Address,

    /// Connections: busy all the time, or with --rate at most as many
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(CONNECTIONS_MAX))]
    pub(crate) connections: usize,

    /// Open loop: requests per second that come due whatever the server does, each timed from then
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) rate: Option<f64>,

    /// The gaps between requests that come due: equal, or exponential, as of many independent clients
    #[arg(long, value_name = "HOW", value_enum, requires = "rate", hide_possible_values = true, default_value_t = Spread::Equal)]
    pub(crate) gaps: Spread,

    /// How long to measure [default: 1s; of poems: until each connection has one]
    #[arg(long, value_name = "S", value_parser = some_time)]
    pub(crate) duration: Option<Seconds>,

    /// How long to load before that [default: 250ms]
    #[arg(long, value_name = "S")]
    pub(crate) warm_up: Option<Seconds>,

    /// Send this many requests, instead of measuring for a time
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up"], value_parser = at_least_one(usize::MAX))]
    pub(crate) requests: Option<NonZeroUsize>,

    /// Connect from this many addresses in turn, 127.0.0.1 and on, as if from as many hosts
    #[arg(long, value_name = "N", value_parser = sources())]
    pub(crate) sources: Option<NonZeroU8>,

    /// The seed of everything random: exponential gaps, --mix and --leave
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Give up when a server that owes a reply sends nothing for this long
    #[arg(long, value_name = "S", default_value_t = Seconds(Plan::STALL_TIMEOUT), value_parser = some_time)]
    pub(crate) stall_timeout: Seconds,

    /// The server's process: also report what the load costs it
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Pin the load generator to this core; pin the server to another
    #[arg(long, value_name = "N")]
    pub(crate) core: Option<usize>,

    /// Write the latencies to this new file, in HdrHistogram's log format
    #[arg(long, value_name = "FILE")]
    pub(crate) histogram: Option<PathBuf>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct LoadTransformArgs {
    #[command(flatten)]
    pub(crate) load: LoadOptions,

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(DEPTH_MAX), conflicts_with_all = ["one_shot", "rate", "mix"])]
    pub(crate) depth: usize,

    /// One request per connection; otherwise many, which needs a server started with --keep-alive
    #[arg(long)]
    pub(crate) one_shot: bool,

    /// The transform to request: cummingsify, shout or reverse
    #[arg(long, value_name = "NAME", default_value = "cummingsify", hide_possible_values = true, value_parser = values::transform())]
    pub(crate) transform: String,

    /// Another transform for a share of the requests, such as burn=1%; it is timed apart
    #[arg(long, value_name = "NAME=SHARE")]
    pub(crate) mix: Option<MixShare>,

    /// The poem's length in bytes
    #[arg(long, value_name = "N", default_value_t = POEM_BYTES, value_parser = count(FRAME_BYTES_MAX))]
    pub(crate) bytes: usize,

    /// Send the poem in this file
    #[arg(long, value_name = "FILE", conflicts_with = "bytes")]
    pub(crate) poem: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct LoadLibraryArgs {
    #[command(flatten)]
    pub(crate) load: LoadOptions,

    /// The poem to request
    #[arg(long = "poem", value_name = "NAME", value_parser = values::poem_name)]
    pub(crate) name: PoemName,

    /// The poem that must come [default: what the library sends first]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(DEPTH_MAX), conflicts_with_all = ["one_shot", "rate"])]
    pub(crate) depth: usize,

    /// One request per connection; otherwise many, which needs a server started with --keep-alive
    #[arg(long)]
    pub(crate) one_shot: bool,
}

#[derive(Args)]
pub(crate) struct LoadPoemArgs {
    #[command(flatten)]
    pub(crate) load: LoadOptions,

    /// The poem that must come [default: what the server sends first]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Let a share of the clients, such as 30%, reset their connection midway
    #[arg(long, value_name = "SHARE")]
    pub(crate) leave: Option<Share>,

    /// The bytes after which they do; 0 is as soon as they are connected
    #[arg(long, value_name = "N", requires = "leave", default_value_t = 1)]
    pub(crate) leave_after: usize,
}

#[derive(Args)]
pub(crate) struct LoadIdleArgs {
    #[arg(value_name = "ADDR", help = "The transform server, [host:]port")]
    pub(crate) address: Address,

    /// Connections to hold
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = count(CONNECTIONS_MAX))]
    pub(crate) connections: usize,

    /// How long to hold them; Ctrl-C ends it early
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::ZERO))]
    pub(crate) hold: Seconds,

    /// The server's process: also report its memory
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Print one JSON object: address, held, readings (connections, own_bytes, kernel_bytes, threads), own_bytes_each and
    /// kernel_bytes_each
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct LoadMergeArgs {
    /// What loads wrote by --histogram
    #[arg(value_name = "FILE", required = true)]
    pub(crate) logs: Vec<PathBuf>,

    /// Write the merged latencies to this new file, in the same format
    #[arg(long, value_name = "FILE")]
    pub(crate) histogram: Option<PathBuf>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// How requests are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// Equal gaps.
    Equal,
    /// Exponential gaps.
    Exponential,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= Plan::RATE_MAX => Ok(rate),
        _ => Err(format!(
            "write requests per second, above 0 and at most {:.0}",
            Plan::RATE_MAX
        )),
    }
}

fn sources() -> impl clap::builder::TypedValueParser<Value = NonZeroU8> {
    use clap::builder::TypedValueParser;
    RangedU64ValueParser::<u8>::new()
        .range(1..=SOURCES_MAX)
        .try_map(NonZeroU8::try_from)
}

#[derive(Args)]
pub(crate) struct FloorArgs {
    /// What it serves: transforms, and nothing else
    #[arg(value_name = "ROLE", default_value = "transform", value_parser = ["transform"])]
    pub(crate) role: String,

    /// Answer any number of requests on a connection, not only the first
    #[arg(long)]
    pub(crate) keep_alive: bool,

    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) iface: IpAddr,

    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) port: u16,

    /// For `measure`: the parent process, to end with it
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) end_with_parent: Option<u32>,
}
