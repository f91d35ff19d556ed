//! Which rules were tested for which subject: a table, filled in as cases end.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Mutex, PoisonError};

use crate::case::Verdict;

/// The numbers of passed, skipped and failed cases for each rule and subject.
#[derive(Debug, Default)]
pub struct Coverage {
    cells: Mutex<BTreeMap<(usize, String), BTreeMap<String, Cell>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Cell {
    passed: u32,
    skipped: u32,
    failed: u32,
}

impl Coverage {
    /// Records the verdict of a case about `rules` for `subject`.
    pub fn record(&self, subject: &str, rules: &[&str], verdict: &Verdict) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules {
            let row = cells.entry((number(rule), (*rule).to_owned())).or_default();
            let cell = row.entry(subject.to_owned()).or_default();
            match verdict {
                Verdict::Passed => cell.passed += 1,
                Verdict::Skipped(_) => cell.skipped += 1,
                Verdict::Failed(_) => cell.failed += 1,
            }
        }
    }

    /// Returns the table, with a column for each of `subjects`.
    pub fn table<'a>(&'a self, subjects: &'a [String]) -> impl Display + 'a {
        Table {
            coverage: self,
            subjects,
        }
    }
}

/// Returns the number in `S17`, by which rules are sorted.
fn number(rule: &str) -> usize {
    rule.trim_start_matches(char::is_alphabetic)
        .parse()
        .unwrap_or(usize::MAX)
}

struct Table<'a> {
    coverage: &'a Coverage,
    subjects: &'a [String],
}

impl Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "coverage: cases passed, by rule (! failed, ~ skipped)")?;
        write!(out, "{:<6}", "rule")?;
        for subject in self.subjects {
            write!(out, " {subject:>12}")?;
        }
        writeln!(out)?;
        let cells = self
            .coverage
            .cells
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for ((_, rule), row) in cells.iter() {
            write!(out, "{rule:<6}")?;
            for subject in self.subjects {
                let cell = row.get(subject).copied().unwrap_or_default();
                write!(out, " {:>12}", cell.to_string())?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.passed)?;
        if self.failed > 0 {
            write!(out, " !{}", self.failed)?;
        }
        if self.skipped > 0 {
            write!(out, " ~{}", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_rule_in_order_and_a_column_for_each_subject() {
        let coverage = Coverage::default();
        coverage.record("actors", &["S10", "S2"], &Verdict::Passed);
        coverage.record(
            "actors",
            &["S2"],
            &Verdict::Skipped("needs counters".to_owned()),
        );
        coverage.record("blocking", &["S2"], &Verdict::Failed("no reply".to_owned()));
        let subjects = ["actors".to_owned(), "blocking".to_owned()];
        let table = coverage.table(&subjects).to_string();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "S2             1 ~1         0 !1",
                "S10               1            0"
            ]
        );
    }
}
