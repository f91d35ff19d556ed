//! The transform server's replies (S3, S5, S6): one in one-shot, all of them in order in keep-alive, even if the client
//! has half-closed.

use crate::case::cases;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Check, equal, same_bytes};
use crate::peers::{HalfCloses, PipelinesMany};
use crate::wire::{NON_ASCII, netstring, request, text, transformed};

cases! { TransformServer:
    replies_with_one_netstring_then_closes [S3],
    applies_each_transform [S3] needs [KeepAlive],
    splits_the_request_at_its_first_dot [S3],
    answers_an_empty_poem_with_an_empty_reply [S4],
    transforms_a_non_ascii_poem [S2 S3],
    answers_only_the_first_of_two_requests_in_one_segment [S5],
    answers_only_the_first_of_two_requests_in_two_segments [S5] needs [Counters],
    one_shot_discards_garbage_after_the_first_request [S5] needs [Counters],
    keep_alive_answers_one_request_after_another [S5] needs [KeepAlive],
    keep_alive_answers_pipelined_requests_in_order [S5] needs [KeepAlive],
    keep_alive_answers_a_request_followed_by_half_of_the_next [S5] needs [KeepAlive],
    keep_alive_does_not_mix_the_replies_of_two_connections [S5] needs [KeepAlive],
    keep_alive_closes_after_the_client_finishes_sending [S5 S6] needs [KeepAlive],
    a_half_closed_client_gets_its_reply [S6],
    a_half_closed_client_gets_every_pipelined_reply [S6] needs [KeepAlive],
    fin_without_a_request_is_a_normal_close [S6] needs [Counters],
    ten_thousand_pipelined_requests_are_all_answered [S5] needs [KeepAlive],
    answers_over_ipv6 [S3 S5] needs [KeepAlive],
    a_server_of_two_threads_answers_every_client [S3 S16] needs [Threads KeepAlive],
}

fn replies_with_one_netstring_then_closes(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "ahoy"))?;
    client.expect_last("the reply", b"4:AHOY,")
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

fn answers_an_empty_poem_with_an_empty_reply(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(b"12:cummingsify.,")?;
    client.expect_last("the reply", b"0:,")
}

fn transforms_a_non_ascii_poem(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&request("cummingsify", NON_ASCII))?;
    let expected = netstring(transformed("cummingsify", NON_ASCII));
    client.expect_last("the reply, longer than the poem", &expected)
}

fn answers_only_the_first_of_two_requests_in_one_segment(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&[request("shout", "one"), request("shout", "two")].concat())?;
    client.expect_last("the replies", b"3:ONE,")
}

fn answers_only_the_first_of_two_requests_in_two_segments(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "one"))?;
    client.expect_reply("ONE")?;
    client.send(&request("shout", "two"))?;
    client.expect_fin()?;
    drop(client);
    let counts = server.settled(1)?;
    equal(
        "requests and answers",
        &(counts.requests, counts.answered),
        &(1, 1),
    )
}

fn one_shot_discards_garbage_after_the_first_request(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = server.connect()?;
    let bytes = [request("shout", "one"), b"07:garbage;".to_vec()].concat();
    client.send(&bytes)?;
    client.expect_last("the replies", b"3:ONE,")?;
    drop(client);
    let counts = server.settled(1)?;
    equal("requests refused", &counts.refused.total(), &0)?;
    equal("connections closed as done", &counts.closed.done, &1)?;
    equal(
        "bytes read, including drained ones",
        &counts.bytes_in,
        &(bytes.len() as u64),
    )
}

fn keep_alive_answers_one_request_after_another(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    for round in 0..50 {
        client.send(&request("shout", &format!("round {round}")))?;
        client.expect_reply(&format!("ROUND {round}"))?;
    }
    Ok(())
}

fn keep_alive_answers_pipelined_requests_in_order(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    let requests: Vec<u8> = (0..200)
        .flat_map(|n| request("shout", &format!("no {n}")))
        .collect();
    let replies: Vec<u8> = (0..200)
        .flat_map(|n| netstring(format!("NO {n}")))
        .collect();
    client.send(&requests)?;
    same_bytes("the replies", &client.receive(replies.len())?, &replies)
}

fn keep_alive_answers_a_request_followed_by_half_of_the_next(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    let second = request("shout", "two");
    client.send(&[request("shout", "one"), second[..6].to_vec()].concat())?;
    client.expect_reply("ONE")?;
    client.send(&second[6..])?;
    client.expect_reply("TWO")
}

fn keep_alive_does_not_mix_the_replies_of_two_connections(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let (mut one, mut two) = (server.connect()?, server.connect()?);
    let (of_one, of_two) = (request("shout", "of one"), request("shout", "of two"));
    let (head, tail) = of_one.split_at(9);
    one.send(head)?;
    two.send(&of_two)?;
    two.expect_reply("OF TWO")?;
    one.send(tail)?;
    one.expect_reply("OF ONE")?;
    two.send(&of_two)?;
    two.expect_reply("OF TWO")
}

fn keep_alive_closes_after_the_client_finishes_sending(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "ahoy"))?;
    client.expect_reply("AHOY")?;
    client.half_close()?;
    client.expect_fin()
}

fn a_half_closed_client_gets_its_reply(context: &Context) -> Check {
    let server = context.one_shot().start()?;
    let mut client = HalfCloses.send(server.address(), &request("shout", "ahoy"))?;
    client.expect_last("the reply", b"4:AHOY,")
}

fn a_half_closed_client_gets_every_pipelined_reply(context: &Context) -> Check {
    let server = context.keep_alive().start()?;
    let poem = text(30_000);
    let requests: Vec<u8> = (0..20).flat_map(|_| request("shout", &poem)).collect();
    let replies: Vec<u8> = (0..20)
        .flat_map(|_| netstring(poem.to_uppercase()))
        .collect();
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
    let server = context.one_shot().start()?;
    let mut client = HalfCloses.send(server.address(), b"")?;
    client.expect_fin()?;
    let counts = server.settled(1)?;
    equal("requests", &counts.requests, &0)?;
    equal("connections closed as done", &counts.closed.done, &1)
}

fn ten_thousand_pipelined_requests_are_all_answered(context: &Context) -> Check {
    const REQUESTS: usize = 10_000;
    let server = context.keep_alive().start()?;
    let mut client = server.connect()?;
    let sending = PipelinesMany::begin(&client, &request("shout", "once more"), REQUESTS)?;
    let replies = netstring("ONCE MORE").repeat(REQUESTS);
    same_bytes("the replies", &client.receive(replies.len())?, &replies)?;
    equal("whether every request was sent", &sending.sent_all(), &true)
}

fn answers_over_ipv6(context: &Context) -> Check {
    super::poem_served::needs_ipv6()?;
    let server = context
        .keep_alive()
        .at((std::net::Ipv6Addr::LOCALHOST, 0).into())
        .start()?;
    let mut client = server.connect()?;
    client.send(&request("shout", "six"))?;
    client.expect_reply("SIX")
}

fn a_server_of_two_threads_answers_every_client(context: &Context) -> Check {
    let server = context.keep_alive().threads(2).start()?;
    let mut clients = Vec::new();
    for number in 0..40 {
        let mut client = server.connect()?;
        client.send(&request("shout", &format!("client {number}")))?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.expect_reply(&format!("CLIENT {number}"))?;
    }
    let counts = server.wait_until("40 answers", |counts| counts.answered == 40)?;
    equal("connections open", &counts.open, &40)
}
