//! The options of `quatrain fetch`.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use poetry::limits::{self, Limits};
use poetry::{Clock, Options};

use super::ModelArg;
use super::values::{self, Address, Seconds, at_least_one, count, some_time};

/// The longest poem that may be asked for: sixteen gibibytes.
const POEM_BYTES_MAX_MAX: usize = 16 << 30;

const EXAMPLES: &str = "\
Examples:
  quatrain fetch 10001 10002 localhost:10003              three poems at once
  quatrain fetch 10001 10002 --sequential                 one after another, as in Part 1
  quatrain fetch 10001 --transform cummingsify --via 10100
  quatrain fetch 10001 --model streams --json | jq .poem

Poems go to stdout in the order of the addresses, progress to stderr in the order of arrival. A \
poem that cannot be transformed is printed as it is. Ctrl-C gives up what has not arrived; a second one ends at once.
Exit status: 0 all arrived, 1 any failed, 2 bad usage.";

/// Not in a doc comment, where brackets are links.
const PEERS: &str =
    "Where the poems are: [host:]port, such as 10001, localhost:10001 or [::1]:10001";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FetchArgs {
    /// Where the poems are.
    #[arg(value_name = "ADDR", required = true, help = PEERS)]
    pub(crate) addresses: Vec<Address>,

    #[command(flatten)]
    pub(crate) model: ModelArg,

    /// Have each poem transformed as soon as it has arrived
    #[arg(long, value_name = "NAME", requires = "via", value_parser = values::transform())]
    pub(crate) transform: Option<String>,

    /// The transform server to ask.
    #[arg(
        help = "The transform server to ask, [host:]port",
        long,
        value_name = "ADDR",
        requires = "transform"
    )]
    pub(crate) via: Option<Address>,

    /// Count a poem that could not be transformed as failed, rather than printing the original
    #[arg(long, requires = "transform")]
    pub(crate) strict_transform: bool,

    /// One poem after another, rather than all at once
    #[arg(long)]
    sequential: bool,

    /// Reactors, arbiters or workers; blocking uses a thread for each poem whatever this says
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = NonZeroUsize::MIN, value_parser = at_least_one(limits::THREADS_MAX))]
    threads: NonZeroUsize,

    /// How long to wait for each address to answer, and for names to be resolved
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::CONNECT_TIMEOUT), value_parser = some_time)]
    pub(crate) connect_timeout: Seconds,

    /// How long a server may send nothing
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::IDLE_TIMEOUT), value_parser = some_time)]
    idle_timeout: Seconds,

    /// How long a poem may take from connecting to its last byte, its transform included [default: for ever]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = some_time)]
    deadline: Option<Seconds>,

    /// Bytes of the longest poem
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = limits::POEM_BYTES_MAX, value_parser = count(POEM_BYTES_MAX_MAX))]
    poem_bytes_max: usize,

    /// How to show what arrives
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,

    /// Print one JSON object a poem: task, address, status, bytes, elapsed_ms, poem or error
    #[arg(long)]
    pub(crate) json: bool,
}

/// How progress is shown on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// A line for whatever arrives
    Lines,
    /// A bar for each poem
    Bar,
    /// Only what failed
    None,
}

impl FetchArgs {
    /// What the model is given.
    pub(crate) fn options(&self, clock: Clock) -> Options {
        let fetches_max = match self.sequential {
            true => 1,
            false => limits::FETCHES_MAX,
        };
        Options {
            threads: self.threads,
            limits: Limits {
                connect_timeout: self.connect_timeout.0,
                idle_timeout: self.idle_timeout.0,
                total_deadline: self.deadline.map(|deadline| deadline.0),
                poem_bytes_max: self.poem_bytes_max,
                fetches_max,
                ..Limits::default()
            },
            clock,
        }
    }
}
