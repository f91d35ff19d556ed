//! Scenarios in interleaved rounds (MEASURING 1, 3, 4).
//!
//! In every round of a scenario each subject is measured once at each point, in an order shuffled by the seed. The first model
//! takes part twice: the difference between the two is noise. Every subject is verified before its first row. Whatever goes wrong
//! with a subject only voids its row, visibly. The results are kept after every row, so an interrupted run can be resumed.

mod schedule;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::environment::Environment;
use crate::results::{Entrant, FORMAT, Kind, Results, Row, Run};
use crate::scenario::{Reading, Scenario, Setting};
use crate::subject::{Role, Subject};

use schedule::{Schedule, Task};

/// What is measured, and how.
pub struct Options {
    /// The subjects. The first model among them takes part twice.
    pub subjects: Vec<Subject>,
    /// The scenarios, each with the command that measures it again.
    pub scenarios: Vec<(Box<dyn Scenario>, String)>,
    /// Measurements of each subject at each point; fewer than [`ROUNDS_MIN`](crate::statistics::ROUNDS_MIN) have no spread.
    pub rounds: usize,
    /// Where and how much is measured.
    pub setting: Setting,
    /// The commit that was built, if known.
    pub commit: Option<String>,
    /// The command line, to repeat the run.
    pub command: String,
    /// The program and its version.
    pub tool: String,
}

/// What the runner needs of its caller while it measures.
pub trait Caller {
    /// Checks a subject in a role before it is measured in that role.
    ///
    /// # Errors
    /// Why its rows are void.
    fn verify(&mut self, subject: &Subject, role: Role) -> Result<(), String>;

    /// Keeps the results, the last row of which in scenario number `scenario` is new, and that row's histogram.
    ///
    /// # Errors
    /// They cannot be kept: the run ends.
    fn keep(
        &mut self,
        results: &Results,
        scenario: usize,
        histogram: Option<&Histogram<u64>>,
    ) -> io::Result<()>;

