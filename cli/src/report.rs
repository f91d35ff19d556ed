//! `quatrain report`: shows results again, merges them, and compares them with earlier ones. `benches` has the tables and the page.

use std::fs;
use std::path::{Path, PathBuf};

use measure::analysis::words::counted;
use measure::analysis::{self, Analysis};
use measure::bundle::{self, Bundle, Histograms};
use measure::merge::merge;
use measure::plot::{self, Text, Width};
use measure::report::{self, Columns};
use measure::results::{Results, ScenarioResults};

use crate::args::ReportArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::words::shown;
use crate::{output, table_layout, terminal};

/// The page in a folder of results.
const PAGE: &str = "report.html";

/// Shows the results in all folders.
pub(crate) fn run(args: &ReportArgs, stderr: &LineWriter) -> Ended {
    let (results, histograms) = read_all(&args.folders)?;
    let columns = match args.all_columns {
        true => Columns::All,
        false => Columns::Main,
    };
    let text = if let Some(name) = &args.svg {
        svg(&results, &histograms, name)?
    } else if let Some(name) = &args.markdown {
        report::markdown(&Analysis::of(&results, scenario(&results, name)?), columns)
    } else if let Some(folder) = &args.baseline {
        differences(&results, &baseline(folder)?)
    } else {
        let folder = folder(args, &results, &histograms)?;
        let page = write_page(&folder, &results, &histograms)?;
        let more = match columns {
            Columns::Main => more_columns(&folder),
            Columns::All => String::new(),
        };
        format!(
            "{}{}Report: {}\n{more}",
            tables(&results, columns),
            warnings(&results, &histograms),
            shown(&page)
        )
    };
    Ok(output::last_text(&text, Status::Success, stderr))
}

/// Returns what a reader should know, wrapped as wide as the terminal.
fn warnings(results: &Results, histograms: &Histograms) -> String {
    let columns = terminal::stdout_columns().unwrap_or(table_layout::NOTE_COLUMNS);
    let warnings = report::warnings(results).into_iter();
    warnings
        .chain(missing(results, histograms))
        .map(|warning| table_layout::wrap(&format!("Warning: {warning}"), columns))
        .collect()
}

/// Names the scenarios whose histograms are not in the folder.
fn missing(results: &Results, histograms: &Histograms) -> Option<String> {
    let lacks = |scenario: &&ScenarioResults| {
        let recorded = scenario.rows.iter().any(|row| row.histogram.is_some());
        recorded && !histograms.contains_key(&scenario.name)
    };
    let lack = results.scenarios.iter().filter(lacks);
    let names: Vec<&str> = lack.map(|scenario| scenario.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "no histograms are in the folder, so that percentiles are not drawn: {}.",
            names.join(", ")
        )
    })
}

/// Writes the page of `results` into `folder`, and returns its path.
///
/// # Errors
/// It cannot be written (status 1).
pub(crate) fn write_page(
    folder: &Path,
    results: &Results,
    histograms: &Histograms,
) -> Result<PathBuf, Failure> {
    let page = folder.join(PAGE);
    fs::write(&page, report::page(results, histograms)).map_err(|error| {
        let (shown, cause) = (shown(&page), cause(&error));
        Failure::trouble(format_args!(
            "cannot write {shown}: {cause}; make the folder writable"
        ))
    })?;
    Ok(page)
}

fn read_all(folders: &[PathBuf]) -> Result<(Results, Histograms), Failure> {
    let read = |folder: &PathBuf| {
        bundle::read(folder).map_err(|error| Failure::new(format_args!("cannot read {error}")))
    };
    let parts: Vec<(Results, Histograms)> = folders.iter().map(read).collect::<Result<_, _>>()?;
    merge(parts).map_err(|error| {
        let folders: Vec<String> = folders.iter().map(|folder| shown(folder)).collect();
        Failure::new(format_args!("cannot merge {}: {error}", folders.join(", ")))
    })
}

