//! A client fetches poems by name from a library (S8): one netstring with the name, one netstring with the poem.

use std::sync::Arc;
use std::time::Duration;

use poetry::error::Timeout;
use poetry::{FetchFailure, FetchRequest, Kind, Limits};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, equal, same_bytes};
use crate::fake_servers::{
    ClosesWithoutReply, FakeServer, Listener, NeverReplies, Replies, RepliesGarbage,
    RepliesThenResets, ResetsOnRequest,
};
use crate::fetching::{expect_failure, expect_poem, named};
use crate::journal::bytes_read;
use crate::wire::{NON_ASCII, netstring, request, text};

cases! { PoemClient:
    #[smoke] a_named_fetch_sends_one_netstring_and_takes_the_reply [S8],
    a_named_fetch_does_not_wait_for_the_library_to_close [S8 S5],
    a_named_fetch_does_not_finish_sending_before_the_whole_reply [S8 S6],
    a_named_poem_sent_byte_by_byte_arrives_unchanged [S8 S12],
    an_empty_named_poem_is_a_poem [S8],
    a_named_poem_longer_than_a_frame_arrives_whole [S8 S15],
    a_named_poem_exactly_at_the_limit_is_accepted [S8 S15],
    a_named_poem_over_the_limit_is_too_long_before_it_arrives [S8 S11 S15],
    a_library_that_closes_without_a_byte_has_refused [S8 S11 S4],
    #[smoke] a_named_poem_cut_short_is_not_a_poem [S8 S11],
    a_reply_of_a_library_that_is_no_netstring_is_garbled [S8 S11 S2],
    a_named_poem_that_is_not_utf8_is_reported_with_its_offset [S8 S11 S12],
    a_named_fetch_that_is_reset_is_lost [S8 S11],
    a_named_poem_followed_by_a_reset_is_a_poem [S8 S11],
    a_library_that_never_replies_times_out [S8 S11 S15],
    a_named_fetch_counts_and_reports_the_bytes_of_the_wire [S8 S10] needs [Events],
    a_named_fetch_reports_the_events_of_a_fetch [S8 S10] needs [Events],
    named_poems_arrive_at_once_and_in_request_order [S8 S10],
    a_cancelled_named_fetch_closes_its_socket_at_once [S8 S14],
    a_named_poem_is_transformed [S8 S13],
}

/// The request for the poem called `star`.
const REQUEST: &[u8] = b"4:star,";

fn star(server: &FakeServer) -> FetchRequest {
    named(server.address(), "star")
}

fn replies(reply: Vec<u8>) -> Check<FakeServer> {
    FakeServer::start(Replies {
        request_bytes: REQUEST.len(),
        reply,
    })
}

fn a_named_fetch_sends_one_netstring_and_takes_the_reply(context: &Context) -> Check {
    let library = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![named(library.address(), "Der Erlkönig")]);
    let mut server = library.accept()?;
    let expected = netstring("Der Erlkönig");
    same_bytes("the request", &server.receive(expected.len())?, &expected)?;
    server.send(&netstring(NON_ASCII))?;
    server.half_close()?;
    let (more, _) = server.receive_to_end()?;
    same_bytes("the bytes after the request", &more, b"")?;
    expect_poem(&fetching.outcome()?, NON_ASCII)
}

fn a_named_fetch_does_not_wait_for_the_library_to_close(context: &Context) -> Check {
    let library = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![named(library.address(), "star")]);
    let mut server = library.accept()?;
    server.receive(REQUEST.len())?;
    server.send(&netstring("Stars fall."))?;
    // The library keeps the connection open; the client closes it.
    server.expect_closed()?;
    expect_poem(&fetching.outcome()?, "Stars fall.")
}

fn a_named_fetch_does_not_finish_sending_before_the_whole_reply(context: &Context) -> Check {
    let library = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![named(library.address(), "star")]);
    let mut server = library.accept()?;
    server.receive(REQUEST.len())?;
    server.send(b"11:Stars ")?;
    fetching.wait_read(0, 9)?;
    equal(
        "whether the client has finished sending",
        &server.is_readable()?,
        &false,
    )?;
    server.send(b"fall.,")?;
    expect_poem(&fetching.outcome()?, "Stars fall.")
}