    /// Shows progress.
    fn show(&mut self, progress: &Progress<'_>);

    /// Whether to end after the row under way, which is then not kept: an interrupt ends servers too.
    fn is_interrupted(&self) -> bool;
}

/// The runner's progress, for display.
#[derive(Debug)]
pub enum Progress<'p> {
    /// A subject is being verified.
    Verifying(&'p Subject, Role),
    /// A row is being measured.
    Measuring {
        /// The scenario's name.
        scenario: &'p str,
        /// The subject's name.
        subject: &'p str,
        /// The point on the scenario's axis.
        point: f64,
        /// Complete rows, and rows in total, of this run and of the one that it resumes.
        of: (usize, usize),
        /// The time left, about.
        left: Duration,
    },
    /// A row is void.
    Void {
        /// The scenario's name.
        scenario: &'p str,
        /// The row.
        row: &'p Row,
    },
}

/// Measures all subjects in all scenarios, or what `resumed` lacks of that. If it is interrupted, the run in the results is not
/// complete.
///
/// # Errors
/// There is no subject, `resumed` is of other subjects or scenarios, or the results cannot be kept. A fault of a subject only
/// voids its rows.
pub fn run(
    options: &Options,
    resumed: Option<Results>,
    caller: &mut dyn Caller,
) -> io::Result<Results> {
    let entrants = entrants(&options.subjects)?;
    let mut results = match resumed {
        Some(results) => results,
        None => empty(options, &entrants),
    };
    schedule::fit(&mut results, options, &entrants).map_err(invalid)?;
    let schedule = Schedule::new(options, &entrants, &results);
    let mut verified = BTreeMap::new();
    let mut clock = Clock::new(&schedule);
    for task in &schedule.tasks {
        let entrant = &entrants[task.entrant];
        let (scenario, _) = &options.scenarios[task.scenario];
        let flaw = scenario.verified_as().and_then(|role| {
            let verdict = verified
                .entry((entrant.subject.name.as_str(), role))
                .or_insert_with(|| {
                    caller.show(&Progress::Verifying(&entrant.subject, role));
                    caller.verify(&entrant.subject, role)
                });
            verdict.clone().err()
        });
        if caller.is_interrupted() {
            return Ok(results);
        }
        let about = scenario.about(options.setting.extent);
        caller.show(&Progress::Measuring {
            scenario: about.name,
            subject: &entrant.name,
            point: task.point,
            of: (schedule.kept + clock.done, schedule.all),
            left: clock.left(),
        });
        let measured = match flaw {
            None => scenario.measure(&entrant.subject, task.point, &options.setting),
            Some(flaw) => Err(flaw),
        };
        if caller.is_interrupted() {
            return Ok(results);
        }
        clock.advance(task);
        let (row, histogram) = row(task, &entrant.name, measured);
        if row.void.is_some() {
            caller.show(&Progress::Void {
                scenario: about.name,
                row: &row,
            });
        }
        let at = schedule.positions[task.scenario];
        results.scenarios[at].rows.push(row);
        caller.keep(&results, at, histogram.as_ref())?;
    }
    if let Some(run) = results.runs.last_mut() {
        run.complete = true;
    }
    caller.keep(&results, results.scenarios.len().saturating_sub(1), None)?;
    Ok(results)
}

/// A subject under the name that it takes part with.
struct Entering {
    name: String,
    subject: Subject,
    again: bool,
}

/// Returns the subjects, and the first model, or the first subject if there is none, once more at the end.
fn entrants(subjects: &[Subject]) -> io::Result<Vec<Entering>> {
    let is_model = |subject: &&Subject| subject.kind == Kind::Model;
    let first = subjects.iter().find(is_model).or(subjects.first());
    let first = first.ok_or_else(|| invalid("there is no subject to measure".to_owned()))?;
    let entering = |subject: &Subject| Entering {
        name: subject.name.clone(),
        subject: subject.clone(),
        again: false,
    };
    let mut entrants: Vec<Entering> = subjects.iter().map(entering).collect();
    entrants.push(Entering {
        name: format!("{} again", first.name),
        subject: first.clone(),
        again: true,
    });
    Ok(entrants)
}

fn empty(options: &Options, entrants: &[Entering]) -> Results {
    let setting = &options.setting;
    let entrant = |entering: &Entering| Entrant {
        name: entering.name.clone(),
        again: entering.again.then(|| entering.subject.name.clone()),
        ..entering.subject.entrant()
    };
    Results {
        format: FORMAT,
        runs: vec![Run {
            command: options.command.clone(),
            tool: options.tool.clone(),
            environment: Environment::now(options.commit.clone(), setting.pinning, setting.seed),
            complete: false,
        }],
        subjects: entrants.iter().map(entrant).collect(),
        scenarios: Vec::new(),
    }
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// Returns the row of a task, and its histogram.
fn row(
    task: &Task,
    name: &str,
    measured: Result<Reading, String>,
) -> (Row, Option<Histogram<u64>>) {
    let (reading, void) = match measured {
        Ok(reading) => (reading, None),
        Err(void) => (Reading::default(), Some(void)),
    };
    let tag = || {
        let name = name.replace(' ', "_");
        format!("{name}.{}.{}", task.point, task.round)
    };
    let row = Row {
        run: 0,
        round: task.round,
        subject: name.to_owned(),
        point: task.point,
        values: reading.values,
        histogram: reading.histogram.as_ref().map(|_| tag()),
        void,
    };
    (row, reading.histogram)
}

/// Estimates the time left from the scenarios' own estimates, and from how they have held so far.
struct Clock {
    started: Instant,
    done: usize,
    expected_done: f64,
    expected_left: f64,
}

impl Clock {
    fn new(schedule: &Schedule) -> Self {
        Self {
            started: Instant::now(),
            done: 0,
            expected_done: 0.0,
            expected_left: schedule.tasks.iter().map(|task| task.seconds).sum(),
        }
    }

    fn advance(&mut self, task: &Task) {
        self.done += 1;
        self.expected_done += task.seconds;
        self.expected_left -= task.seconds;
    }

    fn left(&self) -> Duration {
        let factor = match self.expected_done > 0.0 {
            true => self.started.elapsed().as_secs_f64() / self.expected_done,
            false => 1.0,
        };
        Duration::try_from_secs_f64(self.expected_left * factor).unwrap_or_default()
    }
}
