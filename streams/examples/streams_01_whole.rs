//! Step 1: a poem, whole. Nothing is shown before all of it has arrived.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_01_whole -- 10001
//! ```

mod common;

use std::io::{Write, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    common::with_a_poem(async |peer| {
        let poem = streams::get_poetry(peer).await?;
        write!(stdout(), "{poem}")?;
        Ok(())
    })
}
