//! Tables that fit the terminal: as they are, with titles in several lines and as many columns as fit, turned on their side, or as
//! one block for each row.

use measure::report::Table;

use crate::terminal;

/// Columns of a line of notes where the width is not limited: about as wide as the tables.
pub(crate) const NOTE_COLUMNS: usize = 100;

/// Writes `table` for stdout: as wide as its terminal, or of any width.
pub(crate) fn for_stdout(table: &Table) -> String {
    render(table, terminal::stdout_columns())
}

/// Writes `table` for stdout: in its terminal with as many columns as fit, the first ones, but at least a few.
pub(crate) fn first_columns_for_stdout(table: &Table) -> String {
    first_columns(table, terminal::stdout_columns())
}

/// Fewer columns would say nothing beside the name: a figure, its spread and two ratios.
const COLUMNS_MIN: usize = 5;

fn first_columns(table: &Table, columns: Option<usize>) -> String {
    if columns.is_none() {
        return render(table, None);
    }
    let mut cut = table.clone();
    loop {
        let mut shown = with_low_header(&cut);
        shown.notes = Vec::new();
        let text = shown.to_string();
        if fits(&text, columns) {
            return text + &wrapped_notes(table, columns);
        }
        if cut.header.len() <= COLUMNS_MIN {
            return render(table, columns);
        }
        cut_column(&mut cut);
    }
}

/// Removes the last column. The finding has the reason of a row without figures.
fn cut_column(table: &mut Table) {
    for row in &mut table.rows {
        match row.len() == table.header.len() {
            true => drop(row.pop()),
            false => row[1..].fill("void".to_owned()),
        }
    }
    table.header.pop();
}

/// Breaks the titles of columns that are wider than the figures below them.
fn with_low_header(table: &Table) -> Table {
    let whole = |row: &&Vec<String>| row.len() == table.header.len();
    let title = |(column, title): (usize, &String)| {
        let cells = table.rows.iter().filter(whole).map(|row| &row[column]);
        let width = |text: &str| text.chars().count();
        let figures = cells.map(|cell| width(cell)).max().unwrap_or(0);
        let words = title.split(' ').map(width).max().unwrap_or(0);
        let broken = wrap(title, figures.max(words));
        broken.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let titles: Vec<Vec<String>> = table.header.iter().enumerate().map(title).collect();
    let height = titles.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let of = |title: &Vec<String>| {
            let above = height - title.len();
            index
                .checked_sub(above)
                .map_or("", |own| &title[own])
                .to_owned()
        };
        titles.iter().map(of).collect::<Vec<String>>()
    };
    let mut lines = (0..height).map(line);
    Table {
        header: lines.next().unwrap_or_default(),
        rows: lines.chain(table.rows.iter().cloned()).collect(),
        notes: table.notes.clone(),
    }
}

fn wrapped_notes(table: &Table, columns: Option<usize>) -> String {
    let width = note_columns(columns);
    let notes = table.notes.iter();
    notes
        .map(|note| format!("\n{}", wrap(note, width)))
        .collect()
}

/// Returns the columns of a line of notes on a terminal of so many, or without one.
pub(crate) fn note_columns(columns: Option<usize>) -> usize {
    columns.map_or(NOTE_COLUMNS, |columns| columns.min(NOTE_COLUMNS))
}

fn fits(text: &str, columns: Option<usize>) -> bool {
    columns.is_none_or(|columns| text.lines().all(|line| line.chars().count() <= columns))
}

/// Writes `table` in at most `columns` if that is possible; `None` means any width.
pub(crate) fn render(table: &Table, columns: Option<usize>) -> String {
    let rows = Table {
        notes: Vec::new(),
        ..table.clone()
    };
    let as_it_is = rows.to_string();
    let rendered = if fits(&as_it_is, columns) {
        as_it_is
    } else {
        let sideways = transpose(&rows).map(|table| table.to_string());
        match sideways.filter(|text| fits(text, columns)) {
            Some(sideways) => sideways,
            None => blocks(&rows, columns.unwrap_or(NOTE_COLUMNS)),
        }
    };
    rendered + &wrapped_notes(table, columns)
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
    fn columns_that_do_not_fit_are_left_out_from_the_last() {
        let width = |text: &str| text.lines().map(|line| line.chars().count()).max();
        let mut wide = table();
        wide.header
            .extend(["far right".to_owned(), "last".to_owned()]);
        for row in &mut wide.rows {
            row.extend(["1 µs".to_owned(), "2 µs".to_owned()]);
        }
        wide.rows[1] = vec![
            "actors".to_owned(),
            "void: a reason of some length".to_owned(),
        ];
        let text = first_columns(&wide, Some(60));
        let titles = "                        one\n                      after     peak    far\n\
                      model      elapsed  another   memory  right  last\n";
        assert!(text.starts_with(titles), "{text}");
        let text = first_columns(&wide, Some(48));
        assert!(width(&text) <= Some(48), "{text}");
        assert!(text.contains("right") && !text.contains("last"), "{text}");
        assert!(text.contains("actors     void\n"), "{text}");
        assert!(text.ends_with("too long for a\nline.\n"), "{text}");
        // With even fewer every figure is in a block.
        let text = first_columns(&wide, Some(25));
        assert!(
            text.contains("last: 2 µs") && text.contains("  void: a reason"),
            "{text}"
        );
        assert!(first_columns(&wide, None).starts_with("model      elapsed  one after another"));
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
