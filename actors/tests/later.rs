//! Messages that a process receives later: those of its own timers (O8) and those that it postpones (O11), on virtual time.

mod common;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use actors::{Me, Next, NoPort, Pid, Process, Reason, Received, SendError, TIMERS_MAX, TimerId};

use common::{Action, DEADLINE, Puppet, Seen, TestNode, act, all, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

fn said(words: &[&str]) -> Vec<Seen> {
    let said = |word: &&str| Seen::Said((*word).to_owned());
    words.iter().map(said).collect()
}

/// Makes a puppet say `text` after `wait`.
fn say_after(me: &mut Me<'_, Puppet>, wait: Duration, text: &'static str) -> TimerId {
    let timer = me.send_after(wait, word(text));
    timer.ok().expect("room for a timer")
}

#[test]
fn o8_the_messages_of_several_timers_come_in_the_order_of_their_times_and_then_of_their_setting() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    test.make(&puppet, |_, me| {
        for (seconds, text) in [(3, "d"), (1, "a"), (2, "b"), (2, "c")] {
            say_after(me, seconds * SECOND, text);
        }
        say_after(me, Duration::MAX, "never");
        Next::Receive
    });
    test.clock.advance(SECOND / 2);
    assert_eq!(all(&seen), []);
    test.clock.advance(SECOND);
    assert_eq!(all(&seen), said(&["a"]));
    test.clock.advance(20 * SECOND);
    assert_eq!(all(&seen), said(&["b", "c", "d"]));
}

#[test]
fn o8_a_timer_neither_changes_the_timeout_nor_needs_room_in_the_mailbox() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    let to = puppet.clone();
    test.make(&puppet, |_, me| {
        me.after(2 * SECOND);
        say_after(me, SECOND, "timer");
        say_after(me, 3 * SECOND, "timer");
        // It receives nothing for four seconds.
        me.call(&me.pid(), 4 * SECOND, unanswered, |_, _, _| Next::Receive);
        Next::Receive
    });
    to.try_send(word("mail")).ok().expect("room for one");
    let full = to.try_send(word("too much"));
    assert!(matches!(full, Err(SendError::Full(_))));
    test.clock.advance(5 * SECOND);
    let mut expected = said(&["mail", "timer", "timer"]);
    expected.push(Seen::Timeout);
    assert_eq!(all(&seen), expected);
}

#[test]
fn o8_a_cancelled_timer_says_how_much_time_was_left_and_its_message_never_comes() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    test.make(&puppet, |puppet, me| {
        let timer = say_after(me, 5 * SECOND, "never");
        puppet.say(format!("{:?}", me.cancel_timer(timer)));
        puppet.say(format!("{:?}", me.cancel_timer(timer)));
        let timer = say_after(me, SECOND, "never");
        // Its time comes during the call.
        me.call(
            &me.pid(),
            2 * SECOND,
            unanswered,
            move |puppet: &mut Puppet, _, me| {
                puppet.say(format!("{:?}", me.cancel_timer(timer)));
                Next::Receive
            },
        );
        Next::Receive
    });
    test.clock.advance(20 * SECOND);
    assert_eq!(all(&seen), said(&["Some(5s)", "None", "Some(0ns)"]));
}

#[test]
fn o8_a_timer_whose_message_was_received_can_no_longer_be_cancelled() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    let (set, timers) = mpsc::channel();
    test.make(&puppet, move |_, me| {
        set.send(say_after(me, SECOND, "timer")).unwrap();
        Next::Receive
    });
    test.clock.advance(SECOND);
    let timer = timers.recv().unwrap();
    test.make(&puppet, move |puppet, me| {
        puppet.say(format!("{:?}", me.cancel_timer(timer)));
        Next::Receive
    });
    assert_eq!(all(&seen), said(&["timer", "None"]));
}

#[test]
fn o8_a_process_has_a_bounded_number_of_timers() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    test.make(&puppet, |puppet, me| {
        let timers: Vec<_> = (0..TIMERS_MAX)
            .map(|_| say_after(me, SECOND, "timer"))
            .collect();
        let full = me.send_after(SECOND, word("never"));
        assert!(matches!(full, Err(SendError::Full(_))));
        me.cancel_timer(timers[0]);
        say_after(me, SECOND, "timer");
        puppet.say("set");
        Next::Receive
    });
    assert_eq!(all(&seen), said(&["set"]));
    test.clock.advance(SECOND);
    assert_eq!(all(&seen), said(&["timer"; TIMERS_MAX]));
}