/// The folder for the page: that of the results, or a new one for merged results.
fn folder(
    args: &ReportArgs,
    results: &Results,
    histograms: &Histograms,
) -> Result<PathBuf, Failure> {
    let Some(out) = &args.out else {
        return match &args.folders[..] {
            [folder] => Ok(folder.clone()),
            _ => Err(Failure::new(
                "several folders are merged into a new one: name it by --out",
            )),
        };
    };
    let bundle = Bundle::create(out).map_err(|error| {
        Failure::new(format_args!(
            "cannot merge into {error}; name another folder by --out"
        ))
    })?;
    bundle
        .keep_all(results, histograms)
        .map_err(|error| Failure::trouble(format_args!("cannot write {error}")))?;
    Ok(out.clone())
}

/// Returns the table of a scenario under its name. In a terminal the main columns are cut where they do not fit.
pub(crate) fn table(results: &Results, scenario: &ScenarioResults, columns: Columns) -> String {
    let table = report::scenario(&Analysis::of(results, scenario), columns);
    let table = match columns {
        Columns::Main => table_layout::first_columns_for_stdout(&table),
        Columns::All => table_layout::for_stdout(&table),
    };
    format!("{}\n\n{}\n\n", scenario.name, table.trim_end_matches('\n'))
}

/// Returns the line that says where the columns are that tables leave out.
pub(crate) fn more_columns(folder: &Path) -> String {
    format!(
        "All columns: quatrain report {} --all-columns\n",
        shown(folder)
    )
}

fn tables(results: &Results, shown: Columns) -> String {
    let scenarios = results.scenarios.iter();
    scenarios
        .map(|scenario| table(results, scenario, shown))
        .collect()
}

/// Returns the results in `folder`, to compare others with.
pub(crate) fn baseline(folder: &PathBuf) -> Result<Results, Failure> {
    Ok(read_all(std::slice::from_ref(folder))?.0)
}

/// Returns the table of what differs from the results `before`, and whether that is real.
pub(crate) fn differences(now: &Results, before: &Results) -> String {
    let differences = analysis::against(now, before);
    table_layout::for_stdout(&report::differences(now, &differences))
}

/// Returns the plot that `wanted` names, `SCENARIO` or `SCENARIO:N`.
fn svg(results: &Results, histograms: &Histograms, wanted: &str) -> Result<String, Failure> {
    let (name, number) = match wanted.rsplit_once(':') {
        Some((name, number)) => (name, number.parse().unwrap_or(0)),
        None => (wanted, 1),
    };
    let scenario = scenario(results, name)?;
    let figure = usize::checked_sub(number, 1).and_then(|index| scenario.figures.get(index));
    let figure = figure.ok_or_else(|| {
        let number = counted(scenario.figures.len(), "plot");
        Failure::new(format_args!("{name} has {number}: there is no {wanted}"))
    })?;
    let none = plot::Histograms::new();
    let of_scenario = histograms.get(name).unwrap_or(&none);
    let analysis = Analysis::of(results, scenario);
    let finding = analysis::finding(&analysis);
    let text = Text {
        id: "plot",
        title: &report::title(&analysis, figure),
        description: &report::description(&analysis, figure, of_scenario, &finding),
    };
    let drawn = plot::plot(&analysis, figure, of_scenario, Width::Wide, &text);
    let drawn = drawn.ok_or_else(|| {
        let without = "it has no rows, or no latencies by percentile";
        Failure::new(format_args!("{wanted} has nothing to draw: {without}"))
    })?;
    Ok(plot::file(&drawn))
}

fn scenario<'r>(results: &'r Results, name: &str) -> Result<&'r ScenarioResults, Failure> {
    results.scenario(name).ok_or_else(|| {
        let names: Vec<&str> = results
            .scenarios
            .iter()
            .map(|scenario| scenario.name.as_str())
            .collect();
        Failure::new(format_args!(
            "these results have no scenario {name}; they have {}",
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        ))
    })
}
