//! Floods: more than a server wants to read (S4, S5, S7, S24).

use std::thread;

use crate::connection::Connection;
use crate::failure::{Check, Failure, ensure, same_bytes};
use crate::faults::in_flight::InFlight;
use crate::faults::{Content, FaultContext, FaultRole, Observed, fault_cases, process};
use crate::peers::floods::SendsForever;
use crate::wire::{netstring, request};

fault_cases! {
    "floods of empty frames":
    refuses_a_flood_of_empty_frames [S4 S7] for [TransformServer LibraryServer],
    "floods of requests":
    leaves_others_their_turn_in_a_flood_of_requests [S5 S24] for [TransformServer LibraryServer],
    "floods of input that nothing asked for":
    discards_a_flood_of_input [S1] for [PoemServer] [S1 S9] for [Proxy] marks [Linux],
}

fn refuses_a_flood_of_empty_frames(context: &FaultContext) -> Check<Observed> {
    let server = context.server(Content::Quick).start()?;
    let flood = b"0:,".repeat(10_000);
    let mut peers = (0..10)
        .map(|_| server.connect())
        .collect::<Check<Vec<Connection>>>()?;
    for peer in &mut peers {
        peer.send(&flood)?;
    }
    server.serves()?;
    for peer in &mut peers {
        let closed = SendsForever.until_closed(peer);
        ensure(closed.is_some(), || "the flood is read for ever".to_owned())?;
    }
    drop(peers);
    let counts = server.settled()?;
    server.stop()?;
    Ok(
        Observed::that("each flood was refused at its first frame, and its connection closed")
            .and("other clients were served")
            .closed(counts.as_ref()),
    )
}

fn leaves_others_their_turn_in_a_flood_of_requests(context: &FaultContext) -> Check<Observed> {
    const REQUESTS: usize = 100_000;
    const OTHERS: usize = 20;
    let server = context.server(Content::Poem("x".to_owned())).start()?;
    let (question, answer) = match context.role() {
        FaultRole::TransformServer => (request("shout", ""), netstring("")),
        _ => (server.question(), server.answer()),
    };
    let mut reader = server.connect()?;
    let mut writer = reader.second_handle()?;
    let sender = thread::spawn(move || {
        writer.send(&question.repeat(REQUESTS))?;
        writer.half_close()
    });
    for _ in 0..OTHERS {
        server.serves()?;
    }
    let received = reader.receive_to_fin()?;
    same_bytes(
        "the replies to the flood",
        &received,
        &answer.repeat(REQUESTS),
    )?;
    sender
        .join()
        .map_err(|_| Failure::broken("the sender panicked"))??;
    drop(reader);
    let counts = server.settled()?;
    server.stop()?;
    Ok(Observed::that(format!(
        "{OTHERS} clients were answered beside {REQUESTS} pipelined requests, which were all answered too"
    ))
    .closed(counts.as_ref()))
}

fn discards_a_flood_of_input(context: &FaultContext) -> Check<Observed> {
    const MEMORY_MAX: u64 = 1 << 20;
    let flood = vec![b'x'; 20 << 20];
    let (server, mut in_flight) = InFlight::start(context, 1, |launch| launch)?;
    let before = process::memory(server.id())?;
    for client in in_flight.clients() {
        client.send(&flood)?;
    }
    let more = process::memory(server.id())?.saturating_sub(before);
    ensure(more <= MEMORY_MAX, || {
        format!("20 MiB of input take {} KiB of memory", more >> 10)
    })?;
    in_flight.finish()?;
    server.stop()?;
    Ok(
        Observed::that("20 MiB of input took less than 1 MiB of memory")
            .and("the poem arrived whole"),
    )
}
