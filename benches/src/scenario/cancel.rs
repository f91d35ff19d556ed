//! Poem servers with clients that leave midway.

use poetry::Pace;

use super::served::Served;
use super::transform::{plan, window_in_words, window_seconds};
use super::{About, Extent, Reading, Scenario, Setting, metrics, served};
use crate::exchange::{Exchange, poem};
use crate::load::{Leave, Plan};
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// A share of the clients leaves.
pub(super) struct Cancel;

/// A poem that does not fit the kernel's buffers of a connection, so that a server notices who has left. On Linux they take about
/// 3.5 MiB of it beyond what was read.
const LONG_BYTES: usize = 4 << 20;
/// What those who leave have read by then.
const READ_BYTES: usize = 64 << 10;

impl Scenario for Cancel {
    fn about(&self, extent: Extent) -> About {
        let window = window_in_words(extent);
        About {
            name: "cancel",
            question: "What do clients cost that leave before they have what they asked for?",
            lesson: "Whatever was computed or sent for a client that has left is wasted. The bytes wasted are those that the kernel's \
                     buffers took before the client left and that it never read. They fill before a server can notice, so all \
                     servers waste about as much, and only smaller buffers would waste less.",
            method: format!(
                "Closed loop: 16 clients read a poem of 4 MiB, and the share of them that the axis says resets its connection after \
                 64 KiB. CPU is the server's, user and system, per whole poem, {window}. Bytes wasted are those that the server says it wrote, \
                 in all, less those that all clients read, by client that left; a server without counts has none. Every byte of \
                 every poem is compared."
            ),
            reason: None,
            axis: Some(Axis::linear("clients that leave", "%")),
            quick: false,
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Poem)
    }

    fn points(&self, extent: Extent) -> Vec<f64> {
        match extent {
            Extent::Quick => vec![0.0, 50.0],
            Extent::Full => vec![0.0, 25.0, 50.0, 75.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let first = vec![
            metrics::lower("cpu_us", "CPU per whole poem", "µs"),
            metrics::higher("rate", "throughput", "poems/s"),
            metrics::lower("wasted", "bytes wasted by client that left", "B"),
            metrics::describing("left", "clients that left", ""),
        ];
        [first, metrics::latencies(), metrics::costs()].concat()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::lines("cpu_us")]
    }

    fn seconds(&self, _: f64, extent: Extent) -> f64 {
        window_seconds(extent)
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let (text, file) = (poem(LONG_BYTES), setting.file("long.txt"));
        std::fs::write(&file, &text).map_err(|error| error.to_string())?;
        let mode = Mode::Poem {
            file,
            pace: Pace::Fast,
        };
        let plan = Plan {
            connections: 16,
            keep_alive: false,
            exchange: Exchange::poem(&text),
            leave: (point > 0.0).then_some(Leave {
                share: point / 100.0,
                after: READ_BYTES,
            }),
            seed: setting.seed,
            ..plan(setting.extent)?
        };
        let served = served::load(subject, &mode, plan, setting)?;
        let left = served.report.left as f64;
        let wasted = wasted(&served);
        let mut reading = served.reading();
        reading.add("left", Some(left));
        reading.add("wasted", wasted);
        Ok(reading)
    }
}

/// Returns the bytes that the server wrote and no client read, by client that left, warm-up included. `None` if it does not count or
/// no client left.
fn wasted(served: &Served) -> Option<f64> {
    let (ledger, counts) = (&served.report.ledger, served.counts.as_ref()?);
    let left = ledger.connections.checked_sub(ledger.answered)?;
    let wasted = counts.bytes_out.checked_sub(ledger.bytes_in)?;
    (left > 0).then(|| wasted as f64 / left as f64)
}
