//! A fetch against a seeded adversary: a plan of what the poem's server and the transform server send and when, and what a client
//! must make of it (S10–S13, S15), worked out from the plan alone.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use poetry::error::Timeout;
use poetry::{FetchFailure, Limits, request};

use crate::plan::Act;
use crate::wire::{self, End};

/// The plan of one fetch.
#[derive(Debug)]
pub struct FetchPlan {
    /// The seed that it was made from.
    pub seed: u64,
    /// The limits of the client.
    pub limits: Limits,
    /// What the poem's server does, and when, from the time at which the client connects to it.
    pub poem: Vec<(Duration, Act)>,
    /// The same of the transform server, if the poem is to be transformed.
    pub transform: Option<Vec<(Duration, Act)>>,
    /// The seed for what the transport does by itself.
    pub disturbance: u64,
}

/// The transform that every plan with one asks for.
pub const TRANSFORM: &str = "shout";

/// How a fetch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The poem, transformed if that succeeded, or why there is none.
    pub poem: Result<String, FetchFailure>,
    /// Why the transform failed, if it did.
    pub transform_failure: Option<FetchFailure>,
    /// When it ended, from its beginning.
    pub ended: Duration,
    /// Whether a transform was asked for.
    pub via: bool,
}

impl Fetched {
    /// Returns the outcome in a few words.
    pub fn outcome(&self) -> String {
        match (&self.poem, &self.transform_failure) {
            (Err(failure), _) => name(failure).to_owned(),
            (Ok(_), Some(failure)) => format!("kept, {}", name(failure)),
            (Ok(_), None) if self.via => "transformed".to_owned(),
            (Ok(_), None) => "poem".to_owned(),
        }
    }
}

impl FetchPlan {
    /// Makes the plan of `seed`. Nothing is sent at the moment at which a timeout passes, so every end is certain.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        // What is sent comes at whole hundredths of a second, and timeouts pass between.
        let limits = Limits {
            idle_timeout: millis(rng.u64(5..300) * 10 + 5),
            total_deadline: rng.bool().then(|| millis(rng.u64(1..200) * 10 + 7)),
            poem_bytes_max: match rng.u8(0..3) {
                0 => rng.usize(1..100),
                _ => 100_000,
            },
            frame_bytes_max: match rng.u8(0..3) {
                0 => rng.usize(8..100),
                _ => 99_999,
            },
            ..Limits::default()
        };
        let text = text(&mut rng);
        let mut sent = text.clone();
        match rng.u8(0..16) {
            // Often within a character.
            0 => sent.truncate(rng.usize(0..=sent.len())),
            1 => sent.push(b'\xff'),
            _ => {}
        }
        let poem = acts(&sent, &mut rng);
        let transform = rng.bool().then(|| acts(&reply(&text, &mut rng), &mut rng));
        Self {
            seed,
            limits,
            poem,
            transform,
            disturbance: rng.u64(..),
        }
    }

    /// Returns why `fetched` is not what the plan leads to, if it is not. A fetch may end `late_max` after its time.
    ///
    /// # Errors
    /// Returns the difference.
    pub fn judge(&self, fetched: &Fetched, late_max: Duration) -> Result<(), String> {
        let (expected, ended) = self.expected();
        let got = (
            fetched.poem.as_deref().map_err(name),
            fetched.transform_failure.as_ref().map(name),
        );
        let (poem, failure) = &expected;
        if got != (poem.as_deref().map_err(|name| *name), *failure) {
            return Err(format!("the fetch gives {got:?}, not {expected:?}"));
        }
        match ended <= fetched.ended && fetched.ended <= ended + late_max {
            true => Ok(()),
            false => Err(format!("it ends at {:?}, not at {ended:?}", fetched.ended)),
        }
    }

    /// Returns the outcome, failures by their names, and when the fetch ends.
    fn expected(&self) -> (Outcome, Duration) {
        let (poem, ended) = self.receive(Duration::ZERO, &self.poem, |bytes, end| match end {
            _ if bytes.len() > self.limits.poem_bytes_max => Some(Err("too long")),
            true => Some(decoded(bytes)),
            false => None,
        });
        let poem = match poem {
            Ok(poem) => poem,
            Err(failure) => return ((Err(failure), None), ended),
        };
        let Some(acts) = &self.transform else {
            return ((Ok(poem), None), ended);
        };
        let limit = self.limits.frame_bytes_max;
        if request::len(TRANSFORM, &poem) > limit {
            return ((Ok(poem), Some("too long")), ended);
        }
        let (reply, ended) = self.receive(ended, acts, |bytes, end| replied(bytes, end, limit));
        match reply {
            Ok(reply) => ((Ok(reply), None), ended),
            Err(failure) => ((Ok(poem), Some(failure)), ended),
        }
    }

    /// Receives from a server that was connected to at `from`. `ends` says what the bytes so far, and FIN, mean.
    fn receive(
        &self,
        from: Duration,
        acts: &[(Duration, Act)],
        ends: impl Fn(&[u8], bool) -> Option<Result<String, &'static str>>,
    ) -> (Result<String, &'static str>, Duration) {
        let total = self.limits.total_deadline.unwrap_or(Duration::MAX);
        let (mut bytes, mut last) = (Vec::new(), from);
        let never = (Duration::MAX, Act::Reset);
        for (at, act) in acts.iter().chain([&never]) {
            let at = from.saturating_add(*at);
            let idle = last + self.limits.idle_timeout;
            if at > idle.min(total) {
                let (late, at) = if total < idle {
                    ("total", total)
                } else {
                    ("idle", idle)
                };
                return (Err(late), at);
            }
            let end = match act {
                Act::Reset => Some(Err("lost")),
                Act::Finish => ends(&bytes, true),
                Act::Take(_) => None,
                Act::Send(piece) => {
                    bytes.extend(piece);
                    ends(&bytes, false)
                }
            };
            last = at;
            if let Some(end) = end {
                return (end, at);
            }
        }
        unreachable!("a timeout passes before the end of time")
    }
}

