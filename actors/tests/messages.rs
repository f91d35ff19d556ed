//! What OTP promises of messages and calls (O1, O7), and what processes have besides: timeouts, names, an end with
//! their node. On virtual time.

mod common;

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use actors::monitor::Reason;
use actors::process::{CallError, Name, Next, Node, Pid, SendError};

use common::{DEADLINE, Do, Heard, TestNode, act, all, enter, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o1_a_full_mailbox_holds_its_sender_back_and_nothing_is_lost_or_reordered() {
    let test = TestNode::new();
    let (slow, heard) = test.puppet("slow");
    let (sender, _) = test.puppet("sender");
    test.make(&slow, |_, me| {
        me.call(&me.pid(), SECOND, unanswered, |_, _, _| Next::Receive);
        Next::Receive
    });
    // `slow` now waits for itself; its mailbox holds its own call and one more.
    let to = slow.clone();
    test.make(&sender, move |_, me| {
        for number in 0..9 {
            me.send(&to, word(number));
        }
        Next::Receive
    });
    assert_eq!(slow.process().mailbox(), (2, 2));
    assert_eq!(all(&heard), []);
    // Another sender without patience is told.
    assert!(matches!(
        slow.try_send(act(|_, _| Next::Receive)),
        Err(SendError::Full(_))
    ));
    test.clock.advance(SECOND);
    let said: Vec<_> = (0..9).map(|word| Heard::Said(word.to_string())).collect();
    assert_eq!(all(&heard), said);
}

#[test]
fn o1_two_that_call_each_other_through_full_mailboxes_end_by_the_timeout() {
    let test = TestNode::new();
    let (one, one_heard) = test.puppet("one");
    let (two, two_heard) = test.puppet("two");
    let calls = |other: Pid<Do>| {
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
    // One process tells both, so that neither can have called before the other was told to.
    let (teller, _) = test.puppet("teller");
    let told = [(one.clone(), calls(two.clone())), (two, calls(one))];
    test.make(&teller, move |_, me| {
        for (pid, calls) in told {
            me.send(&pid, calls);
        }
        Next::Receive
    });
    assert_eq!((all(&one_heard), all(&two_heard)), (vec![], vec![]));
    test.clock.advance(4 * SECOND);
    for heard in [one_heard, two_heard] {
        assert_eq!(all(&heard)[0], Heard::Said(CallError::Timeout.to_string()));
    }
}

#[test]
fn o7_a_call_has_a_timeout_and_a_late_answer_disturbs_nobody() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, heard) = test.puppet("caller");
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
    assert_eq!(all(&heard), []);
    test.clock.advance(SECOND / 2);
    assert_eq!(all(&heard), [Heard::Said(CallError::Timeout.to_string())]);
    kept.recv_timeout(DEADLINE).unwrap().send(7);
    test.clock.settle();
    assert_eq!(all(&heard), []);
}

#[test]
fn o7_calling_the_dead_is_an_error_at_once_and_so_is_one_that_dies_without_answering() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, heard) = test.puppet("caller");
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
        assert_eq!(all(&heard), [Heard::Said(CallError::NoProcess.to_string())]);
    }
}

#[test]
fn a_timeout_comes_once_and_only_for_the_last_wish() {
    let test = TestNode::new();
    let (puppet, heard) = test.puppet("puppet");
    test.make(&puppet, |_, me| {
        me.after(5 * SECOND);
        me.after(SECOND);
        me.after(3 * SECOND);
        Next::Receive
    });
    test.clock.advance(2 * SECOND);
    assert_eq!(all(&heard), []);
    test.clock.advance(20 * SECOND);
    assert_eq!(all(&heard), [Heard::Timeout]);
    test.make(&puppet, |_, me| {
        me.after(SECOND);
        me.forever();
        Next::Receive
    });
    test.clock.advance(20 * SECOND);
    assert_eq!(all(&heard), []);
}

/// On the real clock, which cannot say so late a time.
#[test]
fn who_waits_for_ever_does_not_stop_the_clock_of_others() {
    let node = Node::start(NonZeroUsize::MIN).unwrap();
    let (patient, _) = enter(&node, "patient", false);
    let (other, heard) = enter(&node, "other", false);
    let wait = |puppet, wait| {
        let deed = act(move |_, me| {
            me.after(wait);
            Next::Receive
        });
        node.send(puppet, deed);
    };
    wait(&patient, Duration::MAX);
    for _ in 0..2 {
        wait(&other, Duration::from_millis(1));
        assert_eq!(heard.recv_timeout(DEADLINE), Ok(Heard::Timeout));
    }
    node.stop();
}

#[test]
fn a_name_belongs_to_the_living() {
    let test = TestNode::new();
    let (first, _) = test.puppet("first");
    let (second, _) = test.puppet("second");
    let name = Name::new("laureate");
    assert!(test.node.register(name, &first));
    assert!(!test.node.register(name, &second));
    assert!(test.node.whereis::<u8>(name).is_none());
    test.make(&first, |_, _| Next::Exit(Reason::Normal));
    assert!(test.node.whereis::<common::Do>(name).is_none());
    assert!(test.node.register(name, &second));
    let found = test.node.whereis::<common::Do>(name).unwrap();
    assert_eq!(found.process().id(), second.process().id());
}

#[test]
fn a_node_that_stops_ends_its_processes_and_tells_those_who_wait_outside() {
    let test = TestNode::new();
    let (puppet, heard) = test.puppet("puppet");
    test.node.stop();
    assert_eq!(all(&heard), [Heard::Ended(Reason::Killed)]);
    let answer = test.node.call(&puppet, SECOND, unanswered);
    assert_eq!(answer, Err(CallError::NoProcess));
}

#[test]
fn o1_a_process_that_never_runs_out_of_mail_lets_others_have_their_turn() {
    let test = TestNode::new();
    let (busy, _) = test.puppet("busy");
    let (other, heard) = test.puppet("other");
    // It sends itself the next message while it handles this one.
    fn again(busy: &Pid<Do>) -> Do {
        let to = busy.clone();
        act(move |_, me| {
            me.send(&to, again(&to));
            Next::Receive
        })
    }
    test.node.send(&busy, again(&busy));
    test.node.send(&other, word("heard"));
    let said = heard.recv_timeout(DEADLINE).unwrap();
    assert_eq!(said, Heard::Said("heard".to_owned()));
    busy.process().kill();
}
