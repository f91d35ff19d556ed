//! Step 10: one fetch for many readers. The proxy fetches when the first of them asks, and has the poem for all.
//!
//! In one process [`FutureExt::shared`] does the same: a fetch is a value, so it can be shared before it has run, and it ends
//! when its last reader has been dropped.
//!
//! ```sh
//! cargo run -p quatrain-streams --example streams_10_proxy            # starts a poem server and a proxy of it; then shares one future
//! cargo run -p quatrain-streams --example streams_10_proxy -- 10001   # starts a proxy of the server at a port
//! ```

mod common;

use std::io::{Write, stdout};
use std::net::TcpListener;
use std::process::ExitCode;

use futures::{FutureExt, StreamExt};
use streams::joins::in_order;
use streams::{ProxyService, get_poetry, serve_proxy};

const READERS: usize = 3;

fn main() -> ExitCode {
    common::with_a_poem(async |upstream| {
        let service = ProxyService {
            upstream: upstream.clone(),
            ttl: None,
        };
        let proxy = serve_proxy(TcpListener::bind("127.0.0.1:0")?, service)?;
        let readers = [(); READERS].map(|()| get_poetry(proxy.address()));
        let poems: Vec<_> = in_order(readers, READERS).collect().await;

        let fetch = get_poetry(upstream).boxed().shared();
        let readers = [(); READERS].map(|()| fetch.clone());
        drop(fetch); // The readers alone keep it.
        let same: Vec<_> = in_order(readers, READERS).collect().await;

        let fetches = proxy.counters().fetches.begun;
        let poem = poems.into_iter().next().ok_or("no reader")??;
        let all = same
            .iter()
            .filter(|read| read.as_ref() == Ok(&poem))
            .count();
        write!(stdout(), "{poem}")?;
        writeln!(
            stdout(),
            "{READERS} readers, {fetches} fetch; {all} readers, 1 shared future"
        )?;
        Ok(())
    })
}
