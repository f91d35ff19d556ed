//! The options of `quatrain measure`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use measure::exchange::POEM_BYTES;
use poetry::Model;
use poetry::limits::{self, FRAME_BYTES_MAX};

use super::load::{CONNECTIONS_MAX, DEPTH_MAX};
use super::values::{self, Seconds, at_least_one, count, some_time};

/// More rounds than a user waits for: hours of them.
const ROUNDS_MAX: usize = 1_000;

#[derive(Args)]
pub(crate) struct MeasureArgs {
    /// The models to measure, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    chosen: Vec<&'static dyn Model>,

    /// How often each model is measured; at least 3 show a spread
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(ROUNDS_MAX))]
    pub(crate) rounds: usize,

    /// Connections that are kept busy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(CONNECTIONS_MAX))]
    pub(crate) connections: usize,

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(DEPTH_MAX), conflicts_with = "one_shot")]
    pub(crate) depth: usize,

    /// One request per connection
    #[arg(long)]
    pub(crate) one_shot: bool,

    /// The poem's length in bytes
    #[arg(long, value_name = "N", default_value_t = POEM_BYTES, value_parser = count(FRAME_BYTES_MAX))]
    pub(crate) bytes: usize,

    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::from_secs(1)), value_parser = some_time)]
    pub(crate) duration: Seconds,

    /// Seconds of warm-up before each measurement
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::from_millis(250)))]
    pub(crate) warm_up: Seconds,

    /// Threads of the servers
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, value_parser = at_least_one(limits::THREADS_MAX))]
    pub(crate) threads: NonZeroUsize,

    /// Do not pin server and load generator to a core each
    #[arg(long)]
    pub(crate) unpinned: bool,

    /// Seed for the order of the rounds [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// The commit that was built, to note in the report
    #[arg(long, value_name = "ID")]
    pub(crate) commit: Option<String>,

    /// Write the raw rows to this new file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
}

impl MeasureArgs {
    /// Returns the chosen models, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.chosen)
    }
}