type Outcome = (Result<String, &'static str>, Option<&'static str>);

fn decoded(bytes: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "not UTF-8")
}

fn replied(bytes: &[u8], end: bool, limit: usize) -> Option<Result<String, &'static str>> {
    let mut frames = Vec::new();
    let follows = wire::frames(bytes, limit, &mut frames);
    match (frames.first(), follows) {
        (Some(first), _) => Some(decoded(&bytes[first.clone()])),
        (None, End::Flawed(..)) => Some(Err("garbled")),
        (None, _) if end && bytes.is_empty() => Some(Err("refused")),
        (None, _) if end => Some(Err("cut short")),
        (None, _) => None,
    }
}

fn name(failure: &FetchFailure) -> &'static str {
    match failure {
        FetchFailure::ConnectionFailed { .. } => "failed",
        FetchFailure::ConnectionLost { .. } => "lost",
        FetchFailure::TimedOut(Timeout::Idle) => "idle",
        FetchFailure::TimedOut(Timeout::Total) => "total",
        FetchFailure::TooLong { .. } => "too long",
        FetchFailure::NotUtf8 { .. } => "not UTF-8",
        FetchFailure::Empty => "empty",
        FetchFailure::Cancelled => "cancelled",
        FetchFailure::Refused => "refused",
        FetchFailure::Garbled(_) => "garbled",
        FetchFailure::CutShort => "cut short",
    }
}

fn text(rng: &mut Rng) -> Vec<u8> {
    const LINES: [&str; 4] = ["a", "A Line\n", "詩 and ΦΑΡΟΣ\n", "in the Middle, of: it\n"];
    let lines = rng.usize(0..8);
    let text: String = (0..lines).map(|_| LINES[rng.usize(..4)]).collect();
    text.into_bytes()
}

/// What a transform server answers: mostly the reply, and at times something else.
fn reply(text: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut reply = Vec::new();
    wire::netstring(&text.to_ascii_uppercase(), &mut reply);
    match rng.u8(0..12) {
        0 => reply.truncate(rng.usize(0..=reply.len())),
        1 => reply.insert(0, b'0'),
        2 => {
            let at = rng.usize(..reply.len());
            reply[at] = rng.u8(..);
        }
        3 => reply.clear(),
        4 => reply.extend(b"3:two,"),
        5 => {
            reply.clear();
            wire::netstring(b"a\xff", &mut reply);
        }
        _ => {}
    }
    reply
}

/// Sends `bytes` in pieces, and then FIN, a reset or nothing.
fn acts(bytes: &[u8], rng: &mut Rng) -> Vec<(Duration, Act)> {
    let mut at = pause(rng);
    let mut acts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece;
        (piece, rest) = rest.split_at(rng.usize(1..=rest.len()));
        acts.push((at, Act::Send(piece.to_vec())));
        at += pause(rng);
    }
    match rng.u8(0..10) {
        // Later than what was sent, which not every system delivers after a reset.
        0 => acts.push((at + millis(10), Act::Reset)),
        1 => {
            acts.truncate(rng.usize(0..=acts.len()));
            acts.push((at + millis(10), Act::Reset));
        }
        2 => {}
        _ => acts.push((at, Act::Finish)),
    }
    acts
}

/// Mostly none or short, at times longer than an idle timeout.
fn pause(rng: &mut Rng) -> Duration {
    millis(
        10 * match rng.u8(0..16) {
            0..8 => 0,
            8..15 => rng.u64(0..20),
            _ => rng.u64(0..400),
        },
    )
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A line for each act, with its time.
impl fmt::Display for FetchPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "plan {}: {:?}", self.seed, self.limits)?;
        let servers = [
            ("poem", Some(&self.poem)),
            ("transform", self.transform.as_ref()),
        ];
        for (server, acts) in servers {
            for (at, act) in acts.into_iter().flatten() {
                match act {
                    Act::Send(bytes) => {
                        writeln!(out, "{server}: {at:?} Send \"{}\"", bytes.escape_ascii())
                    }
                    act => writeln!(out, "{server}: {at:?} {act:?}"),
                }?;
            }
        }
        writeln!(out, "expected: {:?}", self.expected())
    }
}
