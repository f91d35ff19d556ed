//! The refusals that only a transform server makes (S4): of its requests, their transforms and its replies.

use poetry::Refusal;

use super::server_frames::refusal;
use super::server_refuses::expect_refused;
use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, equal};
use crate::wire::{netstring, request};

cases! { TransformServer:
    #[smoke] refuses_a_request_without_a_dot [S4],
    refuses_an_empty_request [S4],
    #[smoke] refuses_an_unknown_transform [S4],
    refuses_a_capitalised_transform_name [S3 S4],
    refuses_the_laboratory_transforms_by_default [S4 S20],
    refuses_a_poem_that_is_not_utf8 [S4 S12],
    refuses_a_request_whose_transform_fails [S4],
    refuses_a_request_whose_reply_exceeds_the_limit [S4],
    answers_when_the_reply_is_longer_than_the_poem_within_the_limit [S4] needs [Limits],
    the_event_of_a_refusal_names_its_reason [S4] needs [Events],
    every_refusal_is_counted_under_its_reason [S23] needs [Counters KeepAlive],
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

fn every_refusal_is_counted_under_its_reason(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let grows = request("cummingsify", &"İ".repeat(40_000));
    let bad = [
        netstring("none"),
        request("sing", "x"),
        netstring(b"shout.\xff"),
        request("gibberish", "x"),
        grows,
        b"x".to_vec(),
        b"5:".to_vec(),
    ];
    for bytes in &bad {
        let mut client = Connection::open(server.address())?;
        client.send(bytes)?;
        client.half_close()?;
        client.expect_fin()?;
    }
    let counts = server.settled(bad.len() as u64)?;
    let each = poetry::counters::Refused {
        no_dot: 1,
        unknown_transform: 1,
        not_utf8: 1,
        transform_failed: 1,
        reply_too_long: 1,
        framing: 1,
        truncated: 1,
        ..Default::default()
    };
    equal("the refusals", &counts.refused, &each)?;
    equal("connections closed as refused", &counts.closed.refused, &7)
}
