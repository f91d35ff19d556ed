//! Poems that are replaced while they are served (S8).

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::failure::{Check, During, Failure, ensure};
use crate::faults::{Content, Daemon, FaultContext, Observed, fault_cases};
use crate::wire::{netstring, text};

fault_cases! { "poems replaced under load":
    keeps_every_connection_and_every_reply_whole [S8] for [LibraryServer],
}

fn keeps_every_connection_and_every_reply_whole(context: &FaultContext) -> Check<Observed> {
    const CLIENTS: usize = 4;
    const RELOADS: usize = 40;
    let poems = [text(50_000), text(50_000).to_uppercase()];
    let server = Arc::new(context.server(Content::Poem(poems[0].clone())).start()?);
    let replies: Arc<[Vec<u8>]> = poems.iter().map(netstring).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (server, replies, stop) =
                (Arc::clone(&server), Arc::clone(&replies), Arc::clone(&stop));
            thread::spawn(move || read_replies(&server, &replies, &stop))
        })
        .collect();
    for reload in 1..=RELOADS {
        replace(&server, &poems[reload % 2])?;
        server.signal(Signal::SIGHUP)?;
        server.serves_one_of(&replies)?;
    }
    replace(&server, &poems[1])?;
    server.signal(Signal::SIGHUP)?;
    let deadline = Instant::now() + server.patience();
    while server.serves_one_of(&replies)? != 1 {
        ensure(Instant::now() < deadline, || {
            "the new poem is never served".to_owned()
        })?;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        let joined = client.join();
        joined.map_err(|_| Failure::broken("a client panicked"))??;
    }
    server.settled()?;
    server.stop()?;
    Ok(
        Observed::that("every reply was one of the two poems, whole")
            .and("no connection was closed")
            .and("the new poem was served in the end"),
    )
}

/// Requests the poem over one connection until `stop`.
fn read_replies(server: &Daemon, replies: &[Vec<u8>], stop: &AtomicBool) -> Check {
    let mut client = server.connect()?;
    while !stop.load(Ordering::SeqCst) {
        client.send(&server.question())?;
        // Both replies have the same length.
        let received = client.receive(replies[0].len())?;
        ensure(replies.contains(&received), || {
            "a reply is neither of the two poems".to_owned()
        })?;
    }
    Ok(())
}

/// Replaces the poem's file at once, so that the server never reads a part of it.
fn replace(server: &Daemon, poem: &str) -> Check {
    let (file, new) = (server.file("library/poem.txt"), server.file("new"));
    fs::write(&new, poem).during("writing a poem")?;
    fs::rename(&new, &file).during("replacing a poem")
}