fn a_named_poem_sent_byte_by_byte_arrives_unchanged(context: &Context) -> Check {
    let library = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![named(library.address(), "star")]);
    let mut server = library.accept()?;
    server.receive(REQUEST.len())?;
    for (sent, byte) in netstring(NON_ASCII).chunks(1).enumerate() {
        server.send(byte)?;
        // Each byte waits until the client has read the one before, so every split is seen.
        fetching.wait_read(0, sent as u64 + 1)?;
    }
    expect_poem(&fetching.outcome()?, NON_ASCII)
}

fn an_empty_named_poem_is_a_poem(context: &Context) -> Check {
    let library = replies(netstring(""))?;
    expect_poem(&context.client()?.fetch_one(star(&library))?, "")
}

fn a_named_poem_longer_than_a_frame_arrives_whole(context: &Context) -> Check {
    let poem = text(20 << 20);
    let library = replies(netstring(&poem))?;
    expect_poem(&context.client()?.fetch_one(star(&library))?, &poem)
}

fn a_named_poem_exactly_at_the_limit_is_accepted(context: &Context) -> Check {
    let library = replies(netstring(text(70_000)))?;
    let client = context.client_with(|limits| limits.poem_bytes_max = 70_000)?;
    expect_poem(&client.fetch_one(star(&library))?, &text(70_000))
}

/// Fetches from `library` and expects a failure that `fits`.
fn fails(
    context: &Context,
    library: &FakeServer,
    change: impl FnOnce(&mut Limits),
    what: &str,
    fits: impl Fn(&FetchFailure) -> bool,
) -> Check {
    let outcome = context.client_with(change)?.fetch_one(star(library))?;
    expect_failure(&outcome, what, &library.address().to_string(), fits)
}

fn unchanged(_: &mut Limits) {}

fn a_named_poem_over_the_limit_is_too_long_before_it_arrives(context: &Context) -> Check {
    // Only the length comes, and then nothing.
    let library = Listener::new()?;
    let client = context.client_with(|limits| limits.poem_bytes_max = 1_000)?;
    let fetching = client.start(vec![named(library.address(), "star")]);
    let mut server = library.accept()?;
    server.receive(REQUEST.len())?;
    server.send(b"1001:")?;
    server.expect_closed()?;
    let address = library.address().to_string();
    expect_failure(&fetching.outcome()?, "too long", &address, |failure| {
        *failure == FetchFailure::TooLong { limit: 1_000 }
    })
}

fn a_library_that_closes_without_a_byte_has_refused(context: &Context) -> Check {
    let library = FakeServer::start(ClosesWithoutReply(REQUEST.len()))?;
    fails(context, &library, unchanged, "refused", |failure| {
        *failure == FetchFailure::Refused
    })
}

fn a_named_poem_cut_short_is_not_a_poem(context: &Context) -> Check {
    for part in ["1", "11:", "11:Stars ", "11:Stars fall."] {
        let library = replies(part.into())?;
        fails(context, &library, unchanged, "cut short", |failure| {
            *failure == FetchFailure::CutShort
        })?;
    }
    Ok(())
}

fn a_reply_of_a_library_that_is_no_netstring_is_garbled(context: &Context) -> Check {
    let library = FakeServer::start(RepliesGarbage(REQUEST.len()))?;
    fails(
        context,
        &library,
        unchanged,
        "garbled at byte 0",
        |failure| matches!(failure, FetchFailure::Garbled(error) if error.at == 0),
    )
}

fn a_named_poem_that_is_not_utf8_is_reported_with_its_offset(context: &Context) -> Check {
    let library = replies(netstring(b"caf\xe9"))?;
    fails(
        context,
        &library,
        unchanged,
        "not UTF-8 at byte 3",
        |failure| *failure == FetchFailure::NotUtf8 { at: 3 },
    )
}

fn a_named_fetch_that_is_reset_is_lost(context: &Context) -> Check {
    let lost = |failure: &FetchFailure| matches!(failure, FetchFailure::ConnectionLost { .. });
    let library = FakeServer::start(ResetsOnRequest(REQUEST.len()))?;
    fails(context, &library, unchanged, "connection lost", lost)?;
    // In the middle of the reply too.
    let library = FakeServer::start(RepliesThenResets {
        request_bytes: REQUEST.len(),
        reply: b"11:Stars ".to_vec(),
        with_fin: false,
    })?;
    fails(context, &library, unchanged, "connection lost", lost)
}

