//! The lingering close of a framed server (S7): unread input in the socket never destroys a reply, and the drain is
//! bounded in time and in bytes.

use std::time::Duration;

use poetry::limits::READ_BUFFER_BYTES;

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::exchanges::Exchange;
use crate::failure::{Check, Failure, ensure, equal};
use crate::peers::{LeavesUnreadInput, SendsForever};
use crate::wire::text;

cases! { TransformServer LibraryServer:
    #[smoke] a_reply_survives_unread_input [S7],
    a_long_reply_survives_unread_input [S7],
    a_refusal_with_unread_input_ends_in_fin_not_in_a_reset [S7],
    client_input_after_the_reply_is_drained [S7 S5] needs [Limits],
    client_input_after_a_refusal_is_drained [S7 S4] needs [Limits],
    a_client_that_never_closes_is_closed_after_the_linger_timeout [S7] needs [Counters Limits],
    an_endless_sender_is_closed_after_the_linger_bytes [S7] needs [Counters Limits],
    drained_bytes_are_counted_as_read [S7] needs [Counters],
}

fn a_reply_survives_unread_input(context: &Context) -> Check {
    survives_unread_input(context, "ahoy")
}

fn a_long_reply_survives_unread_input(context: &Context) -> Check {
    survives_unread_input(context, &text(99_000))
}

fn survives_unread_input(context: &Context, text: &str) -> Check {
    let Exchange { request, reply } = context.exchange(text);
    let server = context.one_shot().start()?;
    let mut client = LeavesUnreadInput.send(server.address(), &request)?;
    client.expect_last("the reply", &reply)
}

fn a_refusal_with_unread_input_ends_in_fin_not_in_a_reset(context: &Context) -> Check {
    let server = context.framed().start()?;
    let mut client = LeavesUnreadInput.send(server.address(), &context.refused_request())?;
    client.expect_fin()
}

/// More than the kernel's buffers hold on both sides: however busy the machine is, the reset of a closed server arrives
/// before all of it is sent.
pub(super) const MORE_BYTES: usize = 16 << 20;

/// Sends [`MORE_BYTES`], then FIN.
pub(super) fn send_more(client: &mut Connection) -> Check {
    static PIECE: [u8; 1 << 16] = [b'x'; 1 << 16];
    (0..MORE_BYTES / PIECE.len()).try_for_each(|_| client.send(&PIECE))?;
    client.half_close()
}

/// Sends `request` and expects `reply` and FIN, after which more can still be sent.
fn drains_after(context: &Context, request: &[u8], reply: &[u8]) -> Check {
    let server = context
        .one_shot()
        .limits(|limits| {
            limits.linger_timeout = Duration::from_secs(600);
            limits.linger_bytes_max = 2 * MORE_BYTES;
        })
        .start()?;
    let mut client = server.connect()?;
    client.send(request)?;
    client.expect_last("the reply", reply)?;
    send_more(&mut client)
}

fn client_input_after_the_reply_is_drained(context: &Context) -> Check {
    drains_after(context, &context.request("ahoy"), b"4:AHOY,")
}

fn client_input_after_a_refusal_is_drained(context: &Context) -> Check {
    drains_after(context, &context.refused_request(), b"")
}

fn a_client_that_never_closes_is_closed_after_the_linger_timeout(context: &Context) -> Check {
    let short = Duration::from_millis(150);
    let ahoy = context.request("ahoy");
    let server = context
        .one_shot()
        .limits(|limits| limits.linger_timeout = short)
        .start()?;
    let mut client = server.connect()?;
    client.send(&ahoy)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    let counts = server.settled(1)?;
    drop(client);
    equal("connections closed as done", &counts.closed.done, &1)
}

fn an_endless_sender_is_closed_after_the_linger_bytes(context: &Context) -> Check {
    const BYTES_MAX: usize = 100_000;
    let ahoy = context.request("ahoy");
    let set_up = context.one_shot().limits(|limits| {
        limits.linger_timeout = Duration::from_secs(600);
        limits.linger_bytes_max = BYTES_MAX;
    });
    let server = set_up.start()?;
    let mut client = server.connect()?;
    client.send(&ahoy)?;
    client.expect_last("the reply", b"4:AHOY,")?;
    let sent = SendsForever.until_closed(&mut client);
    sent.ok_or(Failure::broken(
        "expected the server to stop draining, but it took every byte",
    ))?;
    let counts = server.settled(1)?;
    let bound = (BYTES_MAX + 2 * READ_BUFFER_BYTES) as u64;
    ensure(counts.bytes_in <= bound, || {
        format!(
            "expected at most {bound} bytes read, got {}",
            counts.bytes_in
        )
    })
}

fn drained_bytes_are_counted_as_read(context: &Context) -> Check {
    let request = context.request("ahoy");
    let server = context.one_shot().start()?;
    let mut client = LeavesUnreadInput.send(server.address(), &request)?;
    client.half_close()?;
    client.expect_last("the reply", b"4:AHOY,")?;
    let counts = server.settled(1)?;
    let sent = (request.len() + LeavesUnreadInput::BYTES_BEHIND) as u64;
    equal("bytes read", &counts.bytes_in, &sent)?;
    equal("connections closed as done", &counts.closed.done, &1)
}
