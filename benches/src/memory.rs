//! Memory of an idle connection: the slope of a server's memory over several counts of connections, each of which
//! has made one request (MEASURING 7).
//!
//! User space is the server's own anonymous memory. The kernel's share is only known for the
//! whole machine, including both ends of every connection; it is reported apart, and means something on a quiet machine only.

use std::io;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::exchange::Exchange;
use crate::load::{Held, Plan, hold};
use crate::pinning::Pinning;
use crate::process::{Process, kernel_memory, with_affinity};
use crate::scratch::Scratch;
use crate::subject::{Subject, names};

/// The default counts of connections at which memory is read.
pub const COUNTS: [usize; 3] = [1_000, 5_000, 10_000];

/// The subjects, and how to measure them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keep-alive transform servers.
    pub subjects: Vec<Subject>,
    /// The connections at which memory is read, ascending; at least two.
    pub counts: Vec<usize>,
    /// Measurements of each subject.
    pub rounds: usize,
    /// The one request of every connection.
    pub exchange: Exchange,
    /// The cores of both sides.
    pub pinning: Pinning,
    /// The seed that shuffles the order of each round.
    pub seed: u64,
    /// The commit that was built, if known.
    pub commit: Option<String>,
}

/// Memory at one count of connections, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Idle connections, each of which has made a request.
    pub connections: usize,
    /// The server's own memory (`RssAnon`).
    pub own: Option<u64>,
    /// The kernel's memory, on the whole machine.
    pub kernel: Option<u64>,
    /// The server's threads.
    pub threads: Option<u64>,
}

/// One subject in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The round, from 0.
    pub round: usize,
    /// The subject.
    pub subject: String,
    /// The readings; empty if the row is void.
    pub points: Vec<Point>,
    /// Why the row is void, if it is.
    pub void: Option<String>,
}

impl Row {
    /// Bytes of the server's own memory per connection, from the first count to the last.
    pub fn own_slope(&self) -> Option<f64> {
        self.slope(|point| point.own)
    }

    /// Bytes of the kernel's memory per connection, both ends included, from the first count to the last.
    pub fn kernel_slope(&self) -> Option<f64> {
        self.slope(|point| point.kernel)
    }

    fn slope(&self, of: fn(&Point) -> Option<u64>) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let connections = last.connections as f64 - first.connections as f64;
        let bytes = of(last)? as f64 - of(first)? as f64;
        (connections > 0.0).then(|| bytes / connections)
    }
}

/// All rows, and the environment they were measured in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The environment.
    pub environment: Environment,
    /// The subjects, in the order they were given.
    pub subjects: Vec<String>,
    /// The rows, in the order of measuring.
    pub rows: Vec<Row>,
}

/// Measures all subjects, and calls `progress` with each row when it is complete.
///
/// # Errors
/// This process itself fails. A fault of a subject only voids its row.
pub fn run(options: &Options, progress: &mut dyn FnMut(&Row)) -> io::Result<Outcome> {
    let environment = Environment::now(options.commit.clone(), options.pinning, options.seed);
    let scratch = Scratch::new()?;
    let mut order: Vec<&Subject> = options.subjects.iter().collect();
    let mut shuffle = fastrand::Rng::with_seed(options.seed);
    let mut rows = Vec::new();
    for round in 0..options.rounds {
        shuffle.shuffle(&mut order);
        for subject in &order {
            let (points, void) = match measure(subject, options, &scratch) {
                Ok(points) => (points, None),
                Err(void) => (Vec::new(), Some(void)),
            };
            let row = Row {
                round,
                subject: subject.name.clone(),
                points,
                void,
            };
            progress(&row);
            rows.push(row);
        }
    }
    Ok(Outcome {
        environment,
        subjects: names(&options.subjects),
        rows,
    })
}

fn measure(subject: &Subject, options: &Options, scratch: &Scratch) -> Result<Vec<Point>, String> {
    let launch = subject.launch(options.pinning.server, &scratch.file("stats"));
    let process = Process::start(&launch).map_err(|error| error.to_string())?;
    let climb = || climb(&process, options);
    let (points, held) = with_affinity(options.pinning.client, climb)
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let ledger = held.release().map_err(|error| error.to_string())?;
    let ending = process.stop().map_err(|error| error.to_string())?;
    if let Some(counts) = ending.counts {
        ledger.check(&counts)?;
    }
    Ok(points)
}

fn climb(
    process: &Process,
    options: &Options,
) -> Result<(Vec<Point>, Held), crate::load::LoadError> {
    let exchange = options.exchange.clone();
    let mut held = hold(process.address(), exchange, 0, Plan::STALL_TIMEOUT)?;
    let mut points = Vec::new();
    for &connections in &options.counts {
        held.grow(connections)?;
        let usage = process.usage();
        points.push(Point {
            connections,
            own: usage.own_memory,
            kernel: kernel_memory(),
            threads: usage.threads,
        });
    }
    Ok((points, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_excludes_a_servers_memory_without_connections() {
        let point = |connections, own| Point {
            connections,
            own: Some(own),
            kernel: None,
            threads: None,
        };
        let row = Row {
            round: 0,
            subject: "x".to_owned(),
            points: vec![
                point(1_000, 3_000_000),
                point(5_000, 5_000_000),
                point(10_000, 5_304_000),
            ],
            void: None,
        };
        assert_eq!(row.own_slope(), Some(256.0));
        assert_eq!(row.kernel_slope(), None);
    }
}
