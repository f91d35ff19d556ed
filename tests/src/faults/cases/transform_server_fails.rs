//! Transform servers that fail their client: it keeps the original poem (S13).

use std::net::SocketAddr;

use crate::failure::{Check, ensure, equal};
use crate::fake_servers::{Behaviour, Serves};
use crate::fake_servers::{
    ClosesWithoutReply, CutsReply, FakeServer, NeverReplies, Refuses, Replies, RepliesGarbage,
    RepliesTooLong, ResetsOnRequest,
};
use crate::faults::beside::{objects, status};
use crate::faults::{FaultContext, Observed, fault_cases};
use crate::wire::{netstring, request, text};

fault_cases! {
    "requests that are refused":
    a_refused_transform_keeps_the_original [S13] for [Client],
    with_strict_transform_a_failed_transform_fails_the_poem [S13] for [Client],
    "servers that refuse connections":
    a_dead_transform_server_keeps_the_original [S13] for [Client],
    "servers that reset":
    a_reset_by_a_transform_server_keeps_the_original [S13] for [Client],
    "servers that fall silent":
    a_silent_transform_server_keeps_the_original [S13 S15] for [Client],
    "poems and replies over the limit":
    a_huge_reply_keeps_the_original [S13 S15] for [Client],
    "replies that are no netstrings":
    a_reply_that_is_no_netstring_keeps_the_original [S13] for [Client],
    "replies that are cut short":
    a_reply_that_is_cut_short_keeps_the_original [S13] for [Client],
    "text that is not UTF-8":
    a_reply_that_is_not_utf8_keeps_the_original [S12 S13] for [Client],
}

/// The poem, which has many bytes and lines.
fn poem() -> String {
    text(20_000)
}

/// The bytes of the request to transform the poem.
fn request_bytes() -> usize {
    request("shout", &poem()).len()
}

/// Fetches the poem twice at once, and has both transformed at `via`. Expects that both originals are printed, with an error that
/// names `via` and contains `error`, and the exit status 0.
fn keeps_the_originals(context: &FaultContext, via: SocketAddr, error: &str) -> Check<Observed> {
    let poem = poem();
    let server = FakeServer::start(Serves(poem.clone().into_bytes()))?;
    let fetch = context
        .fetch()
        .json()
        .from(server.address())
        .from(server.address());
    let fetch = fetch.option("--transform", "shout");
    let fetch = fetch.option("--via", &via.to_string());
    // Far longer than a busy machine needs.
    let fetched = fetch.option("--idle-timeout", "2").run()?;
    let objects = objects(&fetched)?;
    equal("the number of poems", &objects.len(), &2)?;
    for object in &objects {
        equal("the status", &status(object), &"arrived")?;
        equal("the poem", &object["poem"].as_str(), &Some(poem.as_str()))?;
        let why = object["transform_error"].as_str().unwrap_or_default();
        let fits = why.starts_with(&via.to_string()) && why.contains(error);
        ensure(fits, || {
            format!("expected '{via}: … {error} …' as the transform's error, got '{why}'")
        })?;
    }
    equal("the exit status", &fetched.status.code(), &Some(0))?;
    Ok(Observed::that(format!("{error}; the original printed")).and("status 0"))
}

fn with(context: &FaultContext, behaviour: impl Behaviour, error: &str) -> Check<Observed> {
    let via = FakeServer::start(behaviour)?;
    keeps_the_originals(context, via.address(), error)
}

fn a_refused_transform_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    with(context, ClosesWithoutReply(request_bytes()), "refused")
}

fn a_dead_transform_server_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    let dead = Refuses::new()?;
    keeps_the_originals(context, dead.address(), "connection failed")
}

fn a_reset_by_a_transform_server_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    with(context, ResetsOnRequest(request_bytes()), "connection lost")
}

fn a_silent_transform_server_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    with(context, NeverReplies(request_bytes()), "timed out")
}

fn a_huge_reply_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    let reply_bytes = poetry::limits::FRAME_BYTES_MAX + 1;
    let huge = RepliesTooLong {
        request_bytes: request_bytes(),
        reply_bytes,
    };
    with(context, huge, "over the limit")
}

fn a_reply_that_is_no_netstring_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    let garbage = RepliesGarbage(request_bytes());
    with(context, garbage, "not a netstring")
}

fn a_reply_that_is_cut_short_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    with(context, CutsReply(request_bytes()), "cut short")
}

fn a_reply_that_is_not_utf8_keeps_the_original(context: &FaultContext) -> Check<Observed> {
    let latin = Replies {
        request_bytes: request_bytes(),
        reply: netstring(b"na\xefve"),
    };
    with(context, latin, "not UTF-8")
}

fn with_strict_transform_a_failed_transform_fails_the_poem(
    context: &FaultContext,
) -> Check<Observed> {
    let server = FakeServer::start(Serves(poem().into_bytes()))?;
    let refuses = FakeServer::start(ClosesWithoutReply(request_bytes()))?;
    let fetch = context.fetch().json().from(server.address());
    let fetch = fetch.option("--transform", "shout");
    let fetch = fetch.option("--via", &refuses.address().to_string());
    let fetched = fetch.word("--strict-transform").run()?;
    let objects = objects(&fetched)?;
    let statuses: Vec<&str> = objects.iter().map(status).collect();
    equal("the statuses", &statuses, &vec!["refused"])?;
    equal("the exit status", &fetched.status.code(), &Some(1))?;
    Ok(Observed::that("refused; nothing printed").and("status 1"))
}
