//! What only a library does (S8): poems by name, names that are never paths, and poems replaced while they are served.

use poetry::Refusal;

use super::server_frames::refusal;
use super::server_refuses::expect_one_refusal;
use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, equal, same_bytes};
use crate::peers::NeverReads;
use crate::wire::{NON_ASCII, netstring, text};

cases! { LibraryServer:
    #[smoke] serves_each_poem_by_its_name [S8] needs [KeepAlive],
    a_name_may_have_spaces_and_any_letters [S8] needs [KeepAlive],
    #[smoke] an_empty_poem_is_an_empty_reply [S8 S4],
    #[smoke] a_poem_is_sent_byte_for_byte [S8 S12],
    #[smoke] a_name_that_is_a_path_is_refused [S8 S4],
    a_name_with_a_control_character_is_refused [S8 S4],
    a_name_that_is_not_utf8_is_refused [S8 S4],
    an_empty_name_is_refused [S8 S4],
    a_transform_request_is_refused [S8 S4],
    a_long_name_is_served_and_one_over_the_limit_is_refused [S8 S4] needs [KeepAlive],
    #[smoke] an_unknown_poem_is_refused [S8 S4],
    names_that_differ_in_case_are_two_poems [S8] needs [KeepAlive],
    an_empty_library_refuses_every_name [S8 S4],
    #[smoke] a_poem_exactly_at_the_frame_limit_is_served [S8 S2],
    a_poem_over_the_frame_limit_is_refused [S8 S4],
    every_refusal_is_counted_under_its_reason [S8 S23] needs [Counters KeepAlive],
    the_event_of_a_refusal_names_its_reason [S8 S4] needs [Events],
    a_poem_of_many_megabytes_arrives_whole [S8] needs [Limits],
    a_client_that_never_reads_leaves_other_connections_alone [S8 S18] needs [Limits KeepAlive],
    a_reload_applies_to_the_next_request_of_a_connection [S8] needs [KeepAlive],
    a_poem_removed_by_a_reload_is_refused [S8 S4] needs [KeepAlive Counters],
    a_reply_under_way_at_a_reload_stays_whole [S8] needs [Limits KeepAlive],
}

const POEMS: &[(&str, &str)] = &[("star", "Stars fall."), ("moon", "Moon rise.\n")];

fn serves_each_poem_by_its_name(context: &Context) -> Check {
    let server = context.library_keep_alive(POEMS).start()?;
    let mut client = server.connect()?;
    for name in ["moon", "star", "star", "moon"] {
        client.send(&netstring(name))?;
        let (_, poem) = POEMS[usize::from(name == "moon")];
        client.expect_reply(poem)?;
    }
    Ok(())
}

fn a_name_may_have_spaces_and_any_letters(context: &Context) -> Check {
    let poems = [
        ("Der Erlkönig", "one"),
        ("詩", "two"),
        ("a-b_c (2)", "three"),
    ];
    let server = context.library_keep_alive(&poems).start()?;
    let mut client = server.connect()?;
    for (name, poem) in poems {
        client.send(&netstring(name))?;
        client.expect_reply(poem)?;
    }
    Ok(())
}

fn an_empty_poem_is_an_empty_reply(context: &Context) -> Check {
    let server = context.library(&[("nothing", "")]).start()?;
    let mut client = server.connect()?;
    client.send(b"7:nothing,")?;
    client.expect_last("the reply", b"0:,")
}

fn a_poem_is_sent_byte_for_byte(context: &Context) -> Check {
    let server = context.library(&[("star", NON_ASCII)]).start()?;
    let mut client = server.connect()?;
    client.send(b"4:star,")?;
    client.expect_last("the reply", &netstring(NON_ASCII))
}

/// Expects that each of `names` is refused as no name, with FIN and without a reply.
fn expect_no_names(context: &Context, names: &[&[u8]]) -> Check {
    for name in names {
        let server = context.any_library(POEMS).start()?;
        let mut client = server.connect()?;
        client.send(&netstring(name))?;
        client.expect_fin()?;
        drop(client);
        expect_one_refusal(&server, |counts| counts.refused.bad_poem_name)?;
    }
    Ok(())
}

