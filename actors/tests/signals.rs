//! What OTP promises of how processes end, and of who hears of it (O2–O4), on virtual time.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actors::monitor::{Exit, Reason};
use actors::process::{Name, Next};

use common::{Heard, Puppet, TestNode, all, downs, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o2_a_monitor_delivers_exactly_one_down_after_what_the_process_held_is_released() {
    struct Held(Arc<AtomicBool>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let test = TestNode::new();
    let (watched, _, heard) = test.monitored();
    let released = Arc::new(AtomicBool::new(false));
    let held = Held(Arc::clone(&released));
    // It holds something in a wait that never ends.
    test.make(&watched, move |_, me| {
        let wait = async move {
            let _held = held;
            std::future::pending::<()>().await
        };
        me.wait(wait, |_, (), _| Next::Receive);
        Next::Receive
    });
    assert_eq!(all(&heard), []);
    watched.process().exit(Reason::Shutdown);
    test.clock.settle();
    assert!(released.load(Ordering::SeqCst));
    assert_eq!(downs(&heard), [Reason::Shutdown]);
}

#[test]
fn o2_monitoring_the_dead_delivers_at_once_and_every_monitor_delivers_its_own() {
    let test = TestNode::new();
    let (dead, watcher, heard) = test.monitored();
    test.exit(&dead, Reason::Normal);
    assert_eq!(downs(&heard), [Reason::Normal]);
    let target = dead.process();
    test.make(&watcher, move |_, me| {
        assert_ne!(me.monitor(&target), me.monitor(&target));
        Next::Receive
    });
    assert_eq!(downs(&heard), [Reason::NoProcess, Reason::NoProcess]);
}

#[test]
fn o2_demonitor_stops_a_down_that_is_in_the_mailbox_already() {
    let test = TestNode::new();
    let (watched, _) = test.puppet("watched");
    let (watcher, heard) = test.puppet("watcher");
    let target = watched.process();
    test.make(&watcher, move |_, me| {
        let monitor = me.monitor(&target);
        target.kill();
        // While it calls itself, which nobody answers, the process dies and the Down arrives.
        me.call(&me.pid(), SECOND, unanswered, move |_, _, me| {
            assert!(!target.is_alive());
            me.demonitor(monitor, &target);
            Next::Receive
        });
        Next::Receive
    });
    test.clock.advance(2 * SECOND);
    assert_eq!(downs(&heard), []);
}

#[test]
fn o2_what_a_process_sent_before_it_ended_comes_before_its_down() {
    let test = TestNode::new();
    let (watched, watcher, heard) = test.monitored();
    test.make(&watched, move |_, me| {
        // More than the mailbox holds: it stays until all of it is sent.
        for number in 0..5 {
            me.send(&watcher, word(number));
        }
        Next::Exit(Reason::Normal)
    });
    let heard = all(&heard);
    assert_eq!(heard.len(), 6);
    assert_eq!(heard[4], Heard::Said("4".to_owned()));
    assert!(matches!(&heard[5], Heard::Down(down) if down.reason == Reason::Normal));
}

#[test]
fn o3_an_abnormal_exit_takes_the_linked_with_it_and_a_normal_one_does_not() {
    let test = TestNode::new();
    for (reason, ended) in [
        (Reason::Normal, vec![]),
        (Reason::Shutdown, vec![Heard::Ended(Reason::Shutdown)]),
        (Reason::crash("x"), vec![Heard::Ended(Reason::crash("x"))]),
    ] {
        let (one, _) = test.puppet("one");
        let (other, heard) = test.puppet("other");
        test.link(&one, &other);
        test.exit(&one, reason);
        assert_eq!(other.process().is_alive(), ended.is_empty());
        assert_eq!(all(&heard), ended);
    }
}

#[test]
fn o3_one_that_traps_exits_receives_them_as_messages() {
    let test = TestNode::new();
    let (one, _) = test.puppet("one");
    let (trapper, heard) = test.trapper("trapper");
    test.link(&one, &trapper);
    test.make(&one, |_, _| panic!("no rhyme"));
    let from = Some(one.process().id());
    let reason = Reason::crash("no rhyme");
    assert_eq!(all(&heard), [Heard::Exit(Exit { from, reason })]);
    trapper.process().exit(Reason::Shutdown);
    test.clock.settle();
    let (from, reason) = (None, Reason::Shutdown);
    assert_eq!(all(&heard), [Heard::Exit(Exit { from, reason })]);
}

#[test]
fn o3_unlinked_processes_do_not_hear_of_each_other_and_a_link_to_the_dead_is_an_exit() {
    let test = TestNode::new();
    let (one, _) = test.puppet("one");
    let (trapper, heard) = test.trapper("trapper");
    test.link(&one, &trapper);
    let other = trapper.process();
    test.make(&one, move |_, me| {
        me.unlink(&other);
        Next::Exit(Reason::crash("alone"))
    });
    assert_eq!(all(&heard), []);
    test.link(&trapper, &one);
    let (from, reason) = (Some(one.process().id()), Reason::NoProcess);
    assert_eq!(all(&heard), [Heard::Exit(Exit { from, reason })]);
}

#[test]
fn o3_a_kill_is_not_trapped_and_reaches_one_that_waits() {
    let test = TestNode::new();
    let (trapper, heard) = test.trapper("trapper");
    test.make(&trapper, |_, me| {
        me.wait(std::future::pending::<()>(), |_, (), _| Next::Receive);
        Next::Receive
    });
    trapper.process().kill();
    test.clock.settle();
    assert_eq!(all(&heard), [Heard::Ended(Reason::Killed)]);
}

#[test]
fn o4_a_panic_is_a_crash_of_that_process_only_and_keeps_its_message() {
    let test = TestNode::new();
    let (watched, watcher, heard) = test.monitored();
    test.make(&watched, |_, _| panic!("line {} does not scan", 3));
    assert_eq!(downs(&heard), [Reason::crash("line 3 does not scan")]);
    test.make(&watcher, |watcher, _| {
        watcher.say("alive");
        Next::Receive
    });
    assert_eq!(all(&heard), [Heard::Said("alive".to_owned())]);
}

#[test]
fn o4_a_crash_is_told_once_with_the_name_of_the_process() {
    let test = TestNode::new();
    let (told, heard) = mpsc::channel();
    test.node.on_crash(move |name, message| {
        let _ = told.send(format!("{name}: {message}"));
    });
    let (puppet, _) = test.puppet("puppet");
    test.make(&puppet, |_, _| panic!("no rhyme"));
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["puppet: no rhyme"]);
}

#[test]
fn o4_a_process_that_cannot_be_made_has_ended_before_it_began() {
    let test = TestNode::new();
    let (watcher, heard) = test.trapper("watcher");
    test.make(&watcher, |_, me| {
        let arbiter = me.arbiter();
        let unborn = Name::new("unborn");
        let no_ink = || Err(std::io::Error::other("no ink"));
        me.spawn_link_in::<Puppet>(&arbiter, unborn, no_ink);
        me.spawn_link_in::<Puppet>(&arbiter, unborn, || panic!("no paper"));
        Next::Receive
    });
    let reason = |heard| match heard {
        Heard::Exit(exit) => exit.reason,
        other => panic!("{other:?}"),
    };
    let reasons: Vec<_> = all(&heard).into_iter().map(reason).collect();
    assert_eq!(
        reasons,
        [Reason::crash("no ink"), Reason::crash("no paper")]
    );
}

#[test]
fn o4_one_that_cannot_be_made_is_heard_of_by_who_monitors_it_after_it_was_spawned() {
    let test = TestNode::new();
    let (watcher, heard) = test.puppet("watcher");
    test.make(&watcher, |_, me| {
        let no_ink = || Err::<(Puppet, _), _>(std::io::Error::other("no ink"));
        let unborn = me.arbiter().spawn(Name::new("unborn"), no_ink);
        me.monitor(&unborn.process());
        Next::Receive
    });
    assert_eq!(downs(&heard), [Reason::crash("no ink")]);
}
