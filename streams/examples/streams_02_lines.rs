//! Step 2: a poem, line by line. Each line is shown as soon as it has arrived.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_02_lines -- 10001
//! ```

mod common;

use std::io::{Write, stdout};
use std::process::ExitCode;

use futures::TryStreamExt;

fn main() -> ExitCode {
    common::with_a_poem(async |peer| {
        let mut lines = streams::lines(streams::poem(peer));
        while let Some(line) = lines.try_next().await? {
            writeln!(stdout(), "{line}")?;
        }
        Ok(())
    })
}
