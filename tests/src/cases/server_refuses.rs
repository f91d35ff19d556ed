//! Refusals of a transform server (S4): no reply, FIN, and the reason counted and reported. Requests before the refused
//! one are still answered (S5); those after it are not.

use poetry::{Counts, Refusal};

use super::server_frames::refusal;
use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure, equal};
use crate::peers::{ClosesMidFrame, HalfCloses, SendsGarbage};
use crate::running::RunningServer;
use crate::wire::{netstring, request, text};

cases! { TransformServer:
    refuses_a_request_without_a_dot [S4] needs [Counters],
    refuses_an_empty_request [S4] needs [Counters],
    refuses_an_unknown_transform [S4] needs [Counters],
    refuses_a_capitalised_transform_name [S3 S4] needs [Counters],
    refuses_the_laboratory_transforms_by_default [S4 S20] needs [Counters],
    refuses_a_poem_that_is_not_utf8 [S4 S12] needs [Counters],
    refuses_a_request_whose_transform_fails [S4] needs [Counters],
    refuses_a_request_whose_reply_exceeds_the_limit [S4] needs [Counters],
    answers_when_the_reply_is_longer_than_the_poem_within_the_limit [S4] needs [Limits],
    refuses_another_protocol [S4] needs [Counters],
    a_request_cut_short_by_fin_is_refused_as_truncated [S6 S4] needs [Counters],
    a_length_cut_short_by_fin_is_refused_as_truncated [S6 S4] needs [Counters],
    requests_before_a_truncated_one_are_answered [S5 S6] needs [KeepAlive Counters],
    requests_before_a_refused_one_are_answered [S5 S7] needs [KeepAlive],
    requests_after_a_refused_one_are_not_answered [S5] needs [KeepAlive Counters],
    requests_before_a_framing_error_are_answered [S4 S5] needs [KeepAlive Counters],
    the_event_of_a_refusal_names_its_reason [S4] needs [Events],
    a_refusal_ends_only_its_connection [S4] needs [KeepAlive Counters],
}

/// Sends `bytes`, and expects FIN without a reply and exactly one counted refusal, `of_kind`.
fn expect_refused(context: &Context, bytes: &[u8], of_kind: fn(&Counts) -> u64) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(bytes)?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(&server, of_kind)
}

fn expect_one_refusal(server: &RunningServer, of_kind: fn(&Counts) -> u64) -> Check {
    let counts = server.settled(1)?;
    let one = of_kind(&counts) == 1 && counts.refused.total() == 1;
    ensure(one, || {
        format!(
            "expected one refusal of its kind and no other, got {:?}",
            counts.refused
        )
    })?;
    equal(
        "requests and answers",
        &(counts.requests, counts.answered),
        &(1, 0),
    )?;
    equal("connections closed as refused", &counts.closed.refused, &1)?;
    equal("bytes written", &counts.bytes_out, &0)
}

fn refuses_a_request_without_a_dot(context: &Context) -> Check {
    expect_refused(context, &netstring("cummingsify"), |counts| {
        counts.refused.no_dot
    })
}

fn refuses_an_empty_request(context: &Context) -> Check {
    expect_refused(context, b"0:,", |counts| counts.refused.no_dot)
}

fn refuses_an_unknown_transform(context: &Context) -> Check {
    expect_refused(context, &request("sing", "ahoy"), |counts| {
        counts.refused.unknown_transform
    })
}

fn refuses_a_capitalised_transform_name(context: &Context) -> Check {
    expect_refused(context, &request("Shout", "ahoy"), |counts| {
        counts.refused.unknown_transform
    })
}

fn refuses_the_laboratory_transforms_by_default(context: &Context) -> Check {
    expect_refused(context, &request("crash", "ahoy"), |counts| {
        counts.refused.unknown_transform
    })
}

fn refuses_a_poem_that_is_not_utf8(context: &Context) -> Check {
    expect_refused(context, &netstring(b"shout.caf\xe9"), |counts| {
        counts.refused.not_utf8
    })
}

fn refuses_a_request_whose_transform_fails(context: &Context) -> Check {
    expect_refused(context, &request("gibberish", "ahoy"), |counts| {
        counts.refused.transform_failed
    })
}

