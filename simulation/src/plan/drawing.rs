//! What a plan draws: services, limits, and peers whose acts are mostly ordinary, so that the rare ones meet a server at work.

use std::num::NonZeroUsize;
use std::time::Duration;

use fastrand::Rng;
use poetry::library::{FramedPoem, Library, PoemName, Poems};
use poetry::{
    Clock, LibraryService, Limits, Pace, PoemService, Service, TransformService, request,
};

use super::{Act, POEMS, Peer};
use crate::wire;

/// The longest time between two acts.
const PAUSE_MAX: Duration = Duration::from_secs(40);

pub(super) fn service(rng: &mut Rng) -> Service {
    let keep_alive = rng.bool();
    match rng.u8(0..8) {
        0..4 => Service::Transform(TransformService {
            keep_alive,
            // For `crash`; no plan asks for a transform that reads the clock.
            lab: (rng.u8(0..4) > 0).then(Clock::stopped),
            offload: false,
        }),
        4..6 => Service::Library(LibraryService {
            library: Library::new(poems()),
            keep_alive,
        }),
        _ => {
            let poem = "A poem of some lines,\nserved in pieces.\n".repeat(rng.usize(0..5));
            let delay = millis(rng.u64(1..3_000));
            let num_bytes = NonZeroUsize::new(rng.usize(1..40)).unwrap_or(NonZeroUsize::MIN);
            Service::Poem(PoemService {
                poem: poem.as_str().into(),
                pace: match rng.bool() {
                    true => Pace::Fast,
                    false => Pace::Slow { num_bytes, delay },
                },
            })
        }
    }
}

fn poems() -> Poems {
    let framed = |(name, text): (&str, &str)| {
        let name: PoemName = name.parse().ok()?;
        Some((name, FramedPoem::from(&text.into())))
    };
    POEMS.into_iter().filter_map(framed).collect()
}

pub(super) fn limits(rng: &mut Rng) -> Limits {
    Limits {
        frame_bytes_max: match rng.u8(0..3) {
            0 => rng.usize(8..64),
            _ => Limits::default().frame_bytes_max,
        },
        idle_timeout: millis(rng.u64(500..60_000)),
        request_deadline: millis(rng.u64(500..30_000)),
        write_timeout: millis(rng.u64(500..30_000)),
        linger_timeout: millis(rng.u64(100..3_000)),
        linger_bytes_max: rng.usize(1..5_000),
        ..Limits::default()
    }
}

pub(super) fn peer(service: &Service, rng: &mut Rng) -> Peer {
    let arrives = pause(rng);
    let wire = requests(service, rng);
    let mut acts: Vec<(Duration, Act)> = Vec::new();
    let mut at = arrives;
    for piece in pieces(&wire, rng) {
        at += pause(rng);
        acts.push((at, Act::Send(piece)));
    }
    let room = match rng.u8(0..3) {
        0 => takes(arrives, &mut acts, rng),
        _ => usize::MAX,
    };
    acts.sort_by_key(|&(at, _)| at);
    let at = acts.last().map_or(arrives, |&(at, _)| at) + pause(rng);
    match rng.u8(0..8) {
        0..4 => finish(at, &mut acts, rng),
        4..6 => reset(&mut acts, at, rng),
        _ => {}
    }
    Peer {
        arrives,
        room,
        acts,
    }
}

/// The peer takes little by little, in the end all or no more. Returns the room at the beginning.
fn takes(arrives: Duration, acts: &mut Vec<(Duration, Act)>, rng: &mut Rng) -> usize {
    let mut at = arrives;
    for _ in 0..rng.u32(0..12) {
        at += pause(rng);
        acts.push((at, Act::Take(rng.usize(1..30))));
    }
    if rng.bool() {
        acts.push((at + pause(rng), Act::Take(usize::MAX / 2)));
    }
    rng.usize(0..40)
}

/// FIN comes behind the last byte, but the peer may go on taking.
fn finish(at: Duration, acts: &mut Vec<(Duration, Act)>, rng: &mut Rng) {
    let is_send = |(_, act): &(Duration, Act)| matches!(act, Act::Send(_));
    let sent = acts.iter().rposition(is_send).map_or(0, |last| last + 1);
    match rng.bool() {
        true => acts.push((at, Act::Finish)),
        false => {
            let at = acts.get(sent).map_or(at, |&(next, _)| next);
            acts.insert(sent, (at, Act::Finish));
        }
    }
}

/// A reset comes anywhere, and ends the plan of the peer.
fn reset(acts: &mut Vec<(Duration, Act)>, at: Duration, rng: &mut Rng) {
    let kept = rng.usize(0..=acts.len());
    let at = acts.get(kept).map_or(at, |&(next, _)| next);
    acts.truncate(kept);
    acts.push((at, Act::Reset));
}

/// The bytes that a peer sends, if nothing stops it.
fn requests(service: &Service, rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let count = match rng.u8(..) {
        0..40 => 0,
        40..130 => 1,
        130..245 => rng.usize(2..8),
        // More than a turn's (S24).
        _ => rng.usize(60..200),
    };
    for _ in 0..count {
        match rng.u8(..) {
            0..225 => valid(service, rng, &mut out),
            225..240 => wire::netstring(b"no such thing", &mut out),
            240..243 => wire::netstring(b"shout.\xc3", &mut out),
            243..250 => wire::netstring(b"crash.now", &mut out),
            250..253 => out.extend(b"007:shout.a,"),
            _ => out.extend((0..rng.usize(1..9)).map(|_| rng.u8(..))),
        }
    }
    if rng.u8(0..5) == 0 {
        // Often ends in the middle of a request.
        out.truncate(rng.usize(0..=out.len()));
    }
    out
}

fn valid(service: &Service, rng: &mut Rng, out: &mut Vec<u8>) {
    match service {
        Service::Library(_) => {
            let (name, _) = POEMS[rng.usize(..POEMS.len())];
            wire::netstring(name.as_bytes(), out);
        }
        _ => {
            const NAMES: [&str; 4] = ["shout", "cummingsify", "reverse", "shout"];
            const LINES: [&str; 4] = ["a", "Line\n", "ΦΑΡΟΣ ", "in the Middle, of: it\n"];
            let lines = match rng.u8(..) {
                0..250 => rng.usize(0..4),
                _ => rng.usize(4..400),
            };
            let poem: String = (0..lines).map(|_| LINES[rng.usize(..4)]).collect();
            request::encode(NAMES[rng.usize(..4)], &poem, out);
        }
    }
}

/// Cuts `wire` into pieces: often one, sometimes each byte.
fn pieces(wire: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
    if wire.is_empty() {
        return Vec::new();
    }
    let size = match rng.u8(0..6) {
        0..3 => wire.len(),
        3 => 1.max(wire.len() / 40),
        _ => rng.usize(1..=wire.len()).max(wire.len() / 40),
    };
    wire.chunks(size).map(<[u8]>::to_vec).collect()
}

/// Mostly none or short, at times longer than most timeouts.
fn pause(rng: &mut Rng) -> Duration {
    match rng.u8(0..16) {
        0..6 => Duration::ZERO,
        6..12 => millis(rng.u64(0..100)),
        12..15 => millis(rng.u64(100..5_000)),
        _ => fraction(PAUSE_MAX, rng),
    }
}

pub(super) fn fraction(of: Duration, rng: &mut Rng) -> Duration {
    millis(rng.u64(0..=of.as_millis() as u64))
}

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