fn a_named_poem_followed_by_a_reset_is_a_poem(context: &Context) -> Check {
    for with_fin in [true, false] {
        let library = FakeServer::start(RepliesThenResets {
            request_bytes: REQUEST.len(),
            reply: netstring(text(30_000)),
            with_fin,
        })?;
        expect_poem(&context.client()?.fetch_one(star(&library))?, &text(30_000))?;
    }
    Ok(())
}

fn a_library_that_never_replies_times_out(context: &Context) -> Check {
    let library = FakeServer::start(NeverReplies(REQUEST.len()))?;
    let short = |limits: &mut Limits| limits.idle_timeout = Duration::from_millis(300);
    fails(context, &library, short, "timed out, idle", |failure| {
        *failure == FetchFailure::TimedOut(Timeout::Idle)
    })?;
    let short = |limits: &mut Limits| limits.total_deadline = Some(Duration::from_millis(300));
    fails(context, &library, short, "timed out, total", |failure| {
        *failure == FetchFailure::TimedOut(Timeout::Total)
    })
}

fn a_named_fetch_counts_and_reports_the_bytes_of_the_wire(context: &Context) -> Check {
    let wire = netstring(text(300_000));
    let library = replies(wire.clone())?;
    let fetching = context.client()?.start(vec![star(&library)]);
    let journal = Arc::clone(fetching.journal());
    let outcome = fetching.outcome()?;
    let bytes = wire.len() as u64;
    equal("the bytes of the outcome", &outcome.bytes, &bytes)?;
    equal(
        "the bytes of the read events",
        &bytes_read(&journal.events()),
        &bytes,
    )
}

fn a_named_fetch_reports_the_events_of_a_fetch(context: &Context) -> Check {
    let library = replies(netstring("Stars fall."))?;
    let fetching = context.client()?.start(vec![star(&library)]);
    let journal = Arc::clone(fetching.journal());
    fetching.outcome()?;
    let mut kinds = journal.kinds_of(0);
    kinds.retain(|kind| !matches!(kind, Kind::Wrote { .. }));
    let expected = [
        Kind::Connecting,
        Kind::Connected,
        Kind::Read { bytes: 15 },
        Kind::Finished { bytes: 11 },
    ];
    equal(
        "the reported events",
        &kinds.as_slice(),
        &expected.as_slice(),
    )
}

fn named_poems_arrive_at_once_and_in_request_order(context: &Context) -> Check {
    let library = Listener::new()?;
    let names: Vec<String> = (0..10).map(|number| format!("poem {number}")).collect();
    let requests = names.iter().map(|name| named(library.address(), name));
    let fetching = context.client()?.start(requests.collect());
    // No poem is sent before all are requested, and the last request is answered first.
    let mut servers = Vec::new();
    for _ in &names {
        let mut server = library.accept()?;
        let request = server.receive(b"6:poem 0,".len())?;
        servers.push((server, request));
    }
    for (mut server, request) in servers.into_iter().rev() {
        server.send(&netstring(&request[2..8]))?;
    }
    let outcomes = fetching.outcomes()?;
    let mut pairs = outcomes.iter().zip(&names);
    pairs.try_for_each(|(outcome, name)| expect_poem(outcome, name))
}

fn a_cancelled_named_fetch_closes_its_socket_at_once(context: &Context) -> Check {
    let library = Listener::new()?;
    let fetching = context
        .client()?
        .start(vec![named(library.address(), "star")]);
    let mut server = library.accept()?;
    server.receive(REQUEST.len())?;
    server.send(b"11:Stars ")?;
    fetching.wait_read(0, 9)?;
    fetching.cancel.task(0);
    server.expect_closed()?;
    let address = library.address().to_string();
    expect_failure(&fetching.outcome()?, "cancelled", &address, |failure| {
        *failure == FetchFailure::Cancelled
    })
}

fn a_named_poem_is_transformed(context: &Context) -> Check {
    let library = replies(netstring("Stars fall."))?;
    let transform = FakeServer::start(Replies {
        request_bytes: request("shout", "Stars fall.").len(),
        reply: netstring("STARS FALL."),
    })?;
    let via = poetry::Via {
        transform: "shout".to_owned(),
        peer: transform.address().into(),
    };
    let outcome = context.client()?.fetch_one(star(&library).via(via))?;
    expect_poem(&outcome, "STARS FALL.")?;
    // The bytes of the transform are not those of the poem.
    equal("bytes received", &outcome.bytes, &15)
}
