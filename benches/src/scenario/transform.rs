//! Transform servers in a closed loop: keep-alive, one request per connection, pipelined.

use std::time::Duration;

use super::served;
use super::{About, Extent, Reading, Scenario, Setting, metrics, reasons};
use crate::load::{Extent as LoadExtent, Fairness, Plan};
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// A closed loop over a number of connections, or over a number of requests in flight on each.
pub(super) struct Loaded {
    keep_alive: bool,
    /// Whether the axis is the depth, instead of the connections.
    varies_depth: bool,
}

/// The connections, where they are not the axis: they keep one core busy, and no model is short of them.
const CONNECTIONS: usize = 64;

impl Loaded {
    pub(super) const KEEP_ALIVE: Self = Self {
        keep_alive: true,
        varies_depth: false,
    };
    pub(super) const ONE_SHOT: Self = Self {
        keep_alive: false,
        varies_depth: false,
    };
    pub(super) const PIPELINED: Self = Self {
        keep_alive: true,
        varies_depth: true,
    };
}

/// The warm-up and the timed window of a load. Five rounds tell more of a machine's noise than one long window.
pub(super) fn window(extent: Extent) -> (Duration, Duration) {
    match extent {
        Extent::Quick => (Duration::from_millis(100), Duration::from_millis(400)),
        Extent::Full => (Duration::from_millis(300), Duration::from_secs(1)),
    }
}

/// The timed window in a sentence.
pub(super) fn window_in_words(extent: Extent) -> String {
    let (warm_up, timed) = window(extent);
    let (warm_up, timed) = (warm_up.as_secs_f64(), timed.as_secs_f64());
    format!("in a window of {timed} s after {warm_up} s of warm-up, in a new process")
}

/// The seconds of one measurement with [`window`].
pub(super) fn window_seconds(extent: Extent) -> f64 {
    let (warm_up, timed) = window(extent);
    (warm_up + timed).as_secs_f64() + served::AROUND_SECONDS
}

/// The plan of a closed loop, with the windows of `extent` and the default request. The runner sets the address.
pub(super) fn plan(extent: Extent) -> Result<Plan, String> {
    let (warm_up, timed) = window(extent);
    let unset = ([127, 0, 0, 1], 0).into();
    Ok(Plan {
        extent: LoadExtent::For { warm_up, timed },
        ..Plan::new(unset).map_err(|error| error.to_string())?
    })
}

impl Scenario for Loaded {
    fn about(&self, extent: Extent) -> About {
        let window = window_in_words(extent);
        match (self.keep_alive, self.varies_depth) {
            (true, false) => About {
                name: "transform-keepalive",
                question: "What does a request cost on connections that stay open, and how does that grow with their number?",
                lesson: "This is the cost of waiting itself: the request is cheap and the connections are there, so models differ \
                         by what it takes to be told that one of many connections is ready, and to go on with its work.",
                method: format!(
                    "Closed loop: every connection has one request of a 600-byte poem in flight. CPU is the server's, user and \
                     system, per reply, {window}. Every byte of every reply is compared. The slowest connection's share is the \
                     replies to the connection with the fewest, relative to those to the median one: 100 % is even. Many \
                     connections tell it best."
                ),
                reason: Some(reasons::REQUESTS),
                axis: Some(connections()),
                quick: true,
            },
            (false, _) => About {
                name: "transform-oneshot",
                question: "What does a connection cost that makes one request and is closed?",
                lesson: "This is the cost of beginning and ending: accepting, a thread or task or actor or protocol for one \
                         request, and a close that loses no byte. The kernel's part is the same for all.",
                method: format!(
                    "Closed loop: every connection makes one request of a 600-byte poem; the server closes first, and a new \
                     connection replaces it. The models send the reply and FIN in one segment, the floor and the bare loops apart. \
                     CPU is the server's, user and system, per reply, {window}. Every byte of every reply is compared."
                ),
                reason: Some(reasons::CLOSING),
                axis: Some(connections()),
                quick: true,
            },
            (true, true) => About {
                name: "pipelined",
                question: "What does a request cost when more of them have arrived than one?",
                lesson: "Pipelining takes waiting out of the cost: with sixteen requests in one read what is left is decoding, \
                         answering and one write. Where a model gains little, it pays per request rather than per wake-up.",
                method: format!(
                    "Closed loop: 64 keep-alive connections, each with as many requests of a 600-byte poem in flight as the \
                     axis says. CPU is the server's, user and system, per reply, {window}. Every byte of every reply is compared."
                ),
                reason: Some(reasons::REQUESTS),
                axis: Some(Axis::logarithmic(
                    "requests in flight on each connection",
                    "",
                )),
                quick: false,
            },
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, extent: Extent) -> Vec<f64> {
        match (extent, self.varies_depth, self.keep_alive) {
            (Extent::Quick, true, _) => vec![16.0],
            (Extent::Full, true, _) => vec![1.0, 4.0, 16.0],
            (Extent::Quick, ..) => vec![64.0],
            (Extent::Full, _, true) => vec![1.0, 64.0, 1_000.0],
            (Extent::Full, _, false) => vec![1.0, 64.0, 512.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let first = vec![metrics::cpu(), metrics::rate()];
        let fairness = match (self.keep_alive, self.varies_depth) {
            (true, false) => vec![metrics::fairness()],
            _ => Vec::new(),
        };
        [first, metrics::latencies(), fairness, metrics::costs()].concat()
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = vec![Figure::lines("cpu_us")];
        if self.keep_alive && !self.varies_depth {
            figures.push(Figure::Percentiles {
                at: CONNECTIONS as u64,
            });
        }
        figures
    }

    fn seconds(&self, _: f64, extent: Extent) -> f64 {
        window_seconds(extent)
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let mode = Mode::transform(self.keep_alive);
        let (connections, depth) = match self.varies_depth {
            true => (CONNECTIONS, point as usize),
            false => (point as usize, 1),
        };
        let plan = Plan {
            connections,
            depth,
            keep_alive: self.keep_alive,
            ..plan(setting.extent)?
        };
        let served = served::load(subject, &mode, plan, setting)?;
        let fairness = served.report.fairness;
        let mut reading = served.reading();
        if self.keep_alive && !self.varies_depth {
            reading.add("fairness", fairness.map(Fairness::percent));
        }
        Ok(reading)
    }
}

fn connections() -> Axis {
    Axis::logarithmic("connections", "")
}
