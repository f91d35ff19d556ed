//! Step 6: the same, read aloud: at most one line every ten milliseconds, so the servers wait for the reader.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_06_read_aloud -- 10001 10002
//! ```

mod common;

use std::io::{Write, stdout};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures::TryStreamExt;
use streams::joins::as_they_come;
use streams::{lines, poem};
use tokio_stream::StreamExt;

fn main() -> ExitCode {
    common::with_poems(async |peers| {
        let poems = peers.into_iter().map(|peer| lines(poem(peer)));
        let mut lines = pin!(as_they_come(poems).throttle(Duration::from_millis(10)));
        // In full, because tokio-stream's `StreamExt` has a `try_next` too.
        while let Some(line) = TryStreamExt::try_next(&mut lines).await? {
            writeln!(stdout(), "{line}")?;
        }
        Ok(())
    })
}
