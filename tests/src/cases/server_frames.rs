//! The framing of transform and library servers (S2): segment boundaries make no difference, and an invalid or oversized frame is
//! refused at its first wrong byte.

use poetry::netstring::{Flaw, FramingError};
use poetry::{Kind, Refusal};

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::exchanges::{Exchange, joined};
use crate::failure::{Check, Failure, equal, same_bytes};
use crate::peers::{CutsAtRandom, SendPattern, SplitsAt, SplitsEveryByte, Whole};
use crate::running::RunningServer;
use crate::wire::text;

cases! { TransformServer LibraryServer:
    #[smoke] a_request_sent_byte_by_byte_is_answered [S2],
    a_request_split_at_any_byte_is_answered [S2] needs [Counters],
    #[smoke] pipelined_requests_split_at_random_are_answered [S2 S5] needs [KeepAlive],
    a_request_exactly_at_a_smaller_limit_is_answered [S2 S4] needs [Limits],
    #[smoke] closes_on_a_length_over_the_limit [S2 S4],
    closes_on_a_length_over_a_smaller_limit [S2 S4] needs [Limits],
    closes_on_a_long_length_before_its_colon_arrives [S2 S4],
    closes_on_a_length_that_overflows_any_integer [S2 S4],
    #[smoke] closes_on_a_leading_zero [S2 S4],
    closes_on_a_length_without_digits [S2 S4],
    closes_on_a_sign_before_the_length [S2 S4],
    #[smoke] closes_on_a_wrong_byte_in_place_of_the_comma [S2 S4],
    a_framing_error_has_the_same_offset_however_the_input_is_split [S2 S4] needs [Events],
    incomplete_requests_do_not_block_other_connections [S2],
}

fn a_request_sent_byte_by_byte_is_answered(context: &Context) -> Check {
    let Exchange { request, reply } = context.exchange("ahoy, all of you");
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    SplitsEveryByte.send(&mut client, &request, &server)?;
    client.expect_last("the reply", &reply)
}

fn a_request_split_at_any_byte_is_answered(context: &Context) -> Check {
    let bytes = context.request("a poem of lines");
    let server = context.one_shot().start()?;
    for place in 1..bytes.len() {
        let mut client = server.connect()?;
        SplitsAt(place).send(&mut client, &bytes, &server)?;
        client.expect_last(
            &format!("the reply, split at {place}"),
            b"15:A POEM OF LINES,",
        )?;
    }
    Ok(())
}

fn pipelined_requests_split_at_random_are_answered(context: &Context) -> Check {
    let mut random = context.random();
    let mut round = || -> Vec<Exchange> {
        let texts = (0..12).map(|_| text(random.usize(0..3_000)));
        texts.map(|text| context.exchange(&text)).collect()
    };
    let rounds: Vec<Vec<Exchange>> = (0..20).map(|_| round()).collect();
    let server = context.keep_alive().start()?;
    for exchanges in &rounds {
        let (requests, replies) = joined(exchanges);
        let mut client = server.connect()?;
        CutsAtRandom(random.u64(..)).send(&mut client, &requests, &server)?;
        same_bytes("the replies", &client.receive(replies.len())?, &replies)?;
    }
    Ok(())
}

fn a_request_exactly_at_a_smaller_limit_is_answered(context: &Context) -> Check {
    let request = context.request("abcde");
    let payload_bytes = request.len()
        - if request.len() > 9 {
            b"NN:,".len()
        } else {
            b"N:,".len()
        };
    let server = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = payload_bytes)
        .start()?;
    let mut client = server.connect()?;
    client.send(&request)?;
    client.expect_last("the reply", b"5:ABCDE,")
}

fn closes_on_a_length_over_the_limit(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, b"100000:")
}

fn closes_on_a_length_over_a_smaller_limit(context: &Context) -> Check {
    let server = context
        .one_shot()
        .limits(|limits| limits.frame_bytes_max = 10)
        .start()?;
    refuses_framing(&server, b"11:shout.ahoy!,")
}

fn closes_on_a_long_length_before_its_colon_arrives(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, b"100000")
}

fn closes_on_a_length_that_overflows_any_integer(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, &[b'9'; 400])
}

fn closes_on_a_leading_zero(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, b"010:shout.ahoy,")
}

fn closes_on_a_length_without_digits(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, b":shout.ahoy,")
}

fn closes_on_a_sign_before_the_length(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, b"+10:shout.ahoy,")
}

fn closes_on_a_wrong_byte_in_place_of_the_comma(context: &Context) -> Check {
    let server = context.framed().start()?;
    refuses_framing(&server, b"10:shout.ahoy;")
}

/// Sends exactly `bytes`, and expects a refusal: the server must not wait for more.
fn refuses_framing(server: &RunningServer, bytes: &[u8]) -> Check {
    let mut client = server.connect()?;
    client.send(bytes)?;
    client.expect_fin()?;
    drop(client);
    server.check_counts(1, |counts| {
        let framing = counts.refused.framing;
        equal("requests refused as framing errors", &framing, &1)?;
        equal("requests", &counts.requests, &1)?;
        equal("connections closed as refused", &counts.closed.refused, &1)
    })
}

fn a_framing_error_has_the_same_offset_however_the_input_is_split(context: &Context) -> Check {
    let one = context.request("one");
    let bytes = [one.as_slice(), b"8:shout.me;ahead"].concat();
    let wrong = one.len() + b"8:shout.me".len();
    let expected = Refusal::Framing(FramingError {
        at: wrong as u64,
        flaw: Flaw::NotAComma(b';'),
    });
    let patterns: [&dyn SendPattern; 4] = [
        &Whole,
        &SplitsEveryByte,
        &SplitsAt(wrong - 1),
        &CutsAtRandom(3),
    ];
    for manner in patterns {
        let server = context.keep_alive().start()?;
        let mut client = server.connect()?;
        // The server may close on the bad byte before the bytes after it are sent.
        drop(manner.send(&mut client, &bytes, &server));
        client.expect_reply("ONE")?;
        client.expect_closed()?;
        equal("the refusal", &refusal(&server)?, &expected)?;
    }
    Ok(())
}

/// The first refusal among the events of a server.
pub(super) fn refusal(server: &RunningServer) -> Check<Refusal> {
    let refused = |kind: &Kind| matches!(kind, Kind::Refused(_));
    let events = server
        .journal()
        .wait_for("the event of a refusal", |events| {
            events.iter().any(|event| refused(&event.kind))
        })?;
    let found = events.into_iter().find_map(|event| match event.kind {
        Kind::Refused(refusal) => Some(refusal),
        _ => None,
    });
    found.ok_or(Failure::broken("expected a refusal, got none"))
}

fn incomplete_requests_do_not_block_other_connections(context: &Context) -> Check {
    let meanwhile = context.exchange("meanwhile");
    let server = context.framed().start()?;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut client = Connection::open(server.address())?;
        client.send(b"99999:shout.")?;
        waiting.push(client);
    }
    if server.has_counters() {
        server.wait_until("all bytes read", |counts| counts.bytes_in == 1_200)?;
    }
    server.connect()?.expect_answer(&meanwhile)
}
