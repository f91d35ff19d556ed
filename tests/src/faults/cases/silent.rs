//! Silent peers: connected, and nothing more (S18).

use std::time::Duration;

use crate::connection::Connection;
use crate::failure::{Check, equal};
use crate::faults::clients::ends;
use crate::faults::{Content, FaultContext, Observed, fault_cases};

fault_cases! {
    "silent peers":
    closes_silent_connections_after_the_idle_timeout [S18] for [TransformServer LibraryServer],
}

fn closes_silent_connections_after_the_idle_timeout(context: &FaultContext) -> Check<Observed> {
    const PEERS: usize = 50;
    let launch = context.server(Content::Quick);
    let server = launch
        .limits(|limits| limits.idle_timeout = Duration::from_secs(1))
        .start()?;
    let mut peers: Vec<Connection> = (0..PEERS).map(|_| server.connect()).collect::<Check<_>>()?;
    server.serves()?;
    let ends = ends(&mut peers)?;
    let counts = server.settled()?;
    if let Some(counts) = &counts {
        equal("closed as idle", &counts.closed.idle, &(PEERS as u64))?;
    }
    server.serves()?;
    server.stop()?;
    Ok(Observed::that("other clients were served")
        .ends("silent connection", &ends)
        .closed(counts.as_ref()))
}