fn a_name_that_is_a_path_is_refused(context: &Context) -> Check {
    let paths: [&[u8]; 8] = [
        b".",
        b"..",
        b"star.txt",
        b"./star",
        b"../star",
        b"/star",
        b"moon/star",
        b"moon\\star",
    ];
    expect_no_names(context, &paths)
}

fn a_name_with_a_control_character_is_refused(context: &Context) -> Check {
    expect_no_names(
        context,
        &[b"star\n", b"star\0", b"\x7fstar", "star\u{85}".as_bytes()],
    )
}

fn a_name_that_is_not_utf8_is_refused(context: &Context) -> Check {
    expect_no_names(context, &[b"star\xff", b"\xc3"])
}

fn an_empty_name_is_refused(context: &Context) -> Check {
    expect_no_names(context, &[b""])
}

fn a_transform_request_is_refused(context: &Context) -> Check {
    expect_no_names(context, &[b"shout.star"])
}

fn a_long_name_is_served_and_one_over_the_limit_is_refused(context: &Context) -> Check {
    // With the ending `.txt`, as long as the name of a file can be.
    let longest = "x".repeat(251);
    let server = context.library_keep_alive(&[(&longest, "long")]).start()?;
    let mut client = server.connect()?;
    client.send(&netstring(&longest))?;
    client.expect_reply("long")?;
    client.send(&netstring("x".repeat(255)))?;
    client.expect_fin()?;
    drop(client);
    let mut client = server.connect()?;
    client.send(&netstring("x".repeat(256)))?;
    client.expect_fin()?;
    drop(client);
    server.check_counts(2, |counts| {
        let actual = (counts.refused.unknown_poem, counts.refused.bad_poem_name);
        equal("names unknown and too long", &actual, &(1, 1))
    })
}

fn an_unknown_poem_is_refused(context: &Context) -> Check {
    let server = context.library(POEMS).start()?;
    let mut client = server.connect()?;
    client.send(b"3:sun,")?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(&server, |counts| counts.refused.unknown_poem)
}

fn names_that_differ_in_case_are_two_poems(context: &Context) -> Check {
    let poems = [("star", "small"), ("Star", "large")];
    let server = context.library_keep_alive(&poems).start()?;
    let mut client = server.connect()?;
    for (name, poem) in poems {
        client.send(&netstring(name))?;
        client.expect_reply(poem)?;
    }
    client.send(&netstring("STAR"))?;
    client.expect_fin()
}

fn an_empty_library_refuses_every_name(context: &Context) -> Check {
    let server = context.library(&[]).start()?;
    let mut client = server.connect()?;
    client.send(b"4:star,")?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(&server, |counts| counts.refused.unknown_poem)
}

fn a_poem_exactly_at_the_frame_limit_is_served(context: &Context) -> Check {
    let poem = text(poetry::limits::FRAME_BYTES_MAX);
    let server = context.library(&[("long", &poem)]).start()?;
    let mut client = server.connect()?;
    client.send(b"4:long,")?;
    client.expect_last("the reply", &netstring(&poem))
}

fn a_poem_over_the_frame_limit_is_refused(context: &Context) -> Check {
    let poem = text(poetry::limits::FRAME_BYTES_MAX + 1);
    let server = context.library(&[("long", &poem)]).start()?;
    let mut client = server.connect()?;
    client.send(b"4:long,")?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(
        &server,
        match context.reads_a_directory() {
            true => |counts| counts.refused.unknown_poem,
            false => |counts| counts.refused.reply_too_long,
        },
    )
}

