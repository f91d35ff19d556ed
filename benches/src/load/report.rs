//! The result of a run: throughput, latency, fairness, and the ledger.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Gaps, Ledger};

/// Latencies in nanoseconds, with three significant digits, from 1 ns to [`LATENCY_MAX`].
pub type Latency = Histogram<u64>;

/// The longest latency that a histogram holds; a longer one counts as this. A slow poem takes minutes, and no test an hour.
pub const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// The result of a run, all of it verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Replies in the timed window. Unframed poems count as replies once FIN has come.
    pub answered: u64,
    /// Whether a [`Watch`](super::Watch) stopped the run before its end.
    pub stopped: bool,
    /// Bytes received in the window.
    pub received: u64,
    /// Clients that left midway in the window.
    pub left: u64,
    /// The actual length of the timed window.
    pub elapsed: Duration,
    /// The actual length of the warm-up, which was discarded.
    pub warm_up: Duration,
    /// From the first connect, or in an open loop the first due time, to the first whole reply: all that a cold server takes.
    pub first_reply: Duration,
    /// Latencies to the last byte of the reply, or to FIN of an unframed poem.
    ///
    /// In a closed loop: of requests sent and answered in the window, from their sending, or from the connect if one-shot. In an
    /// open loop: of all requests that came due in the window, from their due time. Those in flight at its end are awaited; those
    /// that still wait for a connection then are never sent, and count with the time they have waited, which is less than their
    /// latency would be.
    pub latency: Latency,
    /// The latencies of the mix's other exchange, which are not in [`Report::latency`].
    pub other_latency: Option<Latency>,
    /// What only an open loop has.
    pub open: Option<OpenLoop>,
    /// How evenly keep-alive connections were served.
    pub fairness: Option<Fairness>,
    /// Connections that could not be made. Each leaves one fewer busy connection, or in an open loop of one-shot connections one
    /// request without a reply.
    pub connect_errors: u64,
    /// Processor time of the generator itself in the window.
    pub client_cpu: Option<Duration>,
    /// Everything from the first connect to the last close.
    pub ledger: Ledger,
}

/// The requests of an open loop in the timed window.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenLoop {
    /// The offered rate, in requests per second.
    pub rate: f64,
    /// How the requests were spread over time.
    pub gaps: Gaps,
    /// Requests that came due.
    pub due: u64,
    /// Requests that were sent, including those that had waited since before the window.
    pub sent: u64,
    /// Requests that waited for a connection when the window closed.
    pub waiting: u64,
    /// How late the generator itself sent requests: from the due time, or from the moment when a connection became free if that
    /// was later. It is part of the latency, and should be small beside it.
    pub lateness: Latency,
}

/// Replies in the window, by connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fairness {
    /// Those of the connection with the fewest.
    pub fewest: u64,
    /// Those of the median connection.
    pub median: u64,
}

impl Fairness {
    /// Returns the replies to the connection with the fewest, relative to those to the median one, in percent. It is not a number
    /// if there were none.
    pub fn percent(self) -> f64 {
        self.fewest as f64 * 100.0 / self.median as f64
    }
}

impl Report {
    /// Replies per second in the window: the goodput.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// The share of one core that the generator took in the window. Near 1 the generator was the limit, not the server.
    pub fn client_share(&self) -> Option<f64> {
        let elapsed = self.elapsed.as_secs_f64();
        let cpu = self.client_cpu?.as_secs_f64();
        (elapsed > 0.0).then(|| cpu / elapsed)
    }
}
