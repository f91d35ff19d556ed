//! Clients: many slow poems at once, each of which one transform server then transforms.

use super::slow_poems::{fetch, figure, lines, measured, pace};
use super::{About, Extent, Reading, Scenario, Setting};
use crate::exchange::POEM_BYTES;
use crate::floor::FloorThread;
use crate::results::{Axis, Figure, Metric};
use crate::subject::{Role, Subject};

/// Client commands that fetch many poems of one slow server, and ask one other server for the transform of each.
pub(super) struct FanOut;

/// It changes no length, and every letter that is upper case.
const TRANSFORM: &str = "cummingsify";

impl Scenario for FanOut {
    fn about(&self, extent: Extent) -> About {
        let ideal = pace(extent).duration(POEM_BYTES).as_secs_f64();
        About {
            name: "fan-out",
            question: "How long do many slow poems take if each is transformed as soon as it has arrived?",
            lesson: "The second step of each poem depends on its first, and all of them begin at almost the same moment. A client \
                     that does not wait for the slowest poem before it asks for a transform adds only the burst of second \
                     connections to the ideal.",
            method: format!(
                "As slow-poems: 600-byte poems, the client's command gets the address of one server once for each, and one poem \
                 takes {ideal} s, the ideal. It also gets `--transform {TRANSFORM} --via ADDR --strict-transform`: the floor, in \
                 another thread of the harness on the poem server's core, transforms each poem on a connection of its own. Timed \
                 from the first connection to the end of the command, its output included, every byte of which is compared."
            ),
            reason: None,
            axis: Some(Axis::logarithmic("poems at once", "")),
            quick: false,
        }
    }

    fn applies(&self, subject: &Subject) -> bool {
        subject.client.is_some()
    }

    fn verified_as(&self) -> Option<Role> {
        None
    }

    fn points(&self, extent: Extent) -> Vec<f64> {
        match extent {
            Extent::Quick => vec![100.0],
            Extent::Full => vec![1.0, 100.0, 1_000.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        measured()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![figure()]
    }

    fn seconds(&self, point: f64, extent: Extent) -> f64 {
        pace(extent).duration(POEM_BYTES).as_secs_f64() + point * 200e-6 + 0.05
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let floor =
            FloorThread::start(false, setting.pinning.server).map_err(|error| error.to_string())?;
        let (poem, via) = (lines(), floor.address().to_string());
        let options = [
            "--transform",
            TRANSFORM,
            "--via",
            &via,
            "--strict-transform",
        ];
        let options = options.map(str::to_owned);
        let transformed = poem.as_str().to_lowercase();
        let poems = (&poem, point as usize);
        fetch(subject, poems, &options, transformed.as_bytes(), setting)
    }
}
