//! A plan: the server, its limits, and what its peers do and when, all from one seed. A model carries it out on its own transport
//! in memory, and on virtual time.

mod drawing;

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use poetry::{Limits, Service};

use drawing::{fraction, limits, millis, peer, secs, service};

/// The plan of one run.
#[derive(Debug)]
pub struct Plan {
    /// The seed that it was made from.
    pub seed: u64,
    /// What the server serves.
    pub service: Service,
    /// The limits of the server.
    pub limits: Limits,
    /// The peers, in the order in which they connect.
    pub peers: Vec<Peer>,
    /// When the server is told to stop (S21).
    pub stop_at: Duration,
    /// The grace of the stop.
    pub grace: Duration,
    /// The seed for what the transport does by itself: short reads and writes, and calls that would block.
    pub disturbance: u64,
}

/// What one peer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// When it connects.
    pub arrives: Duration,
    /// Bytes that it takes before the first act takes more; `usize::MAX` if it takes all.
    pub room: usize,
    /// What it does and when, soonest first.
    pub acts: Vec<(Duration, Act)>,
}

/// One act of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The network brings these bytes to the server.
    Send(Vec<u8>),
    /// The network brings FIN. Nothing is sent after it.
    Finish,
    /// The network brings a reset. It is the last act.
    Reset,
    /// The peer takes this many bytes more.
    Take(usize),
}

/// The poems of the library, by name; one of them is empty, and one is longer than the shortest frame limit.
pub const POEMS: [(&str, &str); 4] = [
    ("star", "Stars fall.\n"),
    ("void", ""),
    ("sea", "The sea,\nthe grey sea,\nand the long way home\n"),
    ("詩", "春眠不覚暁\n"),
];

impl Plan {
    /// Makes the plan of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let service = service(&mut rng);
        let limits = limits(&mut rng);
        let count = 1 + rng.usize(0..3) * rng.usize(0..3);
        let mut peers: Vec<Peer> = (0..count).map(|_| peer(&service, &mut rng)).collect();
        peers.sort_by_key(|peer| peer.arrives);
        let last = peers.iter().map(Peer::last_act).max().unwrap_or_default();
        // Half of the plans stop while something goes on, the others when every connection has ended by itself.
        let stop_at = match rng.bool() {
            true => fraction(last + secs(5), &mut rng),
            false => last + longest(&limits, &service) + secs(1),
        };
        Self {
            seed,
            service,
            limits,
            peers,
            stop_at,
            grace: match rng.u8(0..4) {
                0 => Duration::ZERO,
                _ => millis(rng.u64(0..20_000)),
            },
            disturbance: rng.u64(..),
        }
    }

    /// Returns the time by which a server that keeps its limits has ended every connection.
    pub fn end(&self) -> Duration {
        self.stop_at + self.grace
    }

    /// Returns whether a connection may send more than one request.
    pub fn keeps_alive(&self) -> bool {
        match &self.service {
            Service::Transform(service) => service.keep_alive,
            Service::Library(service) => service.keep_alive,
            Service::Poem(_) | Service::Proxy(_) => false,
        }
    }
}

/// A line for each act, with its time.
impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            service,
            limits,
            peers,
            stop_at,
            grace,
            ..
        } = self;
        writeln!(out, "plan {seed}: {service:?}\n{limits:?}")?;
        writeln!(out, "stops at {stop_at:?} with a grace of {grace:?}")?;
        for (index, peer) in peers.iter().enumerate() {
            let Peer { arrives, room, .. } = peer;
            writeln!(
                out,
                "peer {index} arrives at {arrives:?} and takes {room} bytes"
            )?;
            for (at, act) in &peer.acts {
                match act {
                    Act::Send(bytes) => writeln!(out, "  {at:?} Send \"{}\"", bytes.escape_ascii()),
                    act => writeln!(out, "  {at:?} {act:?}"),
                }?;
            }
        }
        Ok(())
    }
}

impl Peer {
    fn last_act(&self) -> Duration {
        self.acts.last().map_or(self.arrives, |&(at, _)| at)
    }
}

/// Returns a time longer than a connection at which nothing happens can last.
fn longest(limits: &Limits, service: &Service) -> Duration {
    let poem = match service {
        Service::Poem(service) => service.pace.due(service.poem.as_bytes().len() + 1),
        _ => Duration::ZERO,
    };
    let timeouts = limits.idle_timeout + limits.request_deadline + limits.linger_timeout;
    poem + timeouts + limits.write_timeout * 3 + secs(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_again() {
        for seed in 0..200 {
            let (one, other) = (Plan::new(seed), Plan::new(seed));
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
    }

    #[test]
    fn acts_are_in_order_and_nothing_follows_an_end() {
        for peer in (0..1_000).flat_map(|seed| Plan::new(seed).peers) {
            assert!(peer.acts.is_sorted_by_key(|&(at, _)| at), "{peer:?}");
            assert!(peer.acts.iter().all(|&(at, _)| at >= peer.arrives));
            let mut acts = peer.acts.iter().map(|(_, act)| act);
            if acts.any(|act| *act == Act::Finish) {
                assert!(acts.all(|act| matches!(act, Act::Take(_))), "{peer:?}");
            }
            let mut acts = peer.acts.iter().map(|(_, act)| act);
            if acts.any(|act| *act == Act::Reset) {
                assert_eq!(acts.next(), None);
            }
        }
    }
}
