//! Step 5: many poems at once, their lines as they arrive. Only the join differs from step 4.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_05_as_they_come -- 10001 10002
//! ```

mod common;

use std::io::{Write, stdout};
use std::process::ExitCode;

use futures::TryStreamExt;
use streams::joins::as_they_come;
use streams::{lines, poem};

fn main() -> ExitCode {
    common::with_poems(async |peers| {
        let poems = peers.into_iter().map(|peer| lines(poem(peer)));
        let mut lines = as_they_come(poems);
        while let Some(line) = lines.try_next().await? {
            writeln!(stdout(), "{line}")?;
        }
        Ok(())
    })
}
