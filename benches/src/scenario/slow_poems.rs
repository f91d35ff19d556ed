//! Clients: many slow poems at once, beside the ideal (MEASURING 13).

use std::num::NonZeroUsize;
use std::time::Duration;

use poetry::{Pace, Poem};

use super::served::micros;
use super::{About, Extent, Reading, Scenario, Setting, metrics};
use crate::exchange::{POEM_BYTES, poem};
use crate::poems::{SlowServer, time};
use crate::results::{Axis, Figure, Kind, Metric};
use crate::subject::{Role, Subject};

/// Client commands that fetch many poems of one slow server.
pub(super) struct SlowPoems;

/// Bytes of the poem that are served at once; it has six chunks.
const CHUNK_BYTES: NonZeroUsize = NonZeroUsize::new(POEM_BYTES / 6).unwrap();

/// The pace of the slow poems, in which a poem has six chunks.
pub(super) fn pace(extent: Extent) -> Pace {
    let delay = match extent {
        Extent::Quick => Duration::from_millis(60),
        Extent::Full => Duration::from_millis(200),
    };
    Pace::Slow {
        num_bytes: CHUNK_BYTES,
        delay,
    }
}

/// The poem ends with a newline, so that a command prints nothing between two poems.
pub(super) fn lines() -> Poem {
    let mut text = poem(POEM_BYTES - 1);
    text.push('\n');
    Poem::from(text)
}

impl Scenario for SlowPoems {
    fn about(&self, extent: Extent) -> About {
        let ideal = pace(extent).duration(POEM_BYTES).as_secs_f64();
        About {
            name: "slow-poems",
            question: "How long do many slow poems take at once, compared with one of them alone?",
            lesson: "Waiting is free if nothing is done for it: then ten thousand poems take as long as one. What a client adds to \
                     the ideal is what it does to begin and end each wait.",
            method: format!(
                "The client's command gets the address of one server once for each poem. That server is a thread of the harness \
                 and sends 600 bytes in six pieces; one poem takes {ideal} s, the ideal. Timed from the first connection to the \
                 end of the command, its output included, every byte of which is compared."
            ),
            reason: None,
            axis: Some(Axis::logarithmic("poems at once", "")),
            quick: true,
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
            Extent::Full => vec![1.0, 100.0, 1_000.0, 10_000.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        measured()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![figure()]
    }

    fn seconds(&self, point: f64, extent: Extent) -> f64 {
        // Ten thousand poems take about half as long again.
        pace(extent).duration(POEM_BYTES).as_secs_f64() + point * 100e-6 + 0.05
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let poem = lines();
        fetch(
            subject,
            (&poem, point as usize),
            &[],
            poem.as_bytes(),
            setting,
        )
    }
}

/// What [`fetch`] measures.
pub(super) fn measured() -> Vec<Metric> {
    vec![
        metrics::lower("to_ideal", "elapsed over ideal", "×"),
        metrics::lower("command_to_ideal", "whole command over ideal", "×"),
        metrics::lower("cpu_us", "CPU per poem", "µs"),
        metrics::lower("accepted_ms", "until the last connection", "ms"),
        metrics::lower("elapsed_ms", "whole command", "ms"),
    ]
}

/// How it is drawn.
pub(super) fn figure() -> Figure {
    Figure::Lines {
        metric: "to_ideal".to_owned(),
        logarithmic: false,
        ideal: Some(1),
        slope: None,
    }
}

/// Lets the client of `subject` fetch `poem` from one slow server many `times` at once, with `options` before the addresses; it must
/// print `printed` as often.
pub(super) fn fetch(
    subject: &Subject,
    (poem, times): (&Poem, usize),
    options: &[String],
    printed: &[u8],
    setting: &Setting,
) -> Result<Reading, String> {
    let pace = pace(setting.extent);
    let server = SlowServer::start(poem.clone(), pace, setting.pinning.server)
        .map_err(|error| error.to_string())?;
    let addresses = vec![server.address().to_string(); times];
    let command = subject.fetch(&[options, &addresses].concat());
    let command = command.ok_or("it is no client")?;
    // Our own clients show their progress there.
    let stderr = (subject.kind == Kind::External).then(|| setting.file("stderr.txt"));
    let (client, stderr) = (setting.pinning.client, stderr.as_deref());
    let taken = time(&command, &server, (printed, times), client, stderr)?;
    let ideal = pace.duration(poem.as_bytes().len()).as_secs_f64();
    let mut reading = Reading::default();
    for (name, value) in [
        ("to_ideal", taken.fetching.as_secs_f64() / ideal),
        ("command_to_ideal", taken.elapsed.as_secs_f64() / ideal),
        ("cpu_us", micros(taken.cpu) / times as f64),
        ("accepted_ms", taken.accepted.as_secs_f64() * 1e3),
        ("elapsed_ms", taken.elapsed.as_secs_f64() * 1e3),
    ] {
        reading.add(name, Some(value));
    }
    Ok(reading)
}
