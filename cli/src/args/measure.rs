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

/// More rounds than anybody waits for.
const ROUNDS_MAX: usize = 1_000;

#[derive(Args)]
pub(crate) struct MeasureArgs {
    /// The models to measure, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    asked: Vec<&'static dyn Model>,

    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(ROUNDS_MAX))]
    pub(crate) rounds: usize,

    /// Connections kept busy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(CONNECTIONS_MAX))]
    pub(crate) connections: usize,

    /// Requests under way on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(DEPTH_MAX), conflicts_with = "one_shot")]
    pub(crate) depth: usize,

    /// One request a connection
    #[arg(long)]
    pub(crate) one_shot: bool,

    /// The poem's length in bytes
    #[arg(long, value_name = "N", default_value_t = POEM_BYTES, value_parser = count(FRAME_BYTES_MAX))]
    pub(crate) bytes: usize,

    /// How long each is measured in a round
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::from_secs(1)), value_parser = some_time)]
    pub(crate) duration: Seconds,

    /// How long each is warmed up before that
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::from_millis(250)))]
    pub(crate) warm_up: Seconds,

    /// Threads of the servers
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, value_parser = at_least_one(limits::THREADS_MAX))]
    pub(crate) threads: NonZeroUsize,

    /// Leave both sides wherever the system puts them, rather than on a core each
    #[arg(long)]
    pub(crate) unpinned: bool,

    /// What the order of the rounds is shuffled with [default: another each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// The commit that was built, for the record
    #[arg(long, value_name = "ID")]
    pub(crate) commit: Option<String>,

    /// Keep the raw rows in this file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
}

impl MeasureArgs {
    /// The models asked for, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.asked)
    }
}
