//! Refusals of a framed server (S4): no reply, FIN, and the reason counted and reported. Requests before the refused
//! one are still answered (S5); those after it are not.

use poetry::Counts;

use crate::case::cases;
use crate::context::Context;
use crate::exchanges::joined;
use crate::failure::{Check, ensure, equal};
use crate::peers::{ClosesMidFrame, HalfCloses, SendsGarbage};
use crate::running::RunningServer;
use crate::wire::text;

cases! { TransformServer LibraryServer:
    #[smoke] refuses_another_protocol [S4],
    a_request_cut_short_by_fin_is_refused_as_truncated [S6 S4],
    a_length_cut_short_by_fin_is_refused_as_truncated [S6 S4],
    requests_before_a_truncated_one_are_answered [S5 S6] needs [KeepAlive],
    #[smoke] requests_before_a_refused_one_are_answered [S5 S7] needs [KeepAlive],
    #[smoke] requests_after_a_refused_one_are_not_answered [S5] needs [KeepAlive],
    requests_before_a_framing_error_are_answered [S4 S5] needs [KeepAlive],
    a_refusal_ends_only_its_connection [S4] needs [KeepAlive],
}

/// Sends `bytes`, and expects FIN without a reply and, in the counts, exactly one refusal, `of_kind`.
pub(super) fn expect_refused(
    context: &Context,
    bytes: &[u8],
    of_kind: fn(&Counts) -> u64,
) -> Check {
    let server = context.framed().start()?;
    let mut client = server.connect()?;
    client.send(bytes)?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(&server, of_kind)
}

/// Expects that the counts have exactly one refusal, `of_kind`, and nothing else.
pub(super) fn expect_one_refusal(server: &RunningServer, of_kind: fn(&Counts) -> u64) -> Check {
    server.check_counts(1, |counts| {
        let one = of_kind(counts) == 1 && counts.refused.total() == 1;
        ensure(one, || {
            format!(
                "expected one refusal of its kind and no other, got {:?}",
                counts.refused
            )
        })?;
        let actual = (counts.requests, counts.answered);
        equal("requests and answers", &actual, &(1, 0))?;
        equal("connections closed as refused", &counts.closed.refused, &1)?;
        equal("bytes written", &counts.bytes_out, &0)
    })
}

fn refuses_another_protocol(context: &Context) -> Check {
    let server = context.framed().start()?;
    let mut client = SendsGarbage.send(server.address())?;
    client.expect_fin()?;
    drop(client);
    expect_one_refusal(&server, |counts| counts.refused.framing)
}

fn a_request_cut_short_by_fin_is_refused_as_truncated(context: &Context) -> Check {
    let ahoy = context.request("ahoy");
    let server = context.framed().start()?;
    let mut client = ClosesMidFrame.send(server.address(), b"", &ahoy)?;
    client.expect_fin()?;
    expect_one_refusal(&server, |counts| counts.refused.truncated)
}

fn a_length_cut_short_by_fin_is_refused_as_truncated(context: &Context) -> Check {
    let server = context.framed().start()?;
    let mut client = HalfCloses.send(server.address(), b"1")?;
    client.expect_fin()?;
    expect_one_refusal(&server, |counts| counts.refused.truncated)
}

fn requests_before_a_truncated_one_are_answered(context: &Context) -> Check {
    let [one, two, three] = ["one", "two", "three"].map(|text| context.exchange(text));
    let (requests, replies) = joined([&one, &two]);
    let server = context.keep_alive().start()?;
    let mut client = ClosesMidFrame.send(server.address(), &requests, &three.request)?;
    client.expect_last("the replies", &replies)?;
    server.check_counts(1, |counts| {
        let actual = (counts.requests, counts.answered, counts.refused.truncated);
        let what = "requests, answers and truncated requests";
        equal(what, &actual, &(3, 2, 1))
    })
}

fn requests_before_a_refused_one_are_answered(context: &Context) -> Check {
    let good = context.exchange(&text(20_000));
    let (good, replies) = joined([&good; 3]);
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&[good, context.refused_request(), vec![b'x'; 100_000]].concat())?;
    client.expect_last(
        "the replies, with unread input after the refused request",
        &replies,
    )
}

fn requests_after_a_refused_one_are_not_answered(context: &Context) -> Check {
    let (good, bad) = (context.exchange("one"), context.refused_request());
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(
        &[&good.request, &bad, &good.request.repeat(2)]
            .map(|v| &v[..])
            .concat(),
    )?;
    client.expect_last("the replies", &good.reply)?;
    drop(client);
    server.check_counts(1, |counts| {
        let actual = (counts.requests, counts.answered, context.refused(counts));
        equal("requests, answers and refusals", &actual, &(2, 1, 1))
    })
}

fn requests_before_a_framing_error_are_answered(context: &Context) -> Check {
    let [one, two, mut six, not] = ["one", "two", "six", "not"].map(|text| context.exchange(text));
    let (_, replies) = joined([&one, &two]);
    six.request.pop();
    six.request.push(b';');
    let (requests, _) = joined([&one, &two, &six, &not]);
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&requests)?;
    client.expect_last("the replies", &replies)?;
    drop(client);
    server.check_counts(1, |counts| {
        let actual = (counts.requests, counts.answered, counts.refused.framing);
        equal("requests, answers and framing errors", &actual, &(3, 2, 1))
    })
}

fn a_refusal_ends_only_its_connection(context: &Context) -> Check {
    let (before, after) = (context.exchange("before"), context.exchange("after"));
    let server = context.keep_alive().start()?;
    let (mut good, mut bad) = (server.connect()?, server.connect()?);
    good.expect_answer(&before)?;
    bad.send(&context.refused_request())?;
    bad.expect_fin()?;
    good.expect_answer(&after)?;
    drop((good, bad));
    server.check_counts(2, |counts| {
        let actual = (counts.answered, context.refused(counts));
        equal("answers and refusals", &actual, &(2, 1))
    })
}
