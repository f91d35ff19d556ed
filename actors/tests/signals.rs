//! Exits, links, monitors and crashes (O2–O4), on virtual time.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actors::{Exit, Me, Name, Next, NoPort, Process, Reason, Received};

use common::{Puppet, Seen, TestNode, all, downs, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o2_a_monitor_delivers_exactly_one_down_after_the_process_has_released_what_it_owned() {
    struct Held(Arc<AtomicBool>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let test = TestNode::new();
    let (watched, _, seen) = test.monitored();
    let released = Arc::new(AtomicBool::new(false));
    let held = Held(Arc::clone(&released));
    // The process owns a value in a wait that never ends.
    test.make(&watched, move |_, me| {
        let wait = async move {
            let _held = held;
            std::future::pending::<()>().await
        };
        me.wait(wait, |_, (), _| Next::Receive);
        Next::Receive
    });
    assert_eq!(all(&seen), []);
    watched.process().exit(Reason::Shutdown);
    test.clock.settle();
    assert!(released.load(Ordering::SeqCst));
    assert_eq!(downs(&seen), [Reason::Shutdown]);
}

#[test]
fn o2_monitoring_an_ended_process_delivers_at_once_for_every_monitor() {
    let test = TestNode::new();
    let (dead, watcher, seen) = test.monitored();
    test.exit(&dead, Reason::Normal);
    assert_eq!(downs(&seen), [Reason::Normal]);
    let target = dead.process();
    test.make(&watcher, move |_, me| {
        assert_ne!(me.monitor(&target), me.monitor(&target));
        Next::Receive
    });
    assert_eq!(downs(&seen), [Reason::NoProcess, Reason::NoProcess]);
}

#[test]
fn o2_demonitor_stops_a_down_that_is_already_in_the_mailbox() {
    let test = TestNode::new();
    let (watched, _) = test.puppet("watched");
    let (watcher, seen) = test.puppet("watcher");
    let target = watched.process();
    test.make(&watcher, move |_, me| {
        let monitor = me.monitor(&target);
        target.kill();
        // During a call that is not answered, the other process ends and the Down arrives.
        me.call(&me.pid(), SECOND, unanswered, move |_, _, me| {
            assert!(!target.is_alive());
            me.demonitor(monitor, &target);
            Next::Receive
        });
        Next::Receive
    });
    test.clock.advance(2 * SECOND);
    assert_eq!(downs(&seen), []);
}

#[test]
fn o2_the_messages_of_a_process_arrive_before_its_down() {
    let test = TestNode::new();
    let (watched, watcher, seen) = test.monitored();
    test.make(&watched, move |_, me| {
        // More than the mailbox holds: the process exits after all of it is sent.
        for number in 0..5 {
            me.send(&watcher, word(number));
        }
        Next::Exit(Reason::Normal)
    });
    let seen = all(&seen);
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[4], Seen::Said("4".to_owned()));
    assert!(matches!(&seen[5], Seen::Down(down) if down.reason == Reason::Normal));
}

#[test]
fn o3_an_abnormal_exit_ends_linked_processes_and_a_normal_one_does_not() {
    let test = TestNode::new();
    for (reason, ended) in [
        (Reason::Normal, vec![]),
        (Reason::Shutdown, vec![Seen::Ended(Reason::Shutdown)]),
        (
            Reason::shutdown_with("rest"),
            vec![Seen::Ended(Reason::shutdown_with("rest"))],
        ),
        (Reason::other(7), vec![Seen::Ended(Reason::other(7))]),
        (Reason::crash("x"), vec![Seen::Ended(Reason::crash("x"))]),
    ] {
        let (one, _) = test.puppet("one");
        let (other, seen) = test.puppet("other");
        test.link(&one, &other);
        test.exit(&one, reason);
        assert_eq!(other.process().is_alive(), ended.is_empty());
        assert_eq!(all(&seen), ended);
    }
}

#[test]
fn o3_a_process_that_traps_exits_receives_them_as_messages() {
    let test = TestNode::new();
    let (one, _) = test.puppet("one");
    let (trapper, seen) = test.trapper("trapper");
    test.link(&one, &trapper);
    test.make(&one, |_, _| panic!("no rhyme"));
    let from = Some(one.process().id());
    let reason = Reason::crash("no rhyme");
    assert_eq!(all(&seen), [Seen::Exit(Exit { from, reason })]);
}

#[test]
fn o3_an_exit_says_which_process_asked_for_it_and_one_from_outside_has_no_sender() {
    let test = TestNode::new();
    let (asker, _) = test.puppet("asker");
    let (trapper, seen) = test.trapper("trapper");
    let asked = trapper.process();
    test.make(&asker, move |_, me| {
        me.exit(&asked, Reason::Shutdown);
        me.exit(&asked, Reason::Normal);
        Next::Receive
    });
    trapper.process().exit(Reason::Shutdown);
    test.clock.settle();
    let from = Some(asker.process().id());
    let exits = [
        (from, Reason::Shutdown),
        (from, Reason::Normal),
        (None, Reason::Shutdown),
    ];
    let exits = exits.map(|(from, reason)| Seen::Exit(Exit { from, reason }));
    assert_eq!(all(&seen), exits);
    assert!(trapper.process().is_alive());
}

#[test]
fn o3_an_exit_that_is_not_trapped_ends_the_process_unless_it_is_normal() {
    let test = TestNode::new();
    let (asker, _) = test.puppet("asker");
    let (other, seen) = test.puppet("other");
    for (reason, ended) in [
        (Reason::Normal, vec![]),
        (Reason::crash("x"), vec![Seen::Ended(Reason::crash("x"))]),
    ] {
        let asked = other.process();
        test.make(&asker, move |_, me| {
            me.exit(&asked, reason);
            Next::Receive
        });
        assert_eq!(all(&seen), ended);
    }
}

#[test]
fn o3_a_process_that_no_longer_traps_exits_ends_but_an_exit_it_was_sent_before_stays_a_message() {
    let test = TestNode::new();
    let (trapper, seen) = test.trapper("trapper");
    test.make(&trapper, |_, me| {
        me.call(&me.pid(), SECOND, unanswered, |trapper, _, me| {
            trapper.say(me.set_trap_exits(false));
            trapper.say(me.set_trap_exits(false));
            Next::Receive
        });
        Next::Receive
    });
    // It arrives during the call, while the process traps exits.
    trapper.process().exit(Reason::crash("early"));
    test.clock.advance(2 * SECOND);
    let (from, reason) = (None, Reason::crash("early"));
    let said = |word: bool| Seen::Said(word.to_string());
    let early = Seen::Exit(Exit { from, reason });
    assert_eq!(all(&seen), [said(true), said(false), early]);
    trapper.process().exit(Reason::crash("late"));
    test.clock.settle();
    assert_eq!(all(&seen), [Seen::Ended(Reason::crash("late"))]);
}

#[test]
fn o3_unlinking_stops_exits_and_linking_to_an_ended_process_is_an_exit() {
    let test = TestNode::new();
    let (one, _) = test.puppet("one");
    let (trapper, seen) = test.trapper("trapper");
    test.link(&one, &trapper);
    let other = trapper.process();
    test.make(&one, move |_, me| {
        me.unlink(&other);
        Next::Exit(Reason::crash("alone"))
    });
    assert_eq!(all(&seen), []);
    test.link(&trapper, &one);
    let (from, reason) = (Some(one.process().id()), Reason::NoProcess);
    assert_eq!(all(&seen), [Seen::Exit(Exit { from, reason })]);
}

#[test]
fn o3_a_kill_is_not_trapped_and_ends_a_process_that_waits() {
    let test = TestNode::new();
    let (trapper, seen) = test.trapper("trapper");
    test.make(&trapper, |_, me| {
        me.wait(std::future::pending::<()>(), |_, (), _| Next::Receive);
        Next::Receive
    });
    trapper.process().kill();
    test.clock.settle();
    assert_eq!(all(&seen), [Seen::Ended(Reason::Killed)]);
}

#[test]
fn o4_a_panic_is_a_crash_of_that_process_only_and_keeps_its_message() {
    let test = TestNode::new();
    let (watched, watcher, seen) = test.monitored();
    test.make(&watched, |_, _| panic!("line {} does not scan", 3));
    assert_eq!(downs(&seen), [Reason::crash("line 3 does not scan")]);
    test.make(&watcher, |watcher, _| {
        watcher.say("alive");
        Next::Receive
    });
    assert_eq!(all(&seen), [Seen::Said("alive".to_owned())]);
}

#[test]
fn o4_a_reason_of_the_programs_own_reaches_monitors_and_links_with_its_value() {
    #[derive(Debug, PartialEq, Eq)]
    struct Stanza(Vec<&'static str>);
    let test = TestNode::new();
    let (watched, watcher, seen) = test.monitored();
    let (linked, linked_seen) = test.trapper("linked");
    test.link(&linked, &watched);
    let lines = vec!["The lamp is out,", "the harbour is not."];
    test.exit(&watched, Reason::other(Stanza(lines.clone())));
    let reasons = [&downs(&seen)[0], &watched.process().exit_reason().unwrap()].map(Clone::clone);
    for reason in &reasons {
        assert_eq!(reason.value(), Some(&Stanza(lines.clone())));
        assert_ne!(reason, &Reason::other("another type"));
        assert_ne!(reason, &Reason::other(Stanza(Vec::new())));
        assert_ne!(reason, &Reason::shutdown_with(Stanza(lines.clone())));
    }
    let from = Some(watched.process().id());
    let [_, reason] = reasons;
    assert_eq!(all(&linked_seen), [Seen::Exit(Exit { from, reason })]);
    assert!(watcher.process().is_alive());
}

#[test]
fn o4_a_crash_is_reported_once_with_the_name_of_the_process() {
    let test = TestNode::new();
    let (report, reports) = mpsc::channel();
    test.node.on_crash(move |name, message| {
        let _ = report.send(format!("{name}: {message}"));
    });
    let (puppet, _) = test.puppet("puppet");
    test.make(&puppet, |_, _| panic!("no rhyme"));
    assert_eq!(reports.try_iter().collect::<Vec<_>>(), ["puppet: no rhyme"]);
}

#[test]
fn o4_a_process_that_cannot_be_created_ends_with_the_error() {
    let test = TestNode::new();
    let (watcher, seen) = test.trapper("watcher");
    test.make(&watcher, |_, me| {
        let arbiter = me.arbiter();
        let unborn = Name::new("unborn");
        let no_ink = || Err(std::io::Error::other("no ink"));
        me.spawn_link_in::<Puppet>(&arbiter, unborn, no_ink);
        me.spawn_link_in::<Puppet>(&arbiter, unborn, || panic!("no paper"));
        Next::Receive
    });
    let reason = |seen| match seen {
        Seen::Exit(exit) => exit.reason,
        other => panic!("{other:?}"),
    };
    let reasons: Vec<_> = all(&seen).into_iter().map(reason).collect();
    assert_eq!(
        reasons,
        [Reason::crash("no ink"), Reason::crash("no paper")]
    );
}

#[test]
fn o4_a_process_that_cannot_be_created_can_be_monitored_after_it_was_spawned() {
    let test = TestNode::new();
    let (watcher, seen) = test.puppet("watcher");
    test.make(&watcher, |_, me| {
        let no_ink = || Err::<(Puppet, _), _>(std::io::Error::other("no ink"));
        let unborn = me.arbiter().spawn(Name::new("unborn"), no_ink);
        me.monitor(&unborn.process());
        Next::Receive
    });
    assert_eq!(downs(&seen), [Reason::crash("no ink")]);
}

#[test]
fn o4_a_crashed_process_receives_nothing_more_but_what_it_had_sent_arrives() {
    let test = TestNode::new();
    let (watched, watcher, seen) = test.monitored();
    let to = watched.clone();
    test.make(&watched, move |_, me| {
        // More than the mailbox holds, then a call, a message to itself, and a crash.
        for number in 0..5 {
            me.send(&watcher, word(number));
        }
        me.call(&to, SECOND, unanswered, |_, _, _| {
            unreachable!("it has crashed")
        });
        me.send(&to, word("never"));
        panic!("no rhyme");
    });
    test.clock.advance(2 * SECOND);
    let seen = all(&seen);
    let said = (0..5).map(|number| Seen::Said(number.to_string()));
    assert_eq!(seen[..5], said.collect::<Vec<_>>());
    assert!(matches!(&seen[5..], [Seen::Down(down)] if down.reason == Reason::crash("no rhyme")));
}

/// Hands over to a puppet when it crashes.
struct Testator(Option<Puppet>);

impl Process for Testator {
    type Message = ();
    type Port = NoPort;

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        panic!("no ink");
    }

    fn terminate(&mut self, _: &Reason, me: &mut Me<'_, Self>) {
        if let Some(heir) = self.0.take() {
            me.hand_over("heir", heir, NoPort);
        }
    }
}

#[test]
fn o4_a_crashed_process_can_hand_over_to_an_heir_with_its_links() {
    let test = TestNode::new();
    let (linked, seen) = test.trapper("linked");
    let (heir, _) = Puppet::new(false);
    let testator = test.node.spawn("testator", Testator(Some(heir)));
    let other = testator.process();
    test.make(&linked, move |_, me| {
        me.link(&other);
        Next::Receive
    });
    assert!(testator.process().heir().is_none());
    testator.try_send(()).unwrap();
    test.clock.settle();
    let heir = testator.process().heir().unwrap();
    assert!(heir.is_alive() && !testator.process().is_alive());
    heir.exit(Reason::Shutdown);
    test.clock.settle();
    let exit = |process: &actors::ProcessRef, reason| {
        let from = Some(process.id());
        Seen::Exit(Exit { from, reason })
    };
    let exits = [
        exit(&testator.process(), Reason::crash("no ink")),
        exit(&heir, Reason::Shutdown),
    ];
    assert_eq!(all(&seen), exits);
}

#[test]
fn o2_an_exit_that_ends_a_process_takes_effect_before_messages_that_arrived_earlier() {
    let test = TestNode::new();
    let (sender, _) = test.puppet("sender");
    for (kill, traps_exits, expected) in [
        (false, false, vec![Seen::Ended(Reason::Shutdown)]),
        (true, false, vec![Seen::Ended(Reason::Killed)]),
        (true, true, vec![Seen::Ended(Reason::Killed)]),
    ] {
        let (target, seen) = match traps_exits {
            true => test.trapper("target"),
            false => test.puppet("target"),
        };
        test.make(&sender, move |_, me| {
            me.send(&target, word("unheard"));
            match kill {
                true => target.process().kill(),
                false => me.exit(&target.process(), Reason::Shutdown),
            }
            Next::Receive
        });
        assert_eq!(all(&seen), expected);
    }
}

#[test]
fn o2_an_exit_that_is_trapped_keeps_its_place_among_the_messages() {
    let test = TestNode::new();
    let (sender, _) = test.puppet("sender");
    let (target, seen) = test.trapper("target");
    test.make(&sender, move |_, me| {
        me.send(&target, word("before"));
        me.exit(&target.process(), Reason::Shutdown);
        me.send(&target, word("after"));
        Next::Receive
    });
    let from = Some(sender.process().id());
    let exit = Seen::Exit(Exit {
        from,
        reason: Reason::Shutdown,
    });
    let said = |word: &str| Seen::Said(word.to_owned());
    assert_eq!(all(&seen), [said("before"), exit, said("after")]);
}

#[test]
fn o4_a_process_ends_by_an_exit_that_it_sends_to_itself_before_it_receives_anything_else() {
    let test = TestNode::new();
    for reason in [Reason::Normal, Reason::Shutdown] {
        let (puppet, seen) = test.puppet("puppet");
        let ended = reason.clone();
        test.make(&puppet, move |puppet, me| {
            me.send(&me.pid(), word("unheard"));
            me.after(Duration::ZERO);
            me.exit(&me.process(), reason);
            puppet.say("last words");
            Next::Receive
        });
        test.clock.advance(SECOND);
        let last = Seen::Said("last words".to_owned());
        assert_eq!(all(&seen), [last, Seen::Ended(ended)]);
    }
}

#[test]
fn o4_a_process_that_traps_exits_receives_its_own_exit_as_a_message() {
    let test = TestNode::new();
    let (trapper, seen) = test.trapper("trapper");
    test.make(&trapper, |_, me| {
        me.exit(&me.process(), Reason::Normal);
        Next::Receive
    });
    let (from, reason) = (Some(trapper.process().id()), Reason::Normal);
    assert_eq!(all(&seen), [Seen::Exit(Exit { from, reason })]);
    assert!(trapper.process().is_alive());
}

#[test]
fn o4_a_process_that_waits_ends_by_an_exit_to_itself_without_the_reply() {
    let test = TestNode::new();
    let (puppet, seen) = test.puppet("puppet");
    test.make(&puppet, |_, me| {
        me.wait(async {}, |puppet, (), me| {
            me.exit(&me.process(), Reason::Normal);
            puppet.say("last words");
            me.wait(async {}, |puppet, (), _| {
                puppet.say("unheard");
                Next::Receive
            });
            Next::Receive
        });
        Next::Receive
    });
    let last = Seen::Said("last words".to_owned());
    assert_eq!(all(&seen), [last, Seen::Ended(Reason::Normal)]);
}

/// Traps exits, and says when it has started and how it has ended.
struct Late(mpsc::Sender<String>);

impl Process for Late {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        let _ = self.0.send("started".to_owned());
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Exit(exit) => Next::Exit(exit.reason),
            _ => Next::Receive,
        }
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn o4_started_first_a_signal_takes_effect_after_the_start() {
    let test = TestNode::new();
    let (spawner, _) = test.puppet("spawner");
    let (say, said) = mpsc::channel();
    test.make(&spawner, move |_, me| {
        let [killed, asked] = [(); 2].map(|()| me.spawn("late", Late(say.clone()), NoPort));
        killed.process().kill();
        me.exit(&asked.process(), Reason::Shutdown);
        Next::Receive
    });
    let said: Vec<_> = said.try_iter().collect();
    assert_eq!(said, ["started", "killed", "started", "shutdown"]);
}
