//! The tables of a scenario, which the terminal, Markdown and the page render each in their own way.

use crate::analysis::finding::{lower_first, on_axis};
use crate::analysis::{Analysis, Place, words};
use crate::results::{Entrant, Metric};
use crate::statistics::Spread;

/// Which metrics a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Those that are no details.
    Main,
    /// All.
    All,
}

/// A table: a row for each subject, perhaps in groups.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grid {
    /// What it shows.
    pub(crate) caption: String,
    /// The title of the first column: what the titles of the others count, if they are points.
    pub(crate) corner: String,
    /// The titles of the columns after the first, which has the subjects.
    pub(crate) columns: Vec<String>,
    /// The column whose spread a terminal shows: that of the slope if there is one, otherwise the last point, or the first metric.
    pub(crate) with_spread: usize,
    /// The groups, one for each point of the axis; one without a title if there is one point.
    pub(crate) groups: Vec<Group>,
}

/// The rows of one point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// The point, if there are several.
    pub(crate) title: Option<String>,
    /// A row for each subject.
    pub(crate) rows: Vec<GridRow>,
}

/// The row of one subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GridRow {
    /// Its name.
    pub(crate) subject: String,
    /// Its cells, or why it is void.
    pub(crate) cells: Result<Vec<Cell>, String>,
}

/// A figure.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cell {
    /// The median; empty if the system or subject does not provide it.
    pub(crate) median: String,
    /// From the lowest to the highest, where that says more than the median.
    pub(crate) spread: String,
}

impl Cell {
    fn of(spread: Option<Spread>, unit: &str) -> Self {
        let Some(spread) = spread else {
            return Self::default();
        };
        let median = words::value(spread.median, unit);
        let range = words::range(spread.low, spread.high, unit);
        Self {
            spread: if range == median {
                String::new()
            } else {
                range
            },
            median,
        }
    }
}

/// Returns the table of the main metric with a column for each point, if there are several.
pub(crate) fn by_point(analysis: &Analysis<'_>) -> Option<Grid> {
    let points = analysis.scenario.points();
    let (main, place) = analysis.main()?;
    let metric = analysis.scenario.metric(analysis.main_drawn()?)?;
    if points.len() < 2 {
        return None;
    }
    let (unit, suffix) = header_unit(metric);
    let axis = analysis.scenario.axis.as_ref();
    let along = axis.map_or("", |axis| &axis.unit);
    let mut columns: Vec<String> = points
        .iter()
        .map(|&point| words::value(point, along))
        .collect();
    if place == Place::Slope {
        columns.push(header(main));
    }
    let with_spread = columns.len() - 1;
    let has_floor = analysis.floor().is_some();
    if has_floor {
        columns.push("× floor".to_owned());
    }
    let row = |subject: &Entrant| {
        let cell = |&point: &f64| match analysis.scenario.void(&subject.name, point) {
            Some(_) => Cell {
                median: "void".to_owned(),
                ..Cell::default()
            },
            None => Cell::of(
                analysis.spread(&subject.name, metric, Place::Point(point)),
                unit,
            ),
        };
        let mut cells: Vec<Cell> = points.iter().map(cell).collect();
        if place == Place::Slope {
            let (unit, _) = header_unit(main);
            cells.push(Cell::of(analysis.spread(&subject.name, main, place), unit));
        }
        if has_floor {
            cells.push(Cell::of(analysis.to_floor(subject, main, place), ""));
        }
        let voids = analysis.voids(&subject.name);
        let cells = match voids.first() {
            Some((_, reason)) if voids.len() == points.len() => Err((*reason).to_owned()),
            _ => Ok(cells),
        };
        GridRow {
            subject: subject.name.clone(),
            cells,
        }
    };
    let rows = analysis.subjects().into_iter().map(row).collect();
    let title = axis.map_or_else(String::new, |axis| lower_first(&axis.title));
    Some(Grid {
        caption: format!("{}{suffix} by {title}: medians and spreads", metric.title),
        corner: title,
        columns,
        with_spread,
        groups: vec![Group { title: None, rows }],
    })
}

