//! The scenarios in words, for `--list`.

use measure::scenario::{self, Extent};

/// The width of the text without a terminal.
const COLUMNS: usize = 100;
/// Before the text about a scenario.
const INDENT: &str = "  ";

/// Returns the scenarios, each with its question and what it teaches.
pub(super) fn scenarios(columns: Option<usize>) -> String {
    let width = columns.unwrap_or(COLUMNS).min(COLUMNS);
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
            wrap(sentence, width, &mut text);
        }
        text.push('\n');
    }
    text
}

fn wrap(sentence: &str, width: usize, text: &mut String) {
    let mut line = String::new();
    for word in sentence.split_whitespace() {
        if !line.is_empty() && INDENT.len() + line.len() + 1 + word.len() > width {
            *text += &format!("{INDENT}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    *text += &format!("{INDENT}{line}\n");
}
