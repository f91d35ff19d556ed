//! The replies that only a transform server gives (S3): the transformed poem, whatever its characters.

use poetry::Kind;

use crate::case::cases;
use crate::context::Context;
use crate::failure::{Check, ensure};
use crate::peers::{SendPattern, SplitsAt};
use crate::wire::{NON_ASCII, netstring, request, text, transformed};

cases! { TransformServer:
    a_request_split_inside_a_character_is_answered [S2 S12] needs [Counters],
    #[smoke] a_request_exactly_at_the_limit_is_answered [S2],
    #[smoke] applies_each_transform [S3] needs [KeepAlive],
    splits_the_request_at_its_first_dot [S3],
    #[smoke] transforms_a_non_ascii_poem [S2 S3],
    #[smoke] answers_an_empty_poem_with_an_empty_reply [S4],
    replies_to_one_read_leave_in_one_write [S5] needs [Events KeepAlive],
}

fn a_request_split_inside_a_character_is_answered(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let bytes = request("shout", "🌊ß");
    for place in 10..bytes.len() {
        let mut client = server.connect()?;
        SplitsAt(place).send(&mut client, &bytes, &server)?;
        client.expect_last(&format!("the reply, split at {place}"), &netstring("🌊SS"))?;
    }
    Ok(())
}

fn a_request_exactly_at_the_limit_is_answered(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let poem = text(poetry::limits::FRAME_BYTES_MAX - "shout.".len());
    let mut client = server.connect()?;
    client.send(&request("shout", &poem))?;
    client.expect_last("the reply", &netstring(poem.to_uppercase()))
}

fn applies_each_transform(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    for transform in ["cummingsify", "shout", "reverse"] {
        for poem in ["One\nTwo\nThree\n", "no newline", NON_ASCII] {
            client.send(&request(transform, poem))?;
            client.expect_reply(&transformed(transform, poem))?;
        }
    }
    Ok(())
}

fn splits_the_request_at_its_first_dot(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&netstring("shout.the end. or. not."))?;
    client.expect_last("the reply", &netstring("THE END. OR. NOT."))
}

fn transforms_a_non_ascii_poem(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&request("cummingsify", NON_ASCII))?;
    let expected = netstring(transformed("cummingsify", NON_ASCII));
    client.expect_last("the reply, longer than the poem", &expected)
}

fn answers_an_empty_poem_with_an_empty_reply(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(b"12:cummingsify.,")?;
    client.expect_last("the reply", b"0:,")
}

fn replies_to_one_read_leave_in_one_write(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "ahoy").repeat(16))?;
    client.receive(16 * netstring("AHOY").len())?;
    drop(client);
    let events = server.journal().wait_for("sixteen answers", |events| {
        let answered = |event: &poetry::Event| match event.kind {
            Kind::Answered { requests } => requests,
            _ => 0,
        };
        events.iter().map(answered).sum::<u64>() == 16
    })?;
    let reads = events
        .iter()
        .filter(|event| matches!(event.kind, Kind::Read { .. }))
        .count();
    let writes = events
        .iter()
        .filter(|event| matches!(event.kind, Kind::Wrote { .. }))
        .count();
    ensure(writes <= reads, || {
        format!("expected at most one write per read, got {writes} writes for {reads} reads")
    })
}
