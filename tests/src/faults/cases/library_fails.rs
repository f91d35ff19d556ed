//! Library servers that fail their client (S8, S11). Unlike an unframed poem, a part of a reply is noticed.

use crate::failure::{Check, equal};
use crate::fake_servers::{
    Behaviour, ClosesWithoutReply, CutsReply, FakeServer, NeverReplies, Replies, RepliesGarbage,
    RepliesTooLong, ResetsOnRequest,
};
use crate::faults::beside::{expect_all, objects, status};
use crate::faults::{FaultContext, Observed, fault_cases};
use crate::wire::{netstring, text};

fault_cases! {
    "requests that are refused":
    an_unknown_name_fails_alone [S8 S11] for [Client],
    "servers that reset":
    a_reset_by_a_library_fails_alone [S8 S11] for [Client],
    "servers that fall silent":
    a_silent_library_is_given_up_after_the_idle_timeout [S8 S11 S15] for [Client],
    "poems and replies over the limit":
    a_poem_over_the_limit_fails_alone [S8 S11 S15] for [Client],
    "replies that are no netstrings":
    a_reply_that_is_no_netstring_fails_alone [S8 S11] for [Client],
    "replies that are cut short":
    a_reply_that_is_cut_short_fails_alone [S8 S11] for [Client],
    "text that is not UTF-8":
    a_reply_that_is_not_utf8_fails_alone [S8 S11 S12] for [Client],
}

const NAME: &str = "lantern";
const POEM_BYTES: usize = 50_000;
/// The client's limit on poems.
const POEM_BYTES_MAX: usize = 100_000;

fn request_bytes() -> usize {
    netstring(NAME).len()
}

/// Fetches the same name from a library that fails and from one that does not. Expects that only the second poem arrives, that the
/// other's status is `expected`, and that the exit status is 1.
fn fails_alone(
    context: &FaultContext,
    behaviour: impl Behaviour,
    expected: &str,
) -> Check<Observed> {
    let poem = text(POEM_BYTES);
    let faulty = FakeServer::start(behaviour)?;
    let good = FakeServer::start(Replies {
        request_bytes: request_bytes(),
        reply: netstring(&poem),
    })?;
    let fetch = context.fetch().json().option("--poem", NAME);
    let fetch = fetch.option("--poem-bytes-max", &POEM_BYTES_MAX.to_string());
    // Far longer than a busy machine needs.
    let fetch = fetch.option("--idle-timeout", "2");
    let fetched = fetch.from(faulty.address()).from(good.address()).run()?;
    let mut objects = objects(&fetched)?;
    let other = objects.pop().unwrap_or_default();
    let arrived = (status(&other), other["poem"].as_str() == Some(&poem));
    equal("the poem beside", &arrived, &("arrived", true))?;
    expect_all(&objects, 1, expected)?;
    equal("the exit status", &fetched.status.code(), &Some(1))?;
    Ok(
        Observed::that(expected.replace("utf8", "UTF-8").replace('_', " "))
            .and("the poem beside it arrived")
            .and("status 1"),
    )
}

fn an_unknown_name_fails_alone(context: &FaultContext) -> Check<Observed> {
    fails_alone(context, ClosesWithoutReply(request_bytes()), "refused")
}

fn a_reply_that_is_no_netstring_fails_alone(context: &FaultContext) -> Check<Observed> {
    fails_alone(context, RepliesGarbage(request_bytes()), "garbled")
}

fn a_reply_that_is_cut_short_fails_alone(context: &FaultContext) -> Check<Observed> {
    fails_alone(context, CutsReply(request_bytes()), "cut_short")
}

fn a_reset_by_a_library_fails_alone(context: &FaultContext) -> Check<Observed> {
    fails_alone(context, ResetsOnRequest(request_bytes()), "connection_lost")
}

fn a_silent_library_is_given_up_after_the_idle_timeout(context: &FaultContext) -> Check<Observed> {
    fails_alone(context, NeverReplies(request_bytes()), "timed_out")
}

fn a_poem_over_the_limit_fails_alone(context: &FaultContext) -> Check<Observed> {
    let huge = RepliesTooLong {
        request_bytes: request_bytes(),
        reply_bytes: POEM_BYTES_MAX + 1,
    };
    fails_alone(context, huge, "too_long")
}

fn a_reply_that_is_not_utf8_fails_alone(context: &FaultContext) -> Check<Observed> {
    let latin = Replies {
        request_bytes: request_bytes(),
        reply: netstring(b"na\xefve"),
    };
    fails_alone(context, latin, "not_utf8")
}
