//! The replies of a framed server (S3, S5, S6, S8): one in one-shot, all of them in order in keep-alive, even if the client
//! has half-closed.

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::exchanges::{Exchange, joined};
use crate::failure::{Check, equal, same_bytes};
use crate::peers::{HalfCloses, PipelinesMany};
use crate::wire::text;

cases! { TransformServer LibraryServer:
    #[smoke] replies_with_one_netstring_then_closes [S3],
    #[smoke] answers_only_the_first_of_two_requests_in_one_segment [S5],
    answers_only_the_first_of_two_requests_in_two_segments [S5],
    one_shot_discards_garbage_after_the_first_request [S5],
    #[smoke] keep_alive_answers_one_request_after_another [S5] needs [KeepAlive],
    #[smoke] keep_alive_answers_pipelined_requests_in_order [S5] needs [KeepAlive],
    keep_alive_answers_a_request_followed_by_half_of_the_next [S5] needs [KeepAlive],
    #[smoke] keep_alive_does_not_mix_the_replies_of_two_connections [S5] needs [KeepAlive],
    keep_alive_closes_after_the_client_finishes_sending [S5 S6] needs [KeepAlive],
    a_half_closed_client_gets_its_reply [S6],
    #[smoke] a_half_closed_client_gets_every_pipelined_reply [S6] needs [KeepAlive],
    fin_without_a_request_is_a_normal_close [S6],
    ten_thousand_pipelined_requests_are_all_answered [S5] needs [KeepAlive],
    answers_over_ipv6 [S3 S5] needs [KeepAlive],
    a_server_of_two_threads_answers_every_client [S3 S16] needs [Threads KeepAlive],
}

fn replies_with_one_netstring_then_closes(context: &Context) -> Check {
    let Exchange { request, reply } = context.exchange("ahoy");
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&request)?;
    client.expect_last("the reply", &reply)
}

fn answers_only_the_first_of_two_requests_in_one_segment(context: &Context) -> Check {
    let (one, two) = (context.exchange("one"), context.exchange("two"));
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&[one.request, two.request].concat())?;
    client.expect_last("the replies", &one.reply)
}

fn answers_only_the_first_of_two_requests_in_two_segments(context: &Context) -> Check {
    let (one, two) = (context.exchange("one"), context.exchange("two"));
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.expect_answer(&one)?;
    client.send(&two.request)?;
    client.expect_fin()?;
    drop(client);
    server.check_counts(1, |counts| {
        let actual = (counts.requests, counts.answered);
        equal("requests and answers", &actual, &(1, 1))
    })
}

fn one_shot_discards_garbage_after_the_first_request(context: &Context) -> Check {
    let Exchange { request, reply } = context.exchange("one");
    let bytes = [&request[..], b"07:garbage;"].concat();
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&bytes)?;
    client.expect_last("the replies", &reply)?;
    drop(client);
    server.check_counts(1, |counts| {
        equal("requests refused", &counts.refused.total(), &0)?;
        equal("connections closed as done", &counts.closed.done, &1)?;
        let sent = bytes.len() as u64;
        equal(
            "bytes read, including drained ones",
            &counts.bytes_in,
            &sent,
        )
    })
}

fn keep_alive_answers_one_request_after_another(context: &Context) -> Check {
    let exchanges: Vec<_> = (0..50)
        .map(|round| context.exchange(&format!("round {round}")))
        .collect();
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    exchanges
        .iter()
        .try_for_each(|exchange| client.expect_answer(exchange))
}

fn keep_alive_answers_pipelined_requests_in_order(context: &Context) -> Check {
    let exchanges: Vec<_> = (0..200)
        .map(|n| context.exchange(&format!("no {n}")))
        .collect();
    let (requests, replies) = joined(&exchanges);
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&requests)?;
    same_bytes("the replies", &client.receive(replies.len())?, &replies)
}

