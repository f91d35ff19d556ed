//! Step 1: a poem, whole. Nothing is shown before all of it has come.
//!
//! ```sh
//! cargo run -p quatrain-streams --example step_1_whole -- 127.0.0.1:10001
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;

use poetry::Limits;
use streams::poem_client::get_poetry;

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
    let poem = get_poetry(addresses, Limits::default()).await?;
    write!(out, "{poem}")?;
    Ok(())
}
