//! Step 2: a poem, line by line. Each is shown as soon as it has come.
//!
//! ```sh
//! cargo run -p quatrain-streams --example step_2_lines -- 127.0.0.1:10001
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;

use futures::TryStreamExt;
use poetry::Limits;
use streams::lines::lines;
use streams::poem_client::poem;

fn main() -> Result<(), Box<dyn Error>> {
    let addresses: Result<Vec<SocketAddr>, _> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse())
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(show(addresses?, &mut stdout()))
}

/// Shows the poem at the first of `addresses`.
pub(crate) async fn show(
    addresses: Vec<SocketAddr>,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let mut lines = lines(poem(addresses, Limits::default()));
    while let Some(line) = lines.try_next().await? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
