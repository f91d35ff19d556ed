//! Has one model fetch three poems of different pace at once and transform them, and verifies every byte.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use measure::process::Process;
use poetry::{FetchRequest, Model, Options, Outcome, Pace, Peer, Via};

use super::client_ledger::{self, ClientLedger};
use super::{Flaw, Setup, stop};

/// The transform of all poems.
const TRANSFORM: &str = "cummingsify";

/// A poem and the pace at which it is served.
pub(super) struct SlowPoem {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    num_bytes: usize,
    delay: Duration,
}

/// The poems, the slowest first, so that a client that fetches one after another would show. One is far from ASCII, and
/// one grows when it is transformed.
pub(super) const POEMS: [SlowPoem; 3] = [
    SlowPoem {
        name: "istanbul",
        text: include_str!("../../poems/istanbul.txt"),
        num_bytes: 30,
        delay: Duration::from_millis(40),
    },
    SlowPoem {
        name: "harbour",
        text: include_str!("../../poems/harbour.txt"),
        num_bytes: 40,
        delay: Duration::from_millis(45),
    },
    SlowPoem {
        name: "babel",
        text: include_str!("../../poems/babel.txt"),
        num_bytes: 35,
        delay: Duration::from_millis(33),
    },
];

impl SlowPoem {
    /// Returns the time it takes to serve the poem: no client can fetch it faster.
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

    fn start(&self, setup: &Setup, model: &dyn Model, file: PathBuf) -> Result<Process, Flaw> {
        let pace = [
            format!("--num-bytes={}", self.num_bytes),
            format!("--delay={}ms", self.delay.as_millis()),
        ];
        let what = ["poem".into(), file.into_os_string()].into_iter();
        setup.serve(model, what.chain(pace.map(Into::into)), None)
    }
}

/// What the fetch took.
pub(super) struct Fetched {
    /// The time from the first connect to the last transformed poem.
    pub(super) elapsed: Duration,
}

/// Has `model` fetch and transform the poems from its own servers, and verifies poems and counts.
pub(super) fn fetch(setup: &Setup, model: &dyn Model) -> Result<Fetched, Flaw> {
    let servers = POEMS
        .iter()
        .map(|poem| poem.start(setup, model, setup.file(poem.name, poem.text)?))
        .collect::<Result<Vec<Process>, Flaw>>()?;
    let transforms = setup.serve(model, ["transform"], None)?;
    let client = model
        .client(&Options::new(models::clock()))
        .map_err(|error| format!("cannot start a client: {error}"))?;
    let requests = requests(&servers, &transforms);
    let ledger = Arc::new(ClientLedger::default());
    let start = Instant::now();
    let outcomes = client.fetch(&requests, ledger.clone(), &setup.cancel);
    let elapsed = start.elapsed();
    for (poem, outcome) in POEMS.iter().zip(&outcomes) {
        verify(poem, outcome).map_err(|flaw| format!("the poem {}: {flaw}", poem.name))?;
    }
    for (index, (poem, server)) in POEMS.iter().zip(servers).enumerate() {
        let counts = stop(server, "a poem server")?;
        client_ledger::compare(&ledger.poem(index), &counts)
            .map_err(|flaw| format!("the ledger of {}: {flaw}", poem.name))?;
    }
    let counts = stop(transforms, "the transform server")?;
    let sent = POEMS.iter().map(|poem| (TRANSFORM, poem.text));
    client_ledger::compare(&ledger.transforms(sent), &counts)
        .map_err(|flaw| format!("the ledger of the transforms: {flaw}"))?;
    Ok(Fetched { elapsed })
}

fn requests(servers: &[Process], transforms: &Process) -> Vec<FetchRequest> {
    let via = Via {
        transform: TRANSFORM.to_owned(),
        peer: Peer::from(transforms.address()),
    };
    let request = |server: &Process| FetchRequest::new(server.address()).via(via.clone());
    servers.iter().map(request).collect()
}

fn verify(poem: &SlowPoem, outcome: &Outcome) -> Result<(), Flaw> {
    let found = outcome.poem.as_ref().map_err(ToString::to_string)?;
    if let Some(error) = &outcome.transform_failure {
        return Err(format!("not transformed: {error}"));
    }
    let expected = poem.transformed();
    if outcome.bytes != poem.text.len() as u64 {
        return Err(format!(
            "{} bytes arrived instead of {}",
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
        let durations: Vec<Duration> = POEMS.iter().map(SlowPoem::duration).collect();
        assert!(
            durations.windows(2).all(|pair| pair[0] > pair[1]),
            "{durations:?}"
        );
        assert!(
            durations[0] >= Duration::from_secs(2) && durations[0] <= Duration::from_millis(2_500)
        );
    }

    #[test]
    fn a_wrong_byte_is_reported_by_its_position() {
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
                .starts_with("7 bytes arrived")
        );
        let wrong = right.replacen('h', "j", 1);
        assert!(
            verify(poem, &outcome(wrong, poem.text.len()))
                .unwrap_err()
                .contains("is wrong")
        );
    }
}
