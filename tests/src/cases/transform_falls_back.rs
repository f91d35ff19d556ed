//! The fallback (S13): however a transform fails, the client keeps the original poem and reports the failure once.

use std::sync::Arc;
use std::time::Duration;

use poetry::error::Timeout;
use poetry::netstring::Flaw;
use poetry::{FetchFailure, FetchRequest, Kind, Limits, Peer, Role as Program};

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::fake_servers::{
    ClosesWithoutReply, CutsReply, NeverAccepts, NeverReplies, Refuses, Replies,
};
use crate::fake_servers::{
    FakeServer, Listener, RepliesGarbage, RepliesTooLong, ResetsOnRequest, Serves,
};
use crate::fetching::{expect_original, expect_poem, transformed};
use crate::wire::{netstring, request, text};

cases! { TransformClient:
    keeps_the_original_when_no_server_transforms [S13 S11],
    keeps_the_original_when_the_server_never_accepts [S13 S15],
    keeps_the_original_when_the_server_name_does_not_resolve [S13 S10],
    #[smoke] keeps_the_original_when_the_server_closes_without_a_reply [S13 S4],
    keeps_the_original_when_the_connection_is_reset [S13 S11],
    keeps_the_original_when_the_reply_is_garbage [S13 S2],
    keeps_the_original_when_the_reply_is_over_the_limit [S13 S2],
    #[smoke] keeps_the_original_when_the_reply_is_cut_short [S13],
    keeps_the_original_when_the_reply_is_not_utf8 [S13 S12],
    keeps_the_original_when_the_server_never_replies [S13 S15],
    keeps_the_original_when_the_total_deadline_passes [S13 S15],
    keeps_an_original_too_long_to_send [S13 S2],
    a_failed_transform_is_reported_once [S13] needs [Events],
    a_failed_transform_does_not_affect_other_poems [S13 S11],
}

const SHORT: Duration = Duration::from_millis(200);
const POEM: &str = "A Poem, and the Original";

/// The length of the request for [`POEM`], in bytes on the wire.
fn request_bytes() -> usize {
    request("shout", POEM).len()
}

/// Requests a transform of [`POEM`] at `via`, and expects the original and a failure that `fits`.
fn falls_back(
    context: &Context,
    via: Peer,
    change: impl FnOnce(&mut Limits),
    what: &str,
    fits: impl Fn(&FetchFailure) -> bool,
) -> Check {
    let poem = FakeServer::start(Serves(POEM.into()))?;
    let mut request = transformed(poem.address(), "shout", poem.address());
    let name = via.name().to_owned();
    if let Some(transform) = &mut request.via {
        transform.peer = via;
    }
    let outcome = context.client_with(change)?.fetch_one(request)?;
    expect_original(&outcome, POEM, what, &name, fits)
}

fn unchanged(_: &mut Limits) {}

fn keeps_the_original_when_no_server_transforms(context: &Context) -> Check {
    let refusing = Refuses::new()?;
    falls_back(
        context,
        refusing.address().into(),
        unchanged,
        "connection failed",
        |failure| matches!(failure, FetchFailure::ConnectionFailed { .. }),
    )
}

fn keeps_the_original_when_the_server_never_accepts(context: &Context) -> Check {
    let never = NeverAccepts::new()?;
    let short = |limits: &mut Limits| limits.connect_timeout = SHORT;
    falls_back(
        context,
        never.address().into(),
        short,
        "connection failed",
        |failure| matches!(failure, FetchFailure::ConnectionFailed { .. }),
    )
}

fn keeps_the_original_when_the_server_name_does_not_resolve(context: &Context) -> Check {
    let peer = Peer::unresolved("no.such.name:1", "no such name");
    falls_back(context, peer, unchanged, "connection failed", |failure| {
        matches!(failure, FetchFailure::ConnectionFailed { .. })
    })
}

fn keeps_the_original_when_the_server_closes_without_a_reply(context: &Context) -> Check {
    let server = FakeServer::start(ClosesWithoutReply(request_bytes()))?;
    falls_back(
        context,
        server.address().into(),
        unchanged,
        "refused",
        |failure| *failure == FetchFailure::Refused,
    )
}

fn keeps_the_original_when_the_connection_is_reset(context: &Context) -> Check {
    let server = FakeServer::start(ResetsOnRequest(request_bytes()))?;
    falls_back(
        context,
        server.address().into(),
        unchanged,
        "connection lost",
        |failure| matches!(failure, FetchFailure::ConnectionLost { .. }),
    )
}

fn keeps_the_original_when_the_reply_is_garbage(context: &Context) -> Check {
    let server = FakeServer::start(RepliesGarbage(request_bytes()))?;
    falls_back(
        context,
        server.address().into(),
        unchanged,
        "garbled at byte 0",
        |failure| matches!(failure, FetchFailure::Garbled(error) if error.at == 0),
    )
}

