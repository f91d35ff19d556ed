//! Deviations from Erlang that SEMANTICS.md names, one test each; those of supervisors are in `supervision`. `tests/otp`
//! compares everything else.

mod common;

use std::time::Duration;

use actors::{CallError, Next, Reason};

use common::{Seen, TestNode, act, all, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o1_bounded_mailbox_a_sender_that_is_killed_while_it_waits_for_room_does_not_send() {
    let test = TestNode::new();
    let (busy, seen) = test.puppet("busy");
    let (sender, _) = test.puppet("sender");
    let to = busy.clone();
    // `busy` waits for its own reply, and its mailbox holds two.
    test.make(&busy, move |_, me| {
        me.call(&to, SECOND, unanswered, |_, _, _| Next::Receive);
        Next::Receive
    });
    let to = busy.clone();
    test.make(&sender, move |_, me| {
        me.send(&to, word("arrives"));
        me.send(&to, word("waits"));
        Next::Receive
    });
    assert_eq!(busy.process().mailbox(), (2, 2));
    sender.process().kill();
    test.clock.advance(SECOND);
    assert_eq!(all(&seen), [Seen::Said("arrives".to_owned())]);
}

#[test]
fn o2_whole_handler_a_link_to_a_process_that_has_ended_takes_effect_after_the_handler() {
    let test = TestNode::new();
    let (ended, _) = test.puppet("ended");
    test.exit(&ended, Reason::Normal);
    let (linking, seen) = test.puppet("linking");
    let process = ended.process();
    test.make(&linking, move |linking, me| {
        me.link(&process);
        linking.say("goes on");
        Next::Receive
    });
    let goes_on = Seen::Said("goes on".to_owned());
    assert_eq!(all(&seen), [goes_on, Seen::Ended(Reason::NoProcess)]);
}

#[test]
fn o2_watch_at_once_a_monitor_behind_an_exit_that_is_on_its_way_tells_the_reason() {
    let test = TestNode::new();
    let (watched, _) = test.puppet("watched");
    let (watcher, seen) = test.trapper("watcher");
    let process = watched.process();
    test.make(&watcher, move |_, me| {
        me.exit(&process, Reason::crash("no rhyme"));
        me.monitor(&process);
        me.link(&process);
        Next::Receive
    });
    let no_rhyme = Reason::crash("no rhyme");
    let reasons: Vec<_> = all(&seen).into_iter().map(reason).collect();
    assert_eq!(reasons, [no_rhyme.clone(), no_rhyme]);
}

fn reason(seen: Seen) -> Reason {
    match seen {
        Seen::Down(down) => down.reason,
        Seen::Exit(exit) => exit.reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn o7_dropped_reply_a_call_whose_reply_is_dropped_fails_at_once() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, seen) = test.puppet("caller");
    let to = callee.clone();
    test.make(&caller, move |_, me| {
        let drops = |reply: actors::Reply<()>| {
            act(move |_, _| {
                drop(reply);
                Next::Receive
            })
        };
        me.call(&to, SECOND, drops, |caller, answer, _| {
            caller.say(answer.unwrap_err());
            Next::Receive
        });
        Next::Receive
    });
    let failed = Seen::Said(CallError::NoProcess.to_string());
    assert_eq!(all(&seen), [failed]);
    assert!(callee.process().is_alive());
}