#[test]
fn o8_timers_end_with_their_process_and_release_their_messages() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    let ink = Arc::new(());
    let held = Arc::clone(&ink);
    test.make(&puppet, move |_, me| {
        let message = act(move |_, _| {
            let _ = &held;
            Next::Receive
        });
        let _ = me.send_after(SECOND, message);
        Next::Receive
    });
    assert_eq!(Arc::strong_count(&ink), 2);
    test.exit(&puppet, Reason::Normal);
    assert_eq!(Arc::strong_count(&ink), 1);
    test.clock.advance(2 * SECOND);
    assert_eq!(all(&seen), [Seen::Ended(Reason::Normal)]);
}

/// Lets nothing in at first, even numbers once it is opened, and all once it is opened again.
struct Door {
    opened: u32,
    log: mpsc::Sender<String>,
}

enum ToDoor {
    Number(u32),
    Open,
}

impl Process for Door {
    type Message = ToDoor;
    type Port = NoPort;
    const MAILBOX: usize = 4;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        let said = match received {
            Received::Message(ToDoor::Open) => {
                self.opened += 1;
                me.receive_postponed();
                "open".to_owned()
            }
            Received::Message(ToDoor::Number(number)) if number % 2 >= self.opened => {
                match me.postpone(ToDoor::Number(number)) {
                    Ok(()) => return Next::Receive,
                    Err(_) => format!("{number} is one too many"),
                }
            }
            Received::Message(ToDoor::Number(number)) => number.to_string(),
            _ => return Next::Receive,
        };
        self.log.send(said).unwrap();
        Next::Receive
    }
}

fn door(test: &TestNode) -> (Pid<ToDoor>, mpsc::Receiver<String>) {
    let (log, said) = mpsc::channel();
    (test.node.spawn("door", Door { opened: 0, log }), said)
}

fn send(test: &TestNode, to: &Pid<ToDoor>, messages: Vec<ToDoor>) {
    let (sender, _) = test.puppet("sender");
    let to = to.clone();
    // All are in the mailbox before the door runs.
    test.make(&sender, move |_, me| {
        for message in messages {
            me.send(&to, message);
        }
        Next::Receive
    });
}

fn numbers(numbers: impl IntoIterator<Item = u32>) -> Vec<ToDoor> {
    numbers.into_iter().map(ToDoor::Number).collect()
}

#[test]
fn o11_postponed_messages_come_again_in_their_order_and_before_those_in_the_mailbox() {
    let test = TestNode::new();
    let (door, said) = door(&test);
    let said = || said.try_iter().collect::<Vec<_>>();
    send(&test, &door, numbers([1, 2, 3]));
    assert!(said().is_empty());
    let info = test.node.process_info(&door.process(), DEADLINE).unwrap();
    assert_eq!((info.mailbox, info.postponed), ((0, 4), 3));
    send(&test, &door, vec![ToDoor::Open, ToDoor::Number(4)]);
    assert_eq!(said(), ["open", "2", "4"]);
    send(&test, &door, vec![ToDoor::Open, ToDoor::Number(5)]);
    assert_eq!(said(), ["open", "1", "3", "5"]);
}

#[test]
fn o11_as_many_messages_can_be_postponed_as_the_mailbox_holds_and_the_next_still_comes_in() {
    let test = TestNode::new();
    let (door, said) = door(&test);
    let said = || said.try_iter().collect::<Vec<_>>();
    send(&test, &door, numbers([0, 2, 4, 6]));
    send(&test, &door, vec![ToDoor::Number(8), ToDoor::Open]);
    assert_eq!(said(), ["8 is one too many", "open", "0", "2", "4", "6"]);
    // There is room again.
    send(&test, &door, numbers([1, 3, 5, 7]));
    send(&test, &door, numbers([9]));
    assert_eq!(said(), ["9 is one too many"]);
}

#[test]
fn o11_a_process_that_postpones_for_ever_does_not_starve_the_others() {
    let test = TestNode::new();
    let (busy, _) = test.puppet("busy");
    let (other, seen) = test.puppet("other");
    fn again() -> Action {
        act(|_, me| {
            let _ = me.postpone(again());
            me.receive_postponed();
            Next::Receive
        })
    }
    test.node.send(&busy, again());
    test.node.send(&other, word("seen"));
    let said = seen.recv_timeout(DEADLINE).unwrap();
    assert_eq!(said, Seen::Said("seen".to_owned()));
    busy.process().kill();
}
