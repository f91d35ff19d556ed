//! The rows of a scenario as CSV: one line for each, one column for each metric.

use std::io::{self, Write};

use crate::results::{Row, ScenarioResults};

/// Writes a header and all rows. A value that a row does not have is an empty field.
pub(super) fn write(scenario: &ScenarioResults, out: &mut impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    let metrics = scenario.metrics.iter().map(|metric| metric.name.as_str());
    let header = ["run", "round", "subject", "point"].into_iter();
    csv.write_record(header.chain(metrics).chain(["histogram", "void"]))?;
    for row in &scenario.rows {
        csv.write_record(record(scenario, row))?;
    }
    csv.flush()
}

fn record(scenario: &ScenarioResults, row: &Row) -> Vec<String> {
    let mut fields = vec![
        row.run.to_string(),
        row.round.to_string(),
        row.subject.clone(),
        row.point.to_string(),
    ];
    let value = |name: &str| row.values.get(name).map(f64::to_string).unwrap_or_default();
    fields.extend(scenario.metrics.iter().map(|metric| value(&metric.name)));
    fields.push(row.histogram.clone().unwrap_or_default());
    fields.push(row.void.clone().unwrap_or_default());
    fields
}
