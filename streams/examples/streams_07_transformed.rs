//! Step 7: whole poems, each transformed by the server at the last address as soon as it has arrived. The first failure
//! ends the step and cancels the other fetches.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_07_transformed -- 10001 10002 11000
//! ```

mod common;

use std::io::{Write, stdout};
use std::process::ExitCode;

use futures::TryStreamExt;
use poetry::limits::FETCHES_MAX;
use streams::joins::as_they_end;
use streams::{get_poetry, transform};

fn main() -> ExitCode {
    common::with_poems_and_transforms(async |peers, via| {
        let poems = peers.into_iter().map(async |peer| {
            let poem = get_poetry(peer).await?;
            transform(via.clone(), "cummingsify", poem.as_str()).await
        });
        let mut poems = as_they_end(poems, FETCHES_MAX);
        while let Some(poem) = poems.try_next().await? {
            write!(stdout(), "{poem}")?;
        }
        Ok(())
    })
}
