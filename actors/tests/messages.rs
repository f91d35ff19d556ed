//! Messages and calls (O1, O7), timeouts, and the end of a node, on virtual time.

mod common;

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use actors::{CallError, Next, Node, Pid, Reason, SendError};

use common::{Action, DEADLINE, Seen, TestNode, act, all, enter, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o1_a_sender_to_a_full_mailbox_waits_and_no_message_is_lost_or_reordered() {
    let test = TestNode::new();
    let (slow, seen) = test.puppet("slow");
    let (sender, _) = test.puppet("sender");
    test.make(&slow, |_, me| {
        me.call(&me.pid(), SECOND, unanswered, |_, _, _| Next::Receive);
        Next::Receive
    });
    // `slow` now waits for itself. Its mailbox holds its own call and has room for one more message.
    let to = slow.clone();
    test.make(&sender, move |_, me| {
        for number in 0..9 {
            me.send(&to, word(number));
        }
        Next::Receive
    });
    assert_eq!(slow.process().mailbox(), (2, 2));
    assert_eq!(all(&seen), []);
    // A sender that does not wait gets an error.
    assert!(matches!(
        slow.try_send(act(|_, _| Next::Receive)),
        Err(SendError::Full(_))
    ));
    test.clock.advance(SECOND);
    let said: Vec<_> = (0..9).map(|word| Seen::Said(word.to_string())).collect();
    assert_eq!(all(&seen), said);
}

#[test]
fn o1_two_processes_that_call_each_other_through_full_mailboxes_time_out() {
    let test = TestNode::new();
    let (one, one_seen) = test.puppet("one");
    let (two, two_seen) = test.puppet("two");
    let calls = |other: Pid<Action>| {
        act(move |_, me| {
            for _ in 0..3 {
                me.call(&other, SECOND, unanswered, |puppet, answer, _| {
                    puppet.say(answer.unwrap_err());
                    Next::Receive
                });
            }
            Next::Receive
        })
    };
    // One process sends to both, so that neither calls before both have their message.
    let (sender, _) = test.puppet("sender");
    let messages = [(one.clone(), calls(two.clone())), (two, calls(one))];
    test.make(&sender, move |_, me| {
        for (pid, calls) in messages {
            me.send(&pid, calls);
        }
        Next::Receive
    });
    assert_eq!((all(&one_seen), all(&two_seen)), (vec![], vec![]));
    test.clock.advance(4 * SECOND);
    for seen in [one_seen, two_seen] {
        assert_eq!(all(&seen)[0], Seen::Said(CallError::Timeout.to_string()));
    }
}

#[test]
fn o7_a_call_times_out_and_a_late_reply_is_ignored() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, seen) = test.puppet("caller");
    let (keep, kept) = mpsc::channel();
    let to = callee.clone();
    test.make(&caller, move |_, me| {
        me.call(
            &to,
            SECOND,
            move |reply| {
                act(move |_, _| {
                    keep.send(reply).unwrap();
                    Next::Receive
                })
            },
            |caller, answer: Result<u8, _>, _| {
                caller.say(answer.unwrap_err());
                Next::Receive
            },
        );
        Next::Receive
    });
    test.clock.advance(SECOND / 2);
    assert_eq!(all(&seen), []);
    test.clock.advance(SECOND / 2);
    assert_eq!(all(&seen), [Seen::Said(CallError::Timeout.to_string())]);
    kept.recv_timeout(DEADLINE).unwrap().send(7);
    test.clock.settle();
    assert_eq!(all(&seen), []);
}

#[test]
fn o7_a_call_from_outside_times_out_although_its_arbiter_is_busy() {
    let test = TestNode::new();
    let (busy, _) = test.puppet("busy");
    let (entered, enters) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    test.node.send(
        &busy,
        act(move |_, _| {
            entered.send(()).unwrap();
            // Until the test drops its end, which it does after the call.
            let _ = released.recv();
            Next::Receive
        }),
    );
    enters.recv_timeout(DEADLINE).unwrap();
    let called = test.node.call(&busy, Duration::from_millis(1), unanswered);
    assert_eq!(called, Err(CallError::Timeout));
    drop(release);
}

#[test]
fn o7_a_call_fails_at_once_if_the_process_has_ended_or_ends_without_replying() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, seen) = test.puppet("caller");
    for _ in 0..2 {
        let to = callee.clone();
        test.make(&caller, move |_, me| {
            let ask = |reply| {
                act(move |_, _| {
                    let _reply = reply;
                    Next::Exit(Reason::Normal)
                })
            };
            me.call::<_, ()>(&to, SECOND, ask, |caller, answer, _| {
                caller.say(answer.unwrap_err());
                Next::Receive
            });
            Next::Receive
        });
        assert_eq!(all(&seen), [Seen::Said(CallError::NoProcess.to_string())]);
    }
}

#[test]
fn a_timeout_comes_once_at_the_time_that_was_set_last() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    test.make(&puppet, |_, me| {
        me.after(5 * SECOND);
        me.after(SECOND);
        me.after(3 * SECOND);
        Next::Receive
    });
    test.clock.advance(2 * SECOND);
    assert_eq!(all(&seen), []);
    test.clock.advance(20 * SECOND);
    assert_eq!(all(&seen), [Seen::Timeout]);
    test.make(&puppet, |_, me| {
        me.after(SECOND);
        me.forever();
        Next::Receive
    });
    test.clock.advance(20 * SECOND);
    assert_eq!(all(&seen), []);
}

/// On the real clock, which cannot represent so late a time.
#[test]
fn a_process_that_waits_for_ever_does_not_stop_the_timeouts_of_others() {
    let node = Node::start(NonZeroUsize::MIN).unwrap();
    let (patient, _) = enter(&node, "patient", false);
    let (other, seen) = enter(&node, "other", false);
    let wait = |puppet, wait| {
        let action = act(move |_, me| {
            me.after(wait);
            Next::Receive
        });
        node.send(puppet, action);
    };
    wait(&patient, Duration::MAX);
    for _ in 0..2 {
        wait(&other, Duration::from_millis(1));
        assert_eq!(seen.recv_timeout(DEADLINE), Ok(Seen::Timeout));
    }
    node.stop();
}

#[test]
fn stopping_a_node_kills_its_processes_and_fails_calls_from_outside() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    test.node.stop();
    assert_eq!(all(&seen), [Seen::Ended(Reason::Killed)]);
    let answer = test.node.call(&puppet, SECOND, unanswered);
    assert_eq!(answer, Err(CallError::NoProcess));
}

#[test]
fn o1_a_process_that_always_has_mail_does_not_starve_the_others() {
    let test = TestNode::new();
    let (busy, _) = test.puppet("busy");
    let (other, seen) = test.puppet("other");
    // Each message sends the next one.
    fn again(busy: &Pid<Action>) -> Action {
        let to = busy.clone();
        act(move |_, me| {
            me.send(&to, again(&to));
            Next::Receive
        })
    }
    test.node.send(&busy, again(&busy));
    test.node.send(&other, word("seen"));
    let said = seen.recv_timeout(DEADLINE).unwrap();
    assert_eq!(said, Seen::Said("seen".to_owned()));
    busy.process().kill();
}
