//! Step 4: many poems, one after another. The second is not asked for before the first has ended.
//!
//! ```sh
//! cargo run -p quatrain-streams --example step_4_in_order -- 127.0.0.1:10001 127.0.0.1:10002
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;

use futures::TryStreamExt;
use poetry::Limits;
use streams::joins::one_after_another;
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

/// Shows the poems at `addresses`.
pub(crate) async fn show(
    addresses: Vec<SocketAddr>,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    let poems = addresses
        .into_iter()
        .map(|address| lines(poem(vec![address], Limits::default())));
    let mut lines = one_after_another(poems);
    while let Some(line) = lines.try_next().await? {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
