//! The scenarios in words, for `--list`.

use measure::scenario::{self, Extent};

use crate::table_layout::{note_columns, wrap};

/// Before the text about a scenario.
const INDENT: &str = "  ";

/// Returns the scenarios, each with its question and what it teaches.
pub(super) fn scenarios(columns: Option<usize>) -> String {
    let width = note_columns(columns);
    let mut text = String::new();
    for scenario in scenario::all() {
        let about = scenario.about(Extent::Full);
        let quick = if about.quick {
            " (also in the quick run)"
        } else {
            ""
        };
        text += &format!("{}{quick}\n", about.name);
        for sentence in [about.question, about.lesson] {
            for line in wrap(sentence, width.saturating_sub(INDENT.len())).lines() {
                text += &format!("{INDENT}{line}\n");
            }
        }
        text.push('\n');
    }
    text
}
