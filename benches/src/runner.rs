//! Throughput of several servers in interleaved rounds (MEASURING 1 to 4, 7).
//!
//! In every round each subject is started anew on its own core, loaded from the other core and stopped, and its counts
//! are compared with the client's ledger; the order is shuffled by a seed. The floor always takes part, and the first
//! subject enters twice: the difference between the two is noise.

mod row;
mod summary;

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use row::{Figures, Row};
pub use summary::{EntrantSummary, Noise, Summary};

use crate::environment::Environment;
use crate::load::Plan;
use crate::pinning::Pinning;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::subject::Subject;

/// The least number of rounds with a spread: the median of three is neither the best nor the worst.
pub const ROUNDS_MIN: usize = 3;

/// The subjects, and how to measure them.
#[derive(Debug, Clone)]
pub struct Options {
    /// The subjects; the first enters twice.
    pub subjects: Vec<Subject>,
    /// The floor, the baseline of the ratios.
    pub floor: Subject,
    /// Measurements of each subject; fewer than [`ROUNDS_MIN`] have no spread.
    pub rounds: usize,
    /// The load on each subject; its address is ignored.
    pub plan: Plan,
    /// The cores of both sides.
    pub pinning: Pinning,
    /// The seed that shuffles the order of each round.
    pub seed: u64,
    /// The commit that was built, if known.
    pub commit: Option<String>,
}

/// Checks a server before it is measured: the conformance suite, or [`crate::verify::transforms`].
///
/// Its error is the reason why the subject is void.
pub type Verify<'v> = dyn FnMut(&Subject, SocketAddr) -> Result<(), String> + 'v;

/// The runner's progress, for display.
#[derive(Debug)]
pub enum Progress<'p> {
    /// A subject is being verified.
    Verifying(&'p Subject),
    /// A row is complete.
    Measured {
        /// The row.
        row: &'p Row,
        /// Complete rows, and rows in total.
        of: (usize, usize),
    },
}

/// All rows, and the environment they were measured in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The environment.
    pub environment: Environment,
    /// The load, in words.
    pub load: String,
    /// The entrants in order: the floor, the subjects, and the first subject again.
    pub entrants: Vec<String>,
    /// The rows, in the order of measuring.
    pub rows: Vec<Row>,
}

/// Measures all entrants.
///
/// # Errors
/// There is no subject, or this process itself fails. A fault of a subject only voids its rows.
pub fn run(
    options: &Options,
    verify: &mut Verify<'_>,
    progress: &mut dyn FnMut(&Progress<'_>),
) -> io::Result<Outcome> {
    let Some(first) = options.subjects.first() else {
        let nothing = "there is no subject to measure";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, nothing));
    };
    let environment = Environment::now(options.commit.clone(), options.pinning, options.seed);
    let scratch = Scratch::new()?;
    let again = Subject {
        name: format!("{} again", first.name),
        ..first.clone()
    };
    let mut entrants = vec![&options.floor];
    entrants.extend(&options.subjects);
    entrants.push(&again);

    let mut verified = Vec::new();
    for subject in &entrants[..entrants.len() - 1] {
        progress(&Progress::Verifying(subject));
        verified.push(check(subject, options, &scratch, verify));
    }
    // The last entrant is the first subject again, which is the second entrant.
    verified.push(verified[1].clone());

    let mut order: Vec<usize> = (0..entrants.len()).collect();
    let mut shuffle = fastrand::Rng::with_seed(options.seed);
    let mut rows = Vec::new();
    let total = options.rounds * entrants.len();
    for round in 0..options.rounds {
        shuffle.shuffle(&mut order);
        for &entrant in &order {
            let result = match &verified[entrant] {
                Ok(()) => row::measure(entrants[entrant], options, &scratch),
                Err(problem) => Err(problem.clone()),
            };
            rows.push(Row::new(round, &entrants[entrant].name, result));
            let of = (rows.len(), total);
            progress(&Progress::Measured {
                row: &rows[of.0 - 1],
                of,
            });
        }
    }
    Ok(Outcome {
        environment,
        load: in_words(&options.plan),
        entrants: entrants
            .iter()
            .map(|subject| subject.name.clone())
            .collect(),
        rows,
    })
}

/// Verifies a subject in its own process, so that its counts do not mix with those of timed runs.
fn check(
    subject: &Subject,
    options: &Options,
    scratch: &Scratch,
    verify: &mut Verify<'_>,
) -> Result<(), String> {
    let launch = subject.launch(options.pinning.server, &scratch.file("stats"));
    let process = Process::start(&launch).map_err(|error| error.to_string())?;
    verify(subject, process.address())?;
    let ending = process.stop().map_err(|error| error.to_string())?;
    match ending.counts {
        Some(counts) => counts.check(),
        None => Ok(()),
    }
}

/// Describes the load.
fn in_words(plan: &Plan) -> String {
    let depth = match plan.depth {
        1 => String::new(),
        depth => format!(" pipelined {depth} deep"),
    };
    let life = match plan.keep_alive {
        true => "keep-alive",
        false => "one-shot, the server closing first",
    };
    format!(
        "closed loop, {} connections{depth}, {life}; requests of {} bytes, replies of {}",
        plan.connections,
        plan.exchange.request.len(),
        plan.exchange.reply.len(),
    )
}

impl Outcome {
    /// Writes the raw rows as lines of JSON: the environment, then every row.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_rows(&self, mut out: impl Write) -> io::Result<()> {
        let environment = serde_json::json!({
            "environment": self.environment,
            "load": self.load,
            "entrants": self.entrants,
        });
        writeln!(out, "{environment}")?;
        for row in &self.rows {
            serde_json::to_writer(&mut out, row)?;
            writeln!(out)?;
        }
        Ok(())
    }
}