fn refuses_a_request_whose_reply_exceeds_the_limit(context: &Context) -> Check {
    let poem = "İ".repeat(40_000); // 80,000 bytes, or 120,000 in lower case.
    expect_refused(context, &request("cummingsify", &poem), |counts| {
        counts.refused.reply_too_long
    })
}

fn answers_when_the_reply_is_longer_than_the_poem_within_the_limit(context: &Context) -> Check {
    let server = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = 18)
        .start()?;
    let mut client = server.connect()?;
    client.send(&request("cummingsify", "İİİ"))?;
    client.expect_last("a reply of 9 bytes for 6", &netstring("i̇i̇i̇"))
}

fn refuses_another_protocol(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = SendsGarbage.send(server.address())?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(&server, |counts| counts.refused.framing)
}

fn a_request_cut_short_by_fin_is_refused_as_truncated(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = ClosesMidFrame.send(server.address(), b"", &request("shout", "ahoy"))?;
    client.expect_fin()?;
    expect_one_refusal(&server, |counts| counts.refused.truncated)
}

fn a_length_cut_short_by_fin_is_refused_as_truncated(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = HalfCloses.send(server.address(), b"1")?;
    client.expect_fin()?;
    expect_one_refusal(&server, |counts| counts.refused.truncated)
}

fn requests_before_a_truncated_one_are_answered(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let whole = [request("shout", "one"), request("shout", "two")].concat();
    let mut client = ClosesMidFrame.send(server.address(), &whole, &request("shout", "three"))?;
    client.expect_last("the replies", b"3:ONE,3:TWO,")?;
    let counts = server.settled(1)?;
    let actual = (counts.requests, counts.answered, counts.refused.truncated);
    equal(
        "requests, answers and truncated requests",
        &actual,
        &(3, 2, 1),
    )
}

fn requests_before_a_refused_one_are_answered(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let poem = text(20_000);
    let good: Vec<u8> = (0..3).flat_map(|_| request("shout", &poem)).collect();
    let replies: Vec<u8> = (0..3)
        .flat_map(|_| netstring(poem.to_uppercase()))
        .collect();
    let mut client = server.connect()?;
    client.send(&[good, request("sing", "ahoy"), vec![b'x'; 100_000]].concat())?;
    client.expect_last(
        "the replies, with unread input after the refused request",
        &replies,
    )
}

fn requests_after_a_refused_one_are_not_answered(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    let (good, bad) = (request("shout", "one"), request("sing", "two"));
    client.send(&[good.clone(), bad, good.clone(), good].concat())?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    let counts = server.settled(1)?;
    let actual = (
        counts.requests,
        counts.answered,
        counts.refused.unknown_transform,
    );
    equal(
        "requests, answers and unknown transforms",
        &actual,
        &(2, 1, 1),
    )
}

fn requests_before_a_framing_error_are_answered(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(b"9:shout.one,9:shout.two,9:shout.six;9:shout.not,")?;
    client.expect_last("the replies", b"3:ONE,3:TWO,")?;
    drop(client);
    let counts = server.settled(1)?;
    let actual = (counts.requests, counts.answered, counts.refused.framing);
    equal("requests, answers and framing errors", &actual, &(3, 2, 1))
}

fn the_event_of_a_refusal_names_its_reason(context: &Context) -> Check {
    let expected = [
        (netstring("none"), Refusal::NoDot),
        (netstring(b"shout.ab\xff"), Refusal::NotUtf8 { at: 2 }),
        (
            request("sing", "x"),
            Refusal::UnknownTransform {
                name: "sing".to_owned(),
            },
        ),
    ];
    for (bytes, expected) in expected {
        let server = context.one_shot().start()?;
        let mut client = server.connect()?;
        client.send(&bytes)?;
        client.expect_fin()?;
        equal("the reported refusal", &refusal(&server)?, &expected)?;
    }
    Ok(())
}

fn a_refusal_ends_only_its_connection(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let (mut good, mut bad) = (server.connect()?, server.connect()?);
    good.send(&request("shout", "before"))?;
    good.expect_reply("BEFORE")?;
    bad.send(&request("gibberish", "x"))?;
    bad.expect_fin()?;
    good.send(&request("shout", "after"))?;
    good.expect_reply("AFTER")?;
    let counts = server.wait_until("two answers", |counts| counts.answered == 2)?;
    equal("refusals", &counts.refused.transform_failed, &1)
}