fn keep_alive_answers_a_request_followed_by_half_of_the_next(context: &Context) -> Check {
    let (one, two) = (context.exchange("one"), context.exchange("two"));
    let (head, tail) = two.request.split_at(3);
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&[&one.request, head].concat())?;
    same_bytes("the reply", &client.receive(one.reply.len())?, &one.reply)?;
    client.send(tail)?;
    let reply = client.receive(two.reply.len())?;
    same_bytes("the second reply", &reply, &two.reply)
}

fn keep_alive_does_not_mix_the_replies_of_two_connections(context: &Context) -> Check {
    let (of_one, of_two) = (context.exchange("of one"), context.exchange("of two"));
    let (head, tail) = of_one.request.split_at(5);
    let server = context.keep_alive().start()?;
    let (mut one, mut two) = (server.connect()?, server.connect()?);
    one.send(head)?;
    two.expect_answer(&of_two)?;
    one.send(tail)?;
    let reply = one.receive(of_one.reply.len())?;
    same_bytes("the reply to one", &reply, &of_one.reply)?;
    two.expect_answer(&of_two)
}

fn keep_alive_closes_after_the_client_finishes_sending(context: &Context) -> Check {
    let ahoy = context.exchange("ahoy");
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.expect_answer(&ahoy)?;
    client.half_close()?;
    client.expect_fin()
}

fn a_half_closed_client_gets_its_reply(context: &Context) -> Check {
    let Exchange { request, reply } = context.exchange("ahoy");
    let server = context.framed().start()?;
    let mut client = HalfCloses.send(server.address(), &request)?;
    client.expect_last("the reply", &reply)
}

fn a_half_closed_client_gets_every_pipelined_reply(context: &Context) -> Check {
    let exchange = context.exchange(&text(30_000));
    let (requests, replies) = joined([&exchange; 20]);
    let server = context.keep_alive().start()?;
    let mut client = Connection::open(server.address())?;
    let mut sender = client.second_handle()?;
    let sending = std::thread::spawn(move || {
        sender.send(&requests)?;
        sender.half_close()
    });
    client.expect_last("the replies", &replies)?;
    sending
        .join()
        .map_err(|_| crate::Failure::broken("the sender panicked"))?
}

fn fin_without_a_request_is_a_normal_close(context: &Context) -> Check {
    let server = context.framed().start()?;
    let mut client = HalfCloses.send(server.address(), b"")?;
    client.expect_fin()?;
    server.check_counts(1, |counts| {
        equal("requests", &counts.requests, &0)?;
        equal("connections closed as done", &counts.closed.done, &1)
    })
}

fn ten_thousand_pipelined_requests_are_all_answered(context: &Context) -> Check {
    const REQUESTS: usize = 10_000;
    let Exchange { request, reply } = context.exchange("once more");
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    let sending = PipelinesMany::begin(&client, &request, REQUESTS)?;
    let replies = reply.repeat(REQUESTS);
    same_bytes("the replies", &client.receive(replies.len())?, &replies)?;
    equal("whether every request was sent", &sending.sent_all(), &true)
}

fn answers_over_ipv6(context: &Context) -> Check {
    let six = context.request("six");
    super::poem_served::needs_ipv6()?;
    let server = context
        .keep_alive()
        .at((std::net::Ipv6Addr::LOCALHOST, 0).into())
        .start()?;
    let mut client = server.connect()?;
    client.send(&six)?;
    client.expect_reply("SIX")
}

fn a_server_of_two_threads_answers_every_client(context: &Context) -> Check {
    let requests: Vec<_> = (0..40)
        .map(|number| context.request(&format!("client {number}")))
        .collect();
    let server = context.keep_alive().threads(2).start()?;
    let mut clients = Vec::new();
    for request in &requests {
        let mut client = server.connect()?;
        client.send(request)?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect_reply(&format!("CLIENT {number}"))?;
    }
    let counts = server.wait_until("40 answers", |counts| counts.answered == 40)?;
    equal("connections open", &counts.open, &40)
}
