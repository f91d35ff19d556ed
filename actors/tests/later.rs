//! Messages that a process receives later: those of its own timers (O8), on virtual time.

mod common;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use actors::{Me, Next, Reason, SendError, TIMERS_MAX, TimerId};

use common::{Puppet, Seen, TestNode, act, all, unanswered, word};

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
