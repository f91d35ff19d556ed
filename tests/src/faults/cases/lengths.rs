//! Announced lengths that the peer never sends (S2).

use crate::connection::Connection;
use crate::failure::{Check, ensure};
use crate::faults::{Content, FaultContext, Observed, fault_cases, process};

fault_cases! {
    "huge announced lengths":
    allocates_nothing_for_an_announced_length [S2] for [TransformServer LibraryServer] marks [Linux],
}

fn allocates_nothing_for_an_announced_length(context: &FaultContext) -> Check<Observed> {
    const PEERS: usize = 50;
    const ANNOUNCED: usize = 1 << 30;
    const SENT: usize = 1_000;
    const BYTES_EACH_MAX: u64 = 128 << 10;
    let server = context
        .server(Content::Quick)
        .limits(|limits| limits.frame_bytes_max = ANNOUNCED)
        .start()?;
    server.serves()?;
    let before = process::memory(server.id())?;
    let announcement = [format!("{ANNOUNCED}:").into_bytes(), vec![b'x'; SENT]].concat();
    let mut peers: Vec<Connection> = Vec::new();
    for _ in 0..PEERS {
        let mut peer = server.connect()?;
        peer.send(&announcement)?;
        peers.push(peer);
    }
    server.wait_until("the announcements read", |counts| {
        counts.bytes_in >= (PEERS * announcement.len()) as u64
    })?;
    let each = process::memory(server.id())?.saturating_sub(before) / PEERS as u64;
    ensure(each <= BYTES_EACH_MAX, || {
        format!("an announcement costs {} KiB", each >> 10)
    })?;
    server.serves()?;
    drop(peers);
    server.settled()?;
    server.stop()?;
    Ok(Observed::that(format!(
        "{PEERS} peers that announced a gibibyte cost at most 128 KiB each"
    ))
    .and("other clients were served"))
}
