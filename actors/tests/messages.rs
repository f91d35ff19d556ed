//! What OTP promises of messages and calls (O1, O7), and what processes have besides: timeouts, names, an end with
//! their node. On virtual time.

mod common;

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use actors::monitor::Reason;
use actors::process::{CallError, Name, Next, Node, Pid, SendError};

use common::{DEADLINE, Do, Heard, Stage, act, all, enter};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o1_a_full_mailbox_holds_its_sender_back_and_nothing_is_lost_or_reordered() {
    let stage = Stage::new();
    let (slow, heard) = stage.puppet("slow");
    let (sender, _) = stage.puppet("sender");
    stage.make(&slow, |_, me| {
        me.call(
            &me.pid(),
            SECOND,
            |reply| {
                act(move |_, _| {
                    reply.send(());
                    Next::Receive
                })
            },
            |_, _: Result<(), _>, _| Next::Receive,
        );
        Next::Receive
    });
    // `slow` now waits for itself; its mailbox holds its own call and one more.
    let to = slow.clone();
    stage.make(&sender, move |_, me| {
        for word in 0..9 {
            me.send(
                &to,
                act(move |slow, _| {
                    slow.say(word);
                    Next::Receive
                }),
            );
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
    stage.clock.advance(SECOND);
    let said: Vec<_> = (0..9).map(|word| Heard::Said(word.to_string())).collect();
    assert_eq!(all(&heard), said);
}

#[test]
fn o1_two_that_call_each_other_through_full_mailboxes_end_by_the_timeout() {
    let stage = Stage::new();
    let (one, one_heard) = stage.puppet("one");
    let (two, two_heard) = stage.puppet("two");
    let calls = |other: Pid<Do>| {
        act(move |_, me| {
            for _ in 0..3 {
                let ask = |reply| {
                    act(move |_, _| {
                        drop(reply);
                        Next::Receive
                    })
                };
                me.call::<_, ()>(&other, SECOND, ask, |puppet, answer, _| {
                    puppet.say(answer.unwrap_err());
                    Next::Receive
                });
            }
            Next::Receive
        })
    };
    // One process tells both, so that neither can have called before the other was told to.
    let (teller, _) = stage.puppet("teller");
    let told = [(one.clone(), calls(two.clone())), (two, calls(one))];
    stage.make(&teller, move |_, me| {
        for (pid, calls) in told {
            me.send(&pid, calls);
        }
        Next::Receive
    });
    assert_eq!((all(&one_heard), all(&two_heard)), (vec![], vec![]));
    stage.clock.advance(4 * SECOND);
    for heard in [one_heard, two_heard] {
        assert_eq!(all(&heard)[0], Heard::Said(CallError::Timeout.to_string()));
    }
}

#[test]
fn o7_a_call_has_a_timeout_and_a_late_answer_disturbs_nobody() {
    let stage = Stage::new();
    let (callee, _) = stage.puppet("callee");
    let (caller, heard) = stage.puppet("caller");
    let (keep, kept) = mpsc::channel();
    let to = callee.clone();
    stage.make(&caller, move |_, me| {
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
    stage.clock.advance(SECOND / 2);
    assert_eq!(all(&heard), []);
    stage.clock.advance(SECOND / 2);
    assert_eq!(all(&heard), [Heard::Said(CallError::Timeout.to_string())]);
    kept.recv_timeout(DEADLINE).unwrap().send(7);
    stage.clock.settle();
    assert_eq!(all(&heard), []);
}

#[test]
fn o7_calling_the_dead_is_an_error_at_once_and_so_is_one_that_dies_without_answering() {
    let stage = Stage::new();
    let (callee, _) = stage.puppet("callee");
    let (caller, heard) = stage.puppet("caller");
    for _ in 0..2 {
        let to = callee.clone();
        stage.make(&caller, move |_, me| {
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
    let stage = Stage::new();
    let (puppet, heard) = stage.puppet("puppet");
    stage.make(&puppet, |_, me| {
        me.after(5 * SECOND);
        me.after(SECOND);
        me.after(3 * SECOND);
        Next::Receive
    });
    stage.clock.advance(2 * SECOND);
    assert_eq!(all(&heard), []);
    stage.clock.advance(20 * SECOND);
    assert_eq!(all(&heard), [Heard::Timeout]);
    stage.make(&puppet, |_, me| {
        me.after(SECOND);
        me.forever();
        Next::Receive
    });
    stage.clock.advance(20 * SECOND);
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
    let stage = Stage::new();
    let (first, _) = stage.puppet("first");
    let (second, _) = stage.puppet("second");
    let name = Name::new("laureate");
    assert!(stage.node.register(name, &first));
    assert!(!stage.node.register(name, &second));
    assert!(stage.node.whereis::<u8>(name).is_none());
    stage.make(&first, |_, _| Next::Exit(Reason::Normal));
    assert!(stage.node.whereis::<common::Do>(name).is_none());
    assert!(stage.node.register(name, &second));
    let found = stage.node.whereis::<common::Do>(name).unwrap();
    assert_eq!(found.process().id(), second.process().id());
}

#[test]
fn a_node_that_stops_ends_its_processes_and_tells_those_who_wait_outside() {
    let stage = Stage::new();
    let (puppet, heard) = stage.puppet("puppet");
    stage.node.stop();
    assert_eq!(all(&heard), [Heard::Ended(Reason::Killed)]);
    let answer = stage.node.call::<_, ()>(&puppet, SECOND, |reply| {
        act(move |_, _| {
            drop(reply);
            Next::Receive
        })
    });
    assert_eq!(answer, Err(CallError::NoProcess));
}

#[test]
fn o1_a_process_that_never_runs_out_of_mail_lets_others_have_their_turn() {
    let stage = Stage::new();
    let (busy, _) = stage.puppet("busy");
    let (other, heard) = stage.puppet("other");
    // It sends itself the next message while it handles this one.
    fn again(busy: &Pid<Do>) -> Do {
        let to = busy.clone();
        act(move |_, me| {
            me.send(&to, again(&to));
            Next::Receive
        })
    }
    stage.node.send(&busy, again(&busy));
    let deed = act(|other, _| {
        other.say("heard");
        Next::Receive
    });
    stage.node.send(&other, deed);
    let said = heard.recv_timeout(DEADLINE).unwrap();
    assert_eq!(said, Heard::Said("heard".to_owned()));
    busy.process().kill();
}
