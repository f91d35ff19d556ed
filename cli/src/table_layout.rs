//! Tables that fit the terminal: as they are, turned on their side, or as one block for each row.

use measure::report::Table;

use crate::terminal;

/// Columns of a line of notes where the width is not limited: about as wide as the tables.
pub(crate) const NOTE_COLUMNS: usize = 100;

/// Writes `table` for stdout: as wide as its terminal, or of any width.
pub(crate) fn for_stdout(table: &Table) -> String {
    render(table, terminal::stdout_columns())
}

/// Writes `table` in at most `columns` if that is possible; `None` means any width.
pub(crate) fn render(table: &Table, columns: Option<usize>) -> String {
    let notes: Vec<String> = table
        .notes
        .iter()
        .map(|note| {
            wrap(
                note,
                columns.map_or(NOTE_COLUMNS, |columns| columns.min(NOTE_COLUMNS)),
            )
        })
        .collect();
    let rows = Table {
        notes: Vec::new(),
        ..table.clone()
    };
    let fits = |text: &str| {
        let width = |line: &str| line.chars().count();
        columns.is_none_or(|columns| text.lines().all(|line| width(line) <= columns))
    };
    let as_it_is = rows.to_string();
    let mut rendered = if fits(&as_it_is) {
        as_it_is
    } else {
        let sideways = transpose(&rows).map(|table| table.to_string());
        match sideways.filter(|text| fits(text)) {
            Some(sideways) => sideways,
            None => blocks(&rows, columns.unwrap_or(NOTE_COLUMNS)),
        }
    };
    for note in notes {
        rendered += "\n";
        rendered += &note;
    }
    rendered
}

/// Turns rows into columns. A row without figures cannot be turned.
fn transpose(table: &Table) -> Option<Table> {
    let whole = |row: &&Vec<String>| row.len() == table.header.len();
    let rows: Vec<&Vec<String>> = [&table.header]
        .into_iter()
        .chain(table.rows.iter().filter(whole))
        .collect();
    if rows.len() != table.rows.len() + 1 {
        return None;
    }
    let line = |column: usize| rows.iter().map(|row| row[column].clone()).collect();
    let mut lines = (0..table.header.len()).map(line);
    Some(Table {
        header: lines.next()?,
        rows: lines.collect(),
        ..Table::default()
    })
}

/// Writes a block for each row: its name, and a line for each figure.
fn blocks(table: &Table, columns: usize) -> String {
    let mut text = String::new();
    for row in &table.rows {
        let mut cells = row.iter();
        text += &wrap(cells.next().map_or("", String::as_str), columns);
        for (index, cell) in cells.enumerate() {
            let columns = columns.saturating_sub(2);
            let figure = match (row.len() == table.header.len(), table.header.get(index + 1)) {
                (true, Some(name)) => {
                    let length = name.chars().count() + 2 + cell.chars().count();
                    // A figure is not separated from its unit.
                    let space = if length <= columns { " " } else { "\n" };
                    format!("{name}:{space}{cell}")
                }
                _ => cell.clone(),
            };
            for line in wrap(&figure, columns).lines() {
                text += &format!("  {line}\n");
            }
        }
    }
    text
}

/// Breaks `text` into lines of at most `columns`. A longer word has a line of its own.
pub(crate) fn wrap(text: &str, columns: usize) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut length = 0;
        for word in line.split(' ') {
            let chars = word.chars().count();
            if length > 0 && length + 1 + chars > columns {
                wrapped.push('\n');
                length = 0;
            } else if length > 0 {
                wrapped.push(' ');
                length += 1;
            }
            wrapped += word;
            length += chars;
        }
        wrapped.push('\n');
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["model", "elapsed", "one after another", "peak memory"]);
        table.rows = ["callbacks", "actors", "streams", "blocking"]
            .map(|model| {
                vec![
                    model.to_owned(),
                    "2.20 s".into(),
                    "5.28 s".into(),
                    "4.6 MiB".into(),
                ]
            })
            .to_vec();
        table.notes = vec!["Words that say how it was done, too long for a line.".to_owned()];
        table
    }

    #[test]
    fn a_table_fits_the_width_and_keeps_every_figure() {
        for columns in [25, 47, 58, 80, 200] {
            let text = render(&table(), Some(columns));
            for line in text.lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
            for (words, times) in [("2.20 s", 4), ("4.6 MiB", 4), ("blocking", 1), ("how", 1)] {
                assert_eq!(text.matches(words).count(), times, "{columns}: {text}");
            }
        }
    }

    #[test]
    fn a_figure_stays_on_the_line_of_its_unit() {
        let text = render(&table(), Some(25));
        assert!(text.contains("  one after another:\n  5.28 s\n"), "{text}");
    }

    #[test]
    fn a_pipe_gets_the_table_as_it_is() {
        let text = render(&table(), None);
        assert!(text.starts_with("model "), "{text}");
        assert_eq!(text.lines().next().unwrap().matches("  ").count(), 5);
    }

    #[test]
    fn a_row_without_figures_keeps_its_reason() {
        let mut table = table();
        table.rows[1] = vec![
            "actors".to_owned(),
            "void: a reason of some length".to_owned(),
        ];
        let text = render(&table, Some(25));
        assert!(
            text.contains("actors\n  void: a reason of some\n  length\n"),
            "{text}"
        );
    }
}
