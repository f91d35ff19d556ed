//! Step 3: a poem's first line. The rest is never asked for, and the connection closes at once.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_03_title -- 10001
//! ```

mod common;

use std::io::{Write, stdout};
use std::process::ExitCode;

use futures::{StreamExt, TryStreamExt};

// ANCHOR: title
fn main() -> ExitCode {
    common::with_a_poem(async |peer| {
        let mut lines = streams::lines(streams::poem(peer)).take(1);
        while let Some(line) = lines.try_next().await? {
            writeln!(stdout(), "{line}")?;
        }
        Ok(())
    })
}
// ANCHOR_END: title
