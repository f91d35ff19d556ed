//! Step 3: a poem's first line. The rest is never asked for, and the connection closes at once.
//!
//! ```sh
//! cargo run -p quatrain-streams --example step_3_title -- 127.0.0.1:10001
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;

use futures::{StreamExt, TryStreamExt};
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

/// Shows how the poem at the first of `addresses` begins.
pub(crate) async fn show(
    addresses: Vec<SocketAddr>,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let mut lines = lines(poem(addresses, Limits::default())).take(1);
    while let Some(line) = lines.try_next().await? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
