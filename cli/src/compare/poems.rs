//! Three poems of different pace, fetched at once and transformed by one model, and verified to the last byte.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use measure::process::Process;
use poetry::{FetchRequest, Model, Options, Outcome, Pace, Peer, Via};

use super::seen::{self, Seen};
use super::{Stage, Wrong, stop};

/// What the poems are transformed by, and what must come of it.
const TRANSFORM: &str = "cummingsify";

/// A poem, and the pace it is served at.
pub(super) struct Slow {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    num_bytes: usize,
    delay: Duration,
}

/// The poems, the slowest first: were they fetched in this order one after another, all would wait for it. One is
/// far from ASCII, and one grows when it is transformed.
pub(super) const POEMS: [Slow; 3] = [
    Slow {
        name: "istanbul",
        text: include_str!("../../../poems/istanbul.txt"),
        num_bytes: 30,
        delay: Duration::from_millis(40),
    },
    Slow {
        name: "harbour",
        text: include_str!("../../../poems/harbour.txt"),
        num_bytes: 40,
        delay: Duration::from_millis(45),
    },
    Slow {
        name: "babel",
        text: include_str!("../../../poems/babel.txt"),
        num_bytes: 35,
        delay: Duration::from_millis(33),
    },
];

impl Slow {
    /// How long it takes to be served: nobody can fetch it faster.
    pub(super) fn duration(&self) -> Duration {
        let num_bytes = NonZeroUsize::new(self.num_bytes).unwrap_or(NonZeroUsize::MIN);
        let pace = Pace::Slow {
            num_bytes,
            delay: self.delay,
        };
        pace.duration(self.text.len())
    }

    fn transformed(&self) -> String {
        self.text.to_lowercase()
    }

    fn start(&self, stage: &Stage, model: &dyn Model, file: PathBuf) -> Result<Process, Wrong> {
        let pace = [
            format!("--num-bytes={}", self.num_bytes),
            format!("--delay={}ms", self.delay.as_millis()),
        ];
        let what = ["poem".into(), file.into_os_string()].into_iter();
        stage.serve(model, what.chain(pace.map(Into::into)), None)
    }
}

/// What fetching took.
pub(super) struct Fetched {
    /// From the first connect to the last transformed poem.
    pub(super) elapsed: Duration,
}

/// Has `model` fetch and transform the poems from servers of its own, and verifies all of it.
pub(super) fn fetch(stage: &Stage, model: &dyn Model) -> Result<Fetched, Wrong> {
    let servers = POEMS
        .iter()
        .map(|poem| poem.start(stage, model, stage.file(poem.name, poem.text)?))
        .collect::<Result<Vec<Process>, Wrong>>()?;
    let transforms = stage.serve(model, ["transform"], None)?;
    let client = model
        .client(&Options::new(models::clock()))
        .map_err(|error| format!("no client: {error}"))?;
    let requests = requests(&servers, &transforms);
    let seen = Arc::new(Seen::default());
    let begun = Instant::now();
    let outcomes = client.fetch(&requests, seen.clone(), &stage.cancel);
    let elapsed = begun.elapsed();
    for (poem, outcome) in POEMS.iter().zip(&outcomes) {
        verify(poem, outcome).map_err(|flaw| format!("the poem {}: {flaw}", poem.name))?;
    }
    for (index, (poem, server)) in POEMS.iter().zip(servers).enumerate() {
        let counts = stop(server, "a poem server")?;
        seen::same(&seen.poem(index), &counts)
            .map_err(|flaw| format!("the ledger of {}: {flaw}", poem.name))?;
    }
    let counts = stop(transforms, "the transform server")?;
    let sent = POEMS.iter().map(|poem| (TRANSFORM, poem.text));
    seen::same(&seen.transforms(sent), &counts)
        .map_err(|flaw| format!("the ledger of the transforms: {flaw}"))?;
    Ok(Fetched { elapsed })
}

fn requests(servers: &[Process], transforms: &Process) -> Vec<FetchRequest> {
    let request = |server: &Process| FetchRequest {
        peer: Peer::from(server.address()),
        via: Some(Via {
            transform: TRANSFORM.to_owned(),
            peer: Peer::from(transforms.address()),
        }),
    };
    servers.iter().map(request).collect()
}

fn verify(poem: &Slow, outcome: &Outcome) -> Result<(), Wrong> {
    let found = outcome.poem.as_ref().map_err(ToString::to_string)?;
    if let Some(error) = &outcome.transform_failure {
        return Err(format!("not transformed: {error}"));
    }
    let expected = poem.transformed();
    if outcome.bytes != poem.text.len() as u64 {
        return Err(format!(
            "{} bytes came of {}",
            outcome.bytes,
            poem.text.len()
        ));
    }
    match first_difference(found.as_bytes(), expected.as_bytes()) {
        None => Ok(()),
        Some(at) => Err(format!("byte {at} of the transformed poem is wrong")),
    }
}

fn first_difference(found: &[u8], expected: &[u8]) -> Option<usize> {
    let differs = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    let shorter = found.len().min(expected.len());
    differs.or((found.len() != expected.len()).then_some(shorter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poems_differ_in_pace_and_the_first_is_the_slowest() {
        let durations: Vec<Duration> = POEMS.iter().map(Slow::duration).collect();
        assert!(
            durations.windows(2).all(|pair| pair[0] > pair[1]),
            "{durations:?}"
        );
        assert!(
            durations[0] >= Duration::from_secs(2) && durations[0] <= Duration::from_millis(2_500)
        );
    }

    #[test]
    fn a_wrong_byte_is_named() {
        assert_eq!(first_difference(b"poem", b"poem"), None);
        assert_eq!(first_difference(b"poum", b"poem"), Some(2));
        assert_eq!(first_difference(b"po", b"poem"), Some(2));
        let outcome = |poem: String, bytes: usize| Outcome {
            poem: Ok(poem),
            transform_failure: None,
            bytes: bytes as u64,
            elapsed: Duration::ZERO,
        };
        let poem = &POEMS[1];
        let right = poem.transformed();
        assert_eq!(
            verify(poem, &outcome(right.clone(), poem.text.len())),
            Ok(())
        );
        assert!(
            verify(poem, &outcome(right.clone(), 7))
                .unwrap_err()
                .starts_with("7 bytes came")
        );
        let wrong = right.replacen('h', "j", 1);
        assert!(
            verify(poem, &outcome(wrong, poem.text.len()))
                .unwrap_err()
                .contains("is wrong")
        );
    }
}