/// Returns the table of all metrics, or of those that are no details, with a group for each point.
pub(crate) fn of_metrics(analysis: &Analysis<'_>, shown: Columns) -> Grid {
    let points = analysis.scenario.points();
    let several = points.len() > 1;
    let columns = columns(analysis, &points, shown);
    let group = |&point: &f64| Group {
        title: several.then(|| point_title(analysis, point)),
        rows: analysis
            .subjects()
            .into_iter()
            .map(|subject| row(analysis, subject, &columns, point))
            .collect(),
    };
    Grid {
        caption: match shown {
            Columns::Main => "Main metrics: medians and spreads".to_owned(),
            Columns::All => "All metrics: medians and spreads".to_owned(),
        },
        corner: String::new(),
        with_spread: 0,
        groups: points.iter().map(group).collect(),
        columns: columns.iter().map(Column::title).collect(),
    }
}

/// A column of the full table.
enum Column<'r> {
    /// A metric.
    Metric(&'r Metric),
    /// The first metric, relative to the floor.
    ToFloor(&'r Metric),
    /// The first metric, relative to the bare loop of the kind.
    ToBare(&'r Metric),
}

impl Column<'_> {
    fn title(&self) -> String {
        match self {
            Self::Metric(metric) => header(metric),
            Self::ToFloor(_) => "× floor".to_owned(),
            Self::ToBare(_) => "× bare loop".to_owned(),
        }
    }

    fn cell(&self, analysis: &Analysis<'_>, subject: &Entrant, place: Place) -> Cell {
        match self {
            Self::Metric(metric) => {
                let (unit, _) = header_unit(metric);
                Cell::of(analysis.spread(&subject.name, metric, place), unit)
            }
            Self::ToFloor(metric) => Cell::of(analysis.to_floor(subject, metric, place), ""),
            Self::ToBare(metric) => Cell::of(analysis.to_baseline(subject, metric, place), ""),
        }
    }
}

/// The columns that have any figure.
fn columns<'r>(analysis: &Analysis<'r>, points: &[f64], shown: Columns) -> Vec<Column<'r>> {
    let mut columns = Vec::new();
    for (index, metric) in analysis.scenario.metrics.iter().enumerate() {
        if metric.detail && shown == Columns::Main {
            continue;
        }
        columns.push(Column::Metric(metric));
        if index == 0 {
            columns.push(Column::ToFloor(metric));
            columns.push(Column::ToBare(metric));
        }
    }
    columns.retain(|column| {
        let has_figure = |subject: &Entrant| {
            let cell = |&point: &f64| column.cell(analysis, subject, Place::Point(point));
            points.iter().map(cell).any(|cell| !cell.median.is_empty())
        };
        analysis.subjects().into_iter().any(has_figure)
    });
    columns
}

fn row(analysis: &Analysis<'_>, subject: &Entrant, columns: &[Column<'_>], point: f64) -> GridRow {
    let cell = |column: &Column<'_>| column.cell(analysis, subject, Place::Point(point));
    GridRow {
        subject: subject.name.clone(),
        cells: match analysis.scenario.void(&subject.name, point) {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(columns.iter().map(cell).collect()),
        },
    }
}

fn point_title(analysis: &Analysis<'_>, point: f64) -> String {
    match &analysis.scenario.axis {
        Some(axis) => on_axis(point, axis),
        None => words::number(point),
    }
}

/// The title of a metric's column, with its unit unless cells have it.
fn header(metric: &Metric) -> String {
    format!("{}{}", metric.title, header_unit(metric).1)
}

/// Splits a unit: what cells have, and what the header has. Units that change with size are in the cells.
fn header_unit(metric: &Metric) -> (&str, String) {
    match metric.unit.as_str() {
        scaled @ ("B" | "ns") => (scaled, String::new()),
        "" => ("", String::new()),
        fixed => ("", format!(", {fixed}")),
    }
}
