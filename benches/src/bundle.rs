//! The folder of one run: everything that was measured, in formats that other programs read.
//!
//! | file | contents |
//! |---|---|
//! | `results.json` | [`Results`]: all rows, and what is needed to read them |
//! | `rows/SCENARIO.csv` | the rows of a scenario, a column for each metric |
//! | `histograms/SCENARIO.hlog` | the latencies of its rows in HdrHistogram's log format, each with the tag of its row |
//! | `environment.txt` | the environment, in words |
//!
//! `results.json` decides: the other files repeat it. It is replaced in one step after every row, so that an interrupted run
//! leaves a whole one.

mod histograms;
mod rows;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::error::Category;

pub use histograms::{Interval, append as append_histogram, intervals};

use crate::results::{FORMAT, OLDEST_FORMAT, Results, ScenarioResults};

/// The file of the results.
pub const RESULTS: &str = "results.json";

/// The histograms of a bundle, by scenario and tag; latencies in nanoseconds.
pub type Histograms = BTreeMap<String, BTreeMap<String, Histogram<u64>>>;

/// Why a bundle cannot be read or written: the file, and the problem.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct BundleError {
    /// The file or folder.
    pub file: PathBuf,
    /// The problem.
    pub problem: String,
}

impl BundleError {
    fn new(file: &Path, problem: impl ToString) -> Self {
        Self {
            file: file.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// A folder that a run is written to.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    /// Creates `folder`, or takes it if it holds no results.
    ///
    /// # Errors
    /// It holds results, which are never overwritten, or it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, BundleError> {
        let results = folder.join(RESULTS);
        match results.try_exists() {
            Ok(false) => {}
            Ok(true) => {
                return Err(BundleError::new(
                    &results,
                    "it holds the results of another run",
                ));
            }
            Err(error) => return Err(BundleError::new(&results, error)),
        }
        let bundle = Self::open(folder);
        for folder in [folder, &folder.join("rows"), &folder.join("histograms")] {
            fs::create_dir_all(folder).map_err(|error| BundleError::new(folder, error))?;
        }
        Ok(bundle)
    }

    /// Takes a folder with the results of a run, to go on with it.
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Keeps `results`, of which the scenario number `scenario` has a new row at its end, with a histogram if it has one.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep(
        &self,
        results: &Results,
        scenario: usize,
        histogram: Option<&Histogram<u64>>,
    ) -> Result<(), BundleError> {
        if let Some(scenario) = results.scenarios.get(scenario) {
            let file = self.file("histograms", &scenario.name, "hlog");
            let tag = scenario
                .rows
                .last()
                .and_then(|row| row.histogram.as_deref());
            if let (Some(histogram), Some(tag)) = (histogram, tag) {
                histograms::append(&file, tag, Duration::ZERO, histogram)?;
            }
            self.replace_rows(scenario)?;
        }
        self.replace_results(results)
    }

    /// Keeps merged `results` with all their histograms.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep_all(&self, results: &Results, all: &Histograms) -> Result<(), BundleError> {
        for scenario in &results.scenarios {
            let log = self.file("histograms", &scenario.name, "hlog");
            for (tag, histogram) in all.get(&scenario.name).into_iter().flatten() {
                histograms::append(&log, tag, Duration::ZERO, histogram)?;
            }
            self.replace_rows(scenario)?;
        }
        self.replace_results(results)
    }

    fn replace_rows(&self, scenario: &ScenarioResults) -> Result<(), BundleError> {
        let file = self.file("rows", &scenario.name, "csv");
        replace(&file, |out| rows::write(scenario, out))
    }

    /// Replaces the environments and the results, and these last.
    fn replace_results(&self, results: &Results) -> Result<(), BundleError> {
        let runs = results.runs.iter();
        let text = runs.map(|run| format!("{}\n{}\n{}\n", run.command, run.tool, run.environment));
        let text: Vec<String> = text.collect();
        replace(&self.folder.join("environment.txt"), |out| {
            out.write_all(text.join("\n").as_bytes())
        })?;
        replace(&self.folder.join(RESULTS), |out| {
            serde_json::to_writer_pretty(&mut *out, results)?;
            out.write_all(b"\n")
        })
    }

    fn file(&self, folder: &str, scenario: &str, ending: &str) -> PathBuf {
        self.folder
            .join(folder)
            .join(format!("{scenario}.{ending}"))
    }
}

/// Writes a file beside `file` and puts it in its place, in one step.
fn replace(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), BundleError> {
    let part = file.with_added_extension("part");
    let written = || -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&part)?);
        write(&mut out)?;
        out.flush()?;
        fs::rename(&part, file)
    };
    written().map_err(|error| BundleError::new(file, error))
}

/// Reads the results and histograms in `folder`. Logs of histograms may be missing, since they are most of a bundle's bytes.
///
/// # Errors
/// The results are missing, or a file is cut or of another format.
pub fn read(folder: &Path) -> Result<(Results, Histograms), BundleError> {
    let results = read_results(&folder.join(RESULTS))?;
    let mut all = Histograms::new();
    for scenario in &results.scenarios {
        if scenario.rows.iter().any(|row| row.histogram.is_some()) {
            let file = folder.join("histograms").join(&scenario.name);
            let file = file.with_added_extension("hlog");
            if file.exists() {
                all.insert(scenario.name.clone(), histograms::read(&file)?);
            }
        }
    }
    Ok((results, all))
}

/// Reads a `results.json`.
///
/// # Errors
/// It is missing, cut or of another format.
pub fn read_results(file: &Path) -> Result<Results, BundleError> {
    /// What every version of the format has.
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    let problem = |problem: String| BundleError::new(file, problem);
    let text = fs::read_to_string(file).map_err(|error| {
        problem(match error.kind() {
            ErrorKind::NotFound => {
                "there is no such file; are these results of `quatrain measure`?".to_owned()
            }
            _ => error.to_string(),
        })
    })?;
    let unreadable = |error: serde_json::Error| problem(in_words(&error));
    let versioned: Versioned = serde_json::from_str(&text).map_err(unreadable)?;
    let format = versioned.format;
    if !(OLDEST_FORMAT..=FORMAT).contains(&format) {
        return Err(problem(format!(
            "its format is {format}, and this program reads {OLDEST_FORMAT} to {FORMAT}; use the program that wrote it"
        )));
    }
    let results: Results = serde_json::from_str(&text).map_err(unreadable)?;
    // Written again, it has the newest format.
    Ok(Results {
        format: FORMAT,
        ..results
    })
}

/// Why a file that is not the `results.json` of this program, or only a part of it, cannot be read.
fn in_words(error: &serde_json::Error) -> String {
    let line = error.line();
    match error.classify() {
        Category::Eof if line <= 1 => {
            "it is empty or cut in its first line; copy it again, or measure again".to_owned()
        }
        Category::Eof => format!("it is cut in line {line}; copy it again, or measure again"),
        Category::Syntax | Category::Io => {
            format!("line {line} is no JSON; name a folder that `quatrain measure` wrote")
        }
        Category::Data => {
            let what = error.to_string();
            let (what, _) = what.rsplit_once(" at line ").unwrap_or((&what, ""));
            format!(
                "line {line} is not as `quatrain measure` writes it: {what}; name a folder that it wrote"
            )
        }
    }
}
