//! Step 7: whole poems, each transformed by the server at the last address as soon as it has come.
//!
//! ```sh
//! cargo run -p quatrain-streams --example step_7_transformed -- 127.0.0.1:10001 127.0.0.1:10002 127.0.0.1:11000
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;

use futures::TryStreamExt;
use poetry::Limits;
use streams::joins::as_they_end;
use streams::poem_client::get_poetry;
use streams::transform_client::transform;

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

/// Shows the poems at `addresses`, but the last, which is the transform server's.
pub(crate) async fn show(
    addresses: Vec<SocketAddr>,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let (via, addresses) = addresses.split_last().ok_or("no address")?;
    let poems = addresses.iter().map(|&address| async move {
        let limits = Limits::default();
        let poem = get_poetry(vec![address], limits.clone()).await?;
        transform(vec![*via], "cummingsify", &poem, &limits).await
    });
    let mut poems = as_they_end(poems, Limits::default().fetches_max);
    while let Some(poem) = poems.try_next().await? {
        write!(out, "{poem}")?;
    }
    Ok(())
}
