//! `report.html`: one file that needs no network and no scripts, readable with a keyboard, a screen reader, on a phone and on paper.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::grid::{self, Cell, Columns, Grid, GridRow};
use super::warnings::warnings;
use crate::analysis::words::{self, counted};
use crate::analysis::{Analysis, finding, why};
use crate::plot::{self, Histograms, Text, Width};
use crate::results::{Entrant, Figure, Kind, Results, Run};

/// A scenario with its finding, the sentences of which are computed once: they are shown in several places.
type Analysed<'r> = (Analysis<'r>, Vec<String>);

/// Renders `results` as a page. `histograms` are those of each scenario, by its name.
pub fn page(results: &Results, histograms: &BTreeMap<String, Histograms>) -> String {
    let none = Histograms::new();
    let analysed = |scenario| {
        let analysis = Analysis::of(results, scenario);
        (analysis, finding(&analysis))
    };
    let analyses: Vec<Analysed<'_>> = results.scenarios.iter().map(analysed).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "quatrain: report of " (counted(results.scenarios.len(), "scenario")) }
                style { (PreEscaped(plot::STYLE)) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                a.skip href="#scenarios" { "Skip to the scenarios" }
                header {
                    h1 { "Report of " (counted(results.scenarios.len(), "scenario")) }
                    p.muted { (summary(results)) }
                    (shown_warnings(results))
                }
                (contents(&analyses))
                main id="scenarios" {
                    @for (index, (analysis, sentences)) in analyses.iter().enumerate() {
                        (scenario(analysis, sentences, histograms.get(&analysis.scenario.name).unwrap_or(&none), index))
                    }
                }
                (subjects(results))
                (environment(&results.runs))
            }
        }
    };
    page.into_string()
}

fn summary(results: &Results) -> String {
    let subjects = counted(results.subjects.len(), "subject");
    let dates = results.runs.iter().map(|run| run.environment.date.as_str());
    let dates: Vec<&str> = dates.collect();
    let tool = results.runs.first().map(|run| run.tool.as_str());
    format!(
        "{subjects} in {}, measured with {} on {}. Medians with their spread; what cannot be told apart is called so.",
        counted(results.runs.len(), "run"),
        tool.unwrap_or("an unknown tool"),
        words::list(&dates)
    )
}

fn shown_warnings(results: &Results) -> Markup {
    let warnings = warnings(results);
    html! {
        @if !warnings.is_empty() {
            div.warnings role="note" {
                h2 { "Before you trust these figures" }
                ul { @for warning in &warnings { li { (warning) } } }
            }
        }
    }
}

fn contents(analyses: &[Analysed<'_>]) -> Markup {
    html! {
        nav aria-labelledby="contents" {
            h2 id="contents" { "Contents" }
            ol.contents {
                @for (analysis, sentences) in analyses {
                    li {
                        a href={ "#" (anchor(&analysis.scenario.name)) } { (analysis.scenario.name) }
                        @if let Some(first) = sentences.first() { span { (first) } }
                    }
                }
                li { a href="#subjects" { "Subjects" } " and their commands" }
                li { a href="#environment" { "Environment" } " of the measurement" }
            }
        }
    }
}

/// Returns a scenario's name as it can be in an address: names are words, but results are files that anybody can write.
fn anchor(name: &str) -> String {
    let safe = |char: char| if char.is_alphanumeric() { char } else { '-' };
    format!("scenario-{}", name.chars().map(safe).collect::<String>())
}

fn scenario(
    analysis: &Analysis<'_>,
    sentences: &[String],
    histograms: &Histograms,
    index: usize,
) -> Markup {
    let scenario = analysis.scenario;
    let anchor = anchor(&scenario.name);
    html! {
        section aria-labelledby=(anchor) {
            h2 id=(anchor) { (scenario.name) }
            p.question { (scenario.question) }
            div.finding { @for sentence in sentences { p { (sentence) } } }
            @if let Some(why) = why(analysis) { p { (why) } }
            @for (number, drawn) in scenario.figures.iter().enumerate() {
                (figure(analysis, drawn, histograms, &format!("plot-{index}-{number}"), sentences))
            }
            (tables(analysis))
            @if let Some(noise) = super::scenario::noise(analysis) { p.muted { (noise) } }
            h3 { "What it teaches" }
            p { (scenario.lesson) }
            h3 { "How it was measured" }
            p { (scenario.method) }
            p.muted { "Measured again by:" }
            pre tabindex="0" aria-label={ "Command of " (scenario.name) } { code { (scenario.command) } }
        }
    }
}

/// A plot, for a desk and for a phone; a browser shows one of them.
fn figure<'r>(
    analysis: &Analysis<'r>,
    figure: &'r Figure,
    histograms: &'r Histograms,
    id: &str,
    sentences: &[String],
) -> Markup {
    let title = super::title(analysis, figure);
    let description = super::description(analysis, figure, histograms, sentences);
    let drawn = |width, class: &str| {
        let id = format!("{id}-{class}");
        let text = Text {
            id: &id,
            title: &title,
            description: &description,
        };
        let svg = plot::plot(analysis, figure, histograms, width, &text)?;
        Some(svg.replacen("class=\"plot\"", &format!("class=\"plot {class}\""), 1))
    };
    html! {
        @if let (Some(wide), Some(narrow)) = (drawn(Width::Wide, "wide"), drawn(Width::Narrow, "narrow")) {
            figure {
                (PreEscaped(wide))
                (PreEscaped(narrow))
                figcaption { (title) ". " (super::caption(analysis, figure)) }
            }
        }
    }
}

