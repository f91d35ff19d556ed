//! What happened in a run, as its peers, the server's events and its counters saw it.

use std::fmt;
use std::time::Duration;

use poetry::{Counts, Event};

/// Everything that a judge may know about a run. Two runs of a seed are equal.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The log of each connection, in the order in which the peers connected; empty for a peer that did not.
    pub logs: Vec<Log>,
    /// The server's events, in order.
    pub events: Vec<Event>,
    /// The server's counts at the end.
    pub counts: Counts,
    /// The connections that finished and those that were cut, by the server's summary (S21).
    pub finished_and_cut: (u64, u64),
}

/// A line for each step and for each event, with their times.
impl fmt::Display for Observed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, log) in self.logs.iter().enumerate() {
            writeln!(out, "connection {index}:")?;
            for (at, step) in log.steps() {
                writeln!(out, "  {at:>12.3?} {step}")?;
            }
        }
        writeln!(out, "events:")?;
        for event in &self.events {
            let Event {
                at, scene, kind, ..
            } = event;
            writeln!(out, "  {at:>12.3?} {} {kind:?}", scene.task)?;
        }
        let (finished, cut) = self.finished_and_cut;
        writeln!(out, "finished {finished}, cut {cut}, {:?}", self.counts)
    }
}

/// What happened at one connection, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log(Vec<(Duration, Step)>);

/// One thing that happened at a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The server has the connection.
    Accepted,
    /// The network brought these bytes to the server's end.
    Sent(Vec<u8>),
    /// The network brought the peer's FIN.
    Finished,
    /// The network brought the peer's reset.
    Reset,
    /// The server read this many bytes.
    Read(usize),
    /// The peer took these bytes from the server.
    Took(Vec<u8>),
    /// The server sent FIN, and has not closed its socket.
    Fin,
    /// The server closed its socket, which sends FIN unless it did before.
    Closed {
        /// Whether it reset the connection.
        reset: bool,
    },
    /// The server was told to stop.
    StopBegan,
}

impl Log {
    /// Adds a step.
    pub fn note(&mut self, at: Duration, step: Step) {
        self.0.push((at, step));
    }

    /// Returns the steps with their times.
    pub fn steps(&self) -> &[(Duration, Step)] {
        &self.0
    }

    /// Returns whether the server got the connection.
    pub fn is_accepted(&self) -> bool {
        self.first(|step| *step == Step::Accepted).is_some()
    }

    /// Returns whether the server has the connection and has not closed it.
    pub fn is_open(&self) -> bool {
        self.is_accepted() && self.closed().is_none()
    }

    /// Returns when the server closed its socket, and whether with a reset.
    pub fn closed(&self) -> Option<(Duration, bool)> {
        self.0.iter().find_map(|(at, step)| match step {
            Step::Closed { reset } => Some((*at, *reset)),
            _ => None,
        })
    }

    /// Returns when the step that `is` wanted came first.
    pub fn first(&self, is: impl Fn(&Step) -> bool) -> Option<Duration> {
        let step = self.0.iter().find(|(_, step)| is(step))?;
        Some(step.0)
    }

    /// Returns when the step that `is` wanted came last.
    pub fn last(&self, is: impl Fn(&Step) -> bool) -> Option<Duration> {
        let step = self.0.iter().rfind(|(_, step)| is(step))?;
        Some(step.0)
    }

    /// Returns all bytes that the network brought to the server.
    pub fn sent(&self) -> Vec<u8> {
        let bytes = self.0.iter().filter_map(|(_, step)| match step {
            Step::Sent(bytes) => Some(&bytes[..]),
            _ => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// Returns all bytes that the peer took.
    pub fn taken(&self) -> Vec<u8> {
        let bytes = self.0.iter().filter_map(|(_, step)| match step {
            Step::Took(bytes) => Some(&bytes[..]),
            _ => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// Returns the number of bytes that the server read before the step that `ends` is.
    pub fn read_until(&self, ends: impl Fn(&Step) -> bool) -> usize {
        let before = self.0.iter().take_while(|(_, step)| !ends(step));
        before.map(|(_, step)| read_by(step)).sum()
    }

    /// Returns when the server read byte `index` of what was sent.
    pub fn read_at(&self, index: usize) -> Option<Duration> {
        let mut read = 0;
        let step = self.0.iter().find(|(_, step)| {
            read += read_by(step);
            read > index
        })?;
        Some(step.0)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(bytes) => write!(out, "Sent \"{}\"", bytes.escape_ascii()),
            Self::Took(bytes) => write!(out, "Took \"{}\"", bytes.escape_ascii()),
            other => write!(out, "{other:?}"),
        }
    }
}

fn read_by(step: &Step) -> usize {
    match step {
        Step::Read(bytes) => *bytes,
        _ => 0,
    }
}
