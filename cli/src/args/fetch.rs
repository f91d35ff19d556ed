//! The options of `quatrain fetch`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use poetry::limits::{self, Limits};
use poetry::{Clock, Options, PoemName};

use super::ModelArg;
use super::values::{self, Address, POEM_BYTES_MAX_MAX, Seconds, at_least_one, count, some_time};

const EXAMPLES: &str = "\
Examples:
  quatrain fetch 10001 10002 localhost:10003              three poems at once
  quatrain fetch 10001 10002 --sequential                 one after another, as in Part 1
  quatrain fetch 10001 --transform cummingsify --via 10100
  quatrain fetch 10001 --model streams --json | jq .poem
  quatrain fetch 10200 --poem lantern --poem harbour      two poems of a library

Transforms: cummingsify (lower case), shout (upper case), reverse (lines in reverse order), \
gibberish (always fails).

Poems go to stdout in the order of the addresses, and of the names for each address; progress goes to stderr in the order of \
arrival. A poem that cannot be transformed is printed as it is. Ctrl-C cancels the poems that have not arrived and prints the \
others; a second one ends the command at once.
Exit status: 0 all arrived, 1 any failed, 2 wrong usage, 130 interrupted by Ctrl-C.";

/// Not a doc comment, where brackets would be links.
const PEERS: &str =
    "Where the poems are: [host:]port, such as 10001, localhost:10001 or [::1]:10001";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FetchArgs {
    /// Where the poems are.
    #[arg(value_name = "ADDR", required = true, help = PEERS)]
    pub(crate) addresses: Vec<Address>,

    /// Fetch the poem of this name from a library, from each ADDR; repeat it for more poems
    #[arg(long = "poem", value_name = "NAME", value_parser = values::poem_name)]
    pub(crate) poems: Vec<PoemName>,

    #[command(flatten)]
    pub(crate) model: ModelArg,

    /// Have each poem transformed as soon as it has arrived
    #[arg(long, value_name = "NAME", requires = "via", hide_possible_values = true, value_parser = values::transform())]
    pub(crate) transform: Option<String>,

    /// The transform server to ask.
    #[arg(
        help = "The transform server to ask, [host:]port",
        long,
        value_name = "ADDR",
        requires = "transform"
    )]
    pub(crate) via: Option<Address>,

    /// Count a poem whose transform failed as failed, instead of printing the original
    #[arg(long, requires = "transform")]
    pub(crate) strict_transform: bool,

    /// Fetch one poem after another, instead of all at once
    #[arg(long)]
    sequential: bool,

    /// Threads: reactors, arbiters or workers; blocking always uses one for each poem
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = NonZeroUsize::MIN, value_parser = at_least_one(limits::THREADS_MAX))]
    threads: NonZeroUsize,

    /// How long connecting to an address, or resolving names, may take
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::CONNECT_TIMEOUT), value_parser = some_time)]
    pub(crate) connect_timeout: Seconds,

    /// How long a server may send nothing
    #[arg(long, value_name = "S", allow_negative_numbers = true, default_value_t = Seconds(limits::IDLE_TIMEOUT), value_parser = some_time)]
    idle_timeout: Seconds,

    /// How long a poem may take in all, its transform included [default: no limit]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = some_time)]
    deadline: Option<Seconds>,

    /// Most bytes of a poem
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = limits::POEM_BYTES_MAX, value_parser = count(POEM_BYTES_MAX_MAX))]
    poem_bytes_max: usize,

    /// How stderr shows progress: auto (bars on a terminal, a few lines elsewhere, nothing with --json), lines (one for
    /// each read), bar, or none (failures only)
    #[arg(long, value_name = "HOW", value_enum, hide_possible_values = true, default_value_t = Progress::Auto)]
    pub(crate) progress: Progress,

    /// Record every event in this file, for `quatrain timeline`
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Print a JSON object for each poem: task, address, name, status, bytes, elapsed_ms, poem or error
    #[arg(long)]
    pub(crate) json: bool,
}

/// How progress is shown on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, a few lines elsewhere; nothing elsewhere with `--json`.
    Auto,
    /// A line for each read.
    Lines,
    /// A bar for each poem.
    Bar,
    /// Failures only.
    None,
}

impl FetchArgs {
    /// Returns the number of poems to fetch.
    pub(crate) fn num_poems(&self) -> usize {
        self.addresses.len().saturating_mul(self.poems.len().max(1))
    }

    /// Returns the options for the model.
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
