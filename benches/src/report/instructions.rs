//! The report of a count of instructions.

use super::{Table, thousands, void_row};
use crate::instructions::Instructions;

/// Instructions per request, one line for every subject: its count, or why there is none.
pub fn instructions<'r>(
    counted: impl IntoIterator<Item = (&'r str, &'r Result<Instructions, String>)>,
) -> Table {
    let mut table = Table::new(&["", "instructions/request"]);
    let mut requests = None;
    for (name, result) in counted {
        table.rows.push(match result {
            Ok(count) => {
                requests = Some((count.few.0, count.many.0));
                vec![name.to_owned(), thousands(count.per_request())]
            }
            Err(problem) => void_row(name, problem),
        });
    }
    if let Some((few, many)) = requests {
        table.notes.push(format!(
            "User space only, by callgrind: the difference between runs of {} and {} requests. Every byte of every \
             reply was compared.",
            thousands(few as f64),
            thousands(many as f64)
        ));
    }
    table
}
