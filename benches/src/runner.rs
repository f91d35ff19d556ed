//! Throughput of several servers in interleaved rounds (MEASURING 1 to 4, 7).
//!
//! In every round each subject is started afresh on its own core, loaded from the other, stopped, and its counts
//! compared with the client's ledger; the order is shuffled by a seed. The floor is always there, and the first
//! subject enters twice: what differs between the two is noise.

mod row;
mod summary;

use std::io::{self, Write};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use row::{Figures, Row};
pub use summary::{Noise, Spread, Standing, Summary};

use crate::environment::Environment;
use crate::load::Plan;
use crate::pinning::Pinning;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::subject::Subject;

/// What is measured, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The subjects; the first enters twice.
    pub subjects: Vec<Subject>,
    /// The floor, to which ratios are.
    pub floor: Subject,
    /// How often each is measured.
    pub rounds: usize,
    /// How each is loaded; the address is of no account.
    pub plan: Plan,
    /// Where the two sides run.
    pub pinning: Pinning,
    /// What the order of each round is shuffled with.
    pub seed: u64,
    /// The commit that was built, for the record.
    pub commit: Option<String>,
}

/// Checks a server before it is measured: the conformance suite, or [`crate::verify::transforms`].
///
/// Its error is why the subject is void.
pub type Verify<'v> = dyn FnMut(&Subject, SocketAddr) -> Result<(), String> + 'v;

/// What the runner is doing, for whoever shows it.
#[derive(Debug)]
pub enum Progress<'p> {
    /// A subject is being verified.
    Verifying(&'p Subject),
    /// A row is there.
    Measured {
        /// The row.
        row: &'p Row,
        /// Rows until now, and rows there will be.
        of: (usize, usize),
    },
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Where and when.
    pub environment: Environment,
    /// How the subjects were loaded, in words.
    pub load: String,
    /// Those who entered, in order: the floor, the subjects, the first of them again.
    pub entrants: Vec<String>,
    /// What was measured, in the order it was.
    pub rows: Vec<Row>,
}

/// Measures.
///
/// # Errors
/// There is nothing to measure, or this process cannot do its part. What a subject does wrong voids its rows.
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
    // The one that enters again is the first subject, which stands behind the floor.
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
                Err(flaw) => Err(flaw.clone()),
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

/// Verifies a subject in a process of its own, so that nothing of it is in the counts of those that are timed.
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

/// How requests were sent.
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
