//! The options of `quatrain load` and `quatrain floor`, which stay hidden until the laboratory exists.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use measure::exchange::POEM_BYTES;
use poetry::limits::FRAME_BYTES_MAX;

use super::values::{self, Address, Seconds, at_least_one, count, some_time};

/// The ports of one address.
pub(super) const CONNECTIONS_MAX: usize = 1 << 16;
/// Deeper than any read buffer of requests.
pub(super) const DEPTH_MAX: usize = 1 << 10;

#[derive(Args)]
pub(crate) struct LoadArgs {
    #[arg(value_name = "ADDR", help = "The transform server, [host:]port")]
    pub(crate) address: Address,

    /// Connections that are kept busy
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(CONNECTIONS_MAX))]
    pub(crate) connections: usize,

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(DEPTH_MAX), conflicts_with = "one_shot")]
    pub(crate) depth: usize,

    /// One request per connection; otherwise many, which needs a server started with --keep-alive
    #[arg(long)]
    pub(crate) one_shot: bool,

    /// The transform to request: cummingsify, shout or reverse
    #[arg(long, value_name = "NAME", default_value = "cummingsify", hide_possible_values = true, value_parser = values::transform())]
    pub(crate) transform: String,

    /// The poem's length in bytes
    #[arg(long, value_name = "N", default_value_t = POEM_BYTES, value_parser = count(FRAME_BYTES_MAX))]
    pub(crate) bytes: usize,

    /// Send the poem in this file
    #[arg(long, value_name = "FILE", conflicts_with = "bytes")]
    pub(crate) poem: Option<PathBuf>,

    /// Seconds of the measurement
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::from_secs(1)), value_parser = some_time)]
    pub(crate) duration: Seconds,

    /// Seconds of warm-up before it
    #[arg(long, value_name = "S", default_value_t = Seconds(Duration::from_millis(250)))]
    pub(crate) warm_up: Seconds,

    /// Send this many requests, instead of measuring for a time
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up"], value_parser = at_least_one(usize::MAX))]
    pub(crate) requests: Option<std::num::NonZeroUsize>,
}

#[derive(Args)]
pub(crate) struct FloorArgs {
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
