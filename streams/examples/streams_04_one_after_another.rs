//! Step 4: many poems, one after another. The second is not asked for before the first has ended. The first failure ends
//! the step.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_04_one_after_another -- 10001 10002
//! ```

mod common;

use std::io::{Write, stdout};
use std::process::ExitCode;

use futures::TryStreamExt;
use streams::joins::one_after_another;
use streams::{lines, poem};

// ANCHOR: one_after_another
fn main() -> ExitCode {
    common::with_poems(async |peers| {
        let poems = peers.into_iter().map(|peer| lines(poem(peer)));
        let mut lines = one_after_another(poems);
        while let Some(line) = lines.try_next().await? {
            writeln!(stdout(), "{line}")?;
        }
        Ok(())
    })
}
// ANCHOR_END: one_after_another