/// The table of the plot or of the main metrics, and folded that of all metrics, which is wide, and long if there are several
/// points.
fn tables(analysis: &Analysis<'_>) -> Markup {
    let name = &analysis.scenario.name;
    let full = grid::of_metrics(analysis, Columns::All);
    let by_point = grid::by_point(analysis);
    let several = by_point.is_some();
    let first = by_point.unwrap_or_else(|| grid::of_metrics(analysis, Columns::Main));
    html! {
        (table(&first, name))
        @if several || first.columns.len() < full.columns.len() {
            details {
                summary { (full.caption) @if several { " at each point" } }
                (table(&full, name))
            }
        }
    }
}

fn table(grid: &Grid, scenario: &str) -> Markup {
    let columns = grid.columns.len();
    html! {
        div.scroll role="region" tabindex="0" aria-label={ (grid.caption) " (" (scenario) ")" } {
            table {
                caption { (grid.caption) }
                thead {
                    tr {
                        th scope="col" { (if grid.corner.is_empty() { "subject" } else { grid.corner.as_str() }) }
                        @for column in &grid.columns { th scope="col" { (column) } }
                    }
                }
                @for group in &grid.groups {
                    tbody {
                        @if let Some(title) = &group.title {
                            tr { th scope="rowgroup" colspan=(columns + 1) { (title) } }
                        }
                        @for row in &group.rows { (line(row, columns)) }
                    }
                }
            }
        }
    }
}

fn line(row: &GridRow, columns: usize) -> Markup {
    html! {
        tr {
            th scope="row" { (row.subject) }
            @match &row.cells {
                Ok(cells) => { @for cell in cells { (figure_cell(cell)) } }
                Err(reason) => { td.reason colspan=(columns) { "void: " (reason) } }
            }
        }
    }
}

fn figure_cell(cell: &Cell) -> Markup {
    html! {
        td {
            @if cell.median.is_empty() { "–" } @else { (cell.median) }
            @if !cell.spread.is_empty() { small { (cell.spread) } }
        }
    }
}

fn subjects(results: &Results) -> Markup {
    html! {
        section aria-labelledby="subjects" {
            h2 id="subjects" { "Subjects" }
            div.scroll role="region" tabindex="0" aria-label="Subjects and their commands" {
                table {
                    caption { "What was measured, and the command that starts it" }
                    thead { tr { th scope="col" { "subject" } th scope="col" { "kind" } th scope="col" { "command" } } }
                    tbody {
                        @for subject in &results.subjects {
                            tr {
                                th scope="row" {
                                    (PreEscaped(plot::swatch(results, subject))) " " (subject.name)
                                }
                                td.words { (kind(subject)) }
                                td.words { code { (subject.command) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kind(subject: &Entrant) -> String {
    match (subject.kind, &subject.again, &subject.baseline) {
        (_, Some(first), _) => format!("{first}, measured a second time"),
        (Kind::Floor, ..) => "the floor: the least it can cost".to_owned(),
        (Kind::Model, _, Some(bare)) => format!("model; its bare loop is {bare}"),
        (Kind::Model, ..) => "model".to_owned(),
        (Kind::Bare, ..) => "bare loop".to_owned(),
        (Kind::External, ..) => "another program".to_owned(),
    }
}

fn environment(runs: &[Run]) -> Markup {
    html! {
        section aria-labelledby="environment" {
            h2 id="environment" { "Environment" }
            @for (index, run) in runs.iter().enumerate() {
                @if runs.len() > 1 { h3 { "Run " (index + 1) } }
                dl {
                    dt { "Command" } dd { code { (run.command) } }
                    dt { "Tool" } dd { (run.tool) }
                    @for (fact, value) in run.environment.facts() {
                        dt { (fact) } dd { (value) }
                    }
                }
            }
        }
    }
}