fn every_refusal_is_counted_under_its_reason(context: &Context) -> Check {
    let long = text(poetry::limits::FRAME_BYTES_MAX + 1);
    let server = context.library_keep_alive(&[("long", &long)]).start()?;
    let bad: [&[u8]; 5] = [b"3:sun,", b"2:..,", b"4:long,", b"x", b"5:"];
    for bytes in bad {
        let mut client = Connection::open(server.address())?;
        client.send(bytes)?;
        client.half_close()?;
        client.expect_fin()?;
    }
    let counts = server.settled(bad.len() as u64)?;
    let too_long = u64::from(!context.reads_a_directory());
    let each = poetry::counters::Refused {
        unknown_poem: 2 - too_long,
        bad_poem_name: 1,
        reply_too_long: too_long,
        framing: 1,
        truncated: 1,
        ..Default::default()
    };
    equal("the refusals", &counts.refused, &each)?;
    equal("connections closed as refused", &counts.closed.refused, &5)
}

fn the_event_of_a_refusal_names_its_reason(context: &Context) -> Check {
    let name = |name: &str| name.to_owned();
    let expected = [
        ("sun", Refusal::UnknownPoem { name: name("sun") }),
        (
            "../star",
            Refusal::BadPoemName {
                name: name("../star"),
            },
        ),
    ];
    for (bytes, expected) in expected {
        let server = context.library(POEMS).start()?;
        let mut client = server.connect()?;
        client.send(&netstring(bytes))?;
        client.expect_fin()?;
        equal("the reported refusal", &refusal(&server)?, &expected)?;
    }
    Ok(())
}

/// The bytes of a poem that no kernel buffers whole.
const MANY: usize = 40 << 20;

fn a_poem_of_many_megabytes_arrives_whole(context: &Context) -> Check {
    let poem = text(MANY);
    let server = context
        .library(&[("long", &poem)])
        .limits(|limits| limits.frame_bytes_max = MANY)
        .start()?;
    let mut client = server.connect()?;
    client.send(b"4:long,")?;
    client.expect_last("the reply", &netstring(&poem))
}

fn a_client_that_never_reads_leaves_other_connections_alone(context: &Context) -> Check {
    let poem = text(MANY);
    let server = context
        .library_keep_alive(&[("long", &poem), ("star", "Stars fall.")])
        .limits(|limits| limits.frame_bytes_max = MANY)
        .start()?;
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let mut client = NeverReads.run(server.address())?;
        client.send(b"4:long,4:star,")?;
        client.wait_readable()?;
        stalled.push(client);
    }
    let mut client = server.connect()?;
    client.send(b"4:star,")?;
    client.expect_reply("Stars fall.")?;
    client.send(b"4:long,")?;
    client.expect_reply(&poem)
}

fn a_reload_applies_to_the_next_request_of_a_connection(context: &Context) -> Check {
    let server = context.library_keep_alive(POEMS).start()?;
    let mut client = server.connect()?;
    client.send(b"4:star,")?;
    client.expect_reply("Stars fall.")?;
    server.reload(&[("star", "Stars rise."), ("sun", "A new one.")])?;
    client.send(b"4:star,3:sun,")?;
    client.expect_reply("Stars rise.")?;
    client.expect_reply("A new one.")
}

fn a_poem_removed_by_a_reload_is_refused(context: &Context) -> Check {
    let server = context.library_keep_alive(POEMS).start()?;
    let mut client = server.connect()?;
    client.send(b"4:moon,")?;
    client.expect_reply("Moon rise.\n")?;
    server.reload(&POEMS[..1])?;
    client.send(b"4:star,4:moon,")?;
    client.expect_last("the reply", &netstring("Stars fall."))?;
    drop(client);
    equal(
        "unknown poems",
        &server.settled(1)?.refused.unknown_poem,
        &1,
    )
}

fn a_reply_under_way_at_a_reload_stays_whole(context: &Context) -> Check {
    let old = text(MANY);
    let server = context
        .library_keep_alive(&[("long", &old)])
        .limits(|limits| limits.frame_bytes_max = MANY)
        .start()?;
    let mut client = NeverReads.run(server.address())?;
    client.send(b"4:long,")?;
    client.wait_readable()?;
    server.reload(&[("long", "a new poem")])?;
    let reply = netstring(&old);
    same_bytes("the old reply", &client.receive(reply.len())?, &reply)?;
    client.send(b"4:long,")?;
    client.expect_reply("a new poem")
}