fn keeps_the_original_when_the_reply_is_over_the_limit(context: &Context) -> Check {
    let server = FakeServer::start(RepliesTooLong {
        request_bytes: request_bytes(),
        reply_bytes: 100,
    })?;
    let small = |limits: &mut Limits| limits.frame_bytes_max = 99;
    falls_back(
        context,
        server.address().into(),
        small,
        "garbled, over the limit",
        |failure| matches!(failure, FetchFailure::Garbled(error) if error.flaw == Flaw::OverLimit(99)),
    )
}

fn keeps_the_original_when_the_reply_is_cut_short(context: &Context) -> Check {
    let server = FakeServer::start(CutsReply(request_bytes()))?;
    falls_back(
        context,
        server.address().into(),
        unchanged,
        "cut short",
        |failure| *failure == FetchFailure::CutShort,
    )
}

fn keeps_the_original_when_the_reply_is_not_utf8(context: &Context) -> Check {
    let server = FakeServer::start(Replies {
        request_bytes: request_bytes(),
        reply: netstring(b"caf\xe9"),
    })?;
    falls_back(
        context,
        server.address().into(),
        unchanged,
        "not UTF-8 at byte 3",
        |failure| *failure == FetchFailure::NotUtf8 { at: 3 },
    )
}

fn keeps_the_original_when_the_server_never_replies(context: &Context) -> Check {
    let server = FakeServer::start(NeverReplies(request_bytes()))?;
    // Long enough for the poem to arrive on a busy machine.
    let short = |limits: &mut Limits| limits.idle_timeout = Duration::from_secs(1);
    falls_back(
        context,
        server.address().into(),
        short,
        "timed out, idle",
        |failure| *failure == FetchFailure::TimedOut(Timeout::Idle),
    )
}

fn keeps_the_original_when_the_total_deadline_passes(context: &Context) -> Check {
    let server = FakeServer::start(NeverReplies(request_bytes()))?;
    // Long enough for the poem to arrive on a busy machine.
    let short = |limits: &mut Limits| limits.total_deadline = Some(Duration::from_secs(1));
    falls_back(
        context,
        server.address().into(),
        short,
        "timed out, total",
        |failure| *failure == FetchFailure::TimedOut(Timeout::Total),
    )
}

fn keeps_an_original_too_long_to_send(context: &Context) -> Check {
    let poem = text(poetry::limits::FRAME_BYTES_MAX - "shout.".len() + 1);
    let (server, transform) = (
        FakeServer::start(Serves(poem.clone().into()))?,
        Listener::new()?,
    );
    let request = transformed(server.address(), "shout", transform.address());
    let outcome = context.client()?.fetch_one(request)?;
    let limit = poetry::limits::FRAME_BYTES_MAX as u64;
    expect_original(
        &outcome,
        &poem,
        "too long",
        &transform.address().to_string(),
        |failure| *failure == FetchFailure::TooLong { limit },
    )?;
    transform.expect_no_client()
}

fn a_failed_transform_is_reported_once(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(POEM.into()))?;
    let server = FakeServer::start(ClosesWithoutReply(request_bytes()))?;
    let request = transformed(poem.address(), "shout", server.address());
    let fetching = context.client()?.start(vec![request]);
    let journal = Arc::clone(fetching.journal());
    fetching.outcome()?;
    let events = journal.events();
    let reported: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Failed(failure) => Some((event.role, event.scene.parent, failure.clone())),
            _ => None,
        })
        .collect();
    let once = (Program::TransformClient, Some(0), FetchFailure::Refused);
    equal("the reported failures", &reported, &vec![once])
}

fn a_failed_transform_does_not_affect_other_poems(context: &Context) -> Check {
    let poem = FakeServer::start(Serves(POEM.into()))?;
    let good = FakeServer::start(Replies {
        request_bytes: request_bytes(),
        reply: netstring("TRANSFORMED"),
    })?;
    let (resets, refusing) = (
        FakeServer::start(ResetsOnRequest(request_bytes()))?,
        Refuses::new()?,
    );
    let vias = [
        good.address(),
        resets.address(),
        good.address(),
        refusing.address(),
        good.address(),
    ];
    let requests: Vec<FetchRequest> = vias
        .iter()
        .map(|&via| transformed(poem.address(), "shout", via))
        .collect();
    let outcomes = context.client()?.fetch(requests)?;
    for (number, outcome) in outcomes.iter().enumerate() {
        if number % 2 == 0 {
            expect_poem(outcome, "TRANSFORMED")?;
        } else {
            let via = vias[number].to_string();
            expect_original(
                outcome,
                POEM,
                "connection lost or connection failed",
                &via,
                |failure| matches!(failure.status(), "connection_lost" | "connection_failed"),
            )?;
        }
    }
    Ok(())
}
