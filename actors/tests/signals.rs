//! What OTP promises of how processes end, and of who hears of it (O2–O4), on virtual time.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actors::monitor::{Exit, Reason};
use actors::process::{Name, Next};

use common::{Heard, Stage, act, all, downs};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn o2_a_monitor_delivers_exactly_one_down_after_what_the_process_held_is_released() {
    struct Held(Arc<AtomicBool>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let stage = Stage::new();
    let (watched, _) = stage.puppet("watched");
    let (watcher, heard) = stage.puppet("watcher");
    let released = Arc::new(AtomicBool::new(false));
    let held = Held(Arc::clone(&released));
    // It holds something in a wait that never ends.
    stage.make(&watched, move |_, me| {
        me.wait(
            async move {
                let _held = held;
                std::future::pending::<()>().await
            },
            |_, (), _| Next::Receive,
        );
        Next::Receive
    });
    let target = watched.process();
    stage.make(&watcher, move |_, me| {
        me.monitor(&target);
        Next::Receive
    });
    assert_eq!(all(&heard), []);
    watched.process().exit(Reason::Shutdown);
    stage.clock.settle();
    assert!(released.load(Ordering::SeqCst));
    assert_eq!(downs(&heard), [Reason::Shutdown]);
}

#[test]
fn o2_monitoring_the_dead_delivers_at_once_and_every_monitor_delivers_its_own() {
    let stage = Stage::new();
    let (dead, _) = stage.puppet("dead");
    let (watcher, heard) = stage.puppet("watcher");
    stage.make(&dead, |_, _| Next::Exit(Reason::Normal));
    let target = dead.process();
    stage.make(&watcher, move |_, me| {
        assert_ne!(me.monitor(&target), me.monitor(&target));
        Next::Receive
    });
    assert_eq!(downs(&heard), [Reason::NoProcess, Reason::NoProcess]);
}

#[test]
fn o2_demonitor_stops_a_down_that_is_in_the_mailbox_already() {
    let stage = Stage::new();
    let (watched, _) = stage.puppet("watched");
    let (watcher, heard) = stage.puppet("watcher");
    let target = watched.process();
    stage.make(&watcher, move |_, me| {
        let monitor = me.monitor(&target);
        target.kill();
        // While it waits, the process dies and the Down arrives.
        me.wait(std::future::ready(()), |_, (), _| Next::Receive);
        let ended = target.clone();
        me.call::<_, ()>(
            &me.pid(),
            SECOND,
            |reply| {
                act(move |_, _| {
                    drop(reply);
                    Next::Receive
                })
            },
            move |_, _, me| {
                assert!(!ended.is_alive());
                me.demonitor(monitor, &ended);
                Next::Receive
            },
        );
        Next::Receive
    });
    stage.clock.advance(2 * SECOND);
    assert_eq!(downs(&heard), []);
}

#[test]
fn o2_what_a_process_sent_before_it_ended_comes_before_its_down() {
    let stage = Stage::new();
    let (watched, _) = stage.puppet("watched");
    let (watcher, heard) = stage.puppet("watcher");
    let (target, to) = (watched.process(), watcher.clone());
    stage.make(&watcher, move |_, me| {
        me.monitor(&target);
        Next::Receive
    });
    stage.make(&watched, move |_, me| {
        // More than the mailbox holds: it stays until all of it is sent.
        for word in 0..5 {
            me.send(
                &to,
                act(move |watcher, _| {
                    watcher.say(word);
                    Next::Receive
                }),
            );
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
    let stage = Stage::new();
    for (reason, taken) in [
        (Reason::Normal, false),
        (Reason::Shutdown, true),
        (Reason::crash("x"), true),
    ] {
        let (one, _) = stage.puppet("one");
        let (other, heard) = stage.puppet("other");
        let target = other.process();
        stage.make(&one, move |_, me| {
            me.link(&target);
            Next::Receive
        });
        let ended = reason.clone();
        stage.make(&one, move |_, _| Next::Exit(ended));
        assert_eq!(other.process().is_alive(), !taken);
        assert_eq!(
            all(&heard),
            if taken {
                vec![Heard::Ended(reason)]
            } else {
                vec![]
            }
        );
    }
}

#[test]
fn o3_one_that_traps_exits_receives_them_as_messages() {
    let stage = Stage::new();
    let (one, _) = stage.puppet("one");
    let (trapper, heard) = stage.trapper("trapper");
    let target = trapper.process();
    stage.make(&one, move |_, me| {
        me.link(&target);
        Next::Receive
    });
    stage.make(&one, |_, _| panic!("no rhyme"));
    trapper.process().exit(Reason::Shutdown);
    stage.clock.settle();
    let from = Some(one.process().id());
    assert_eq!(
        all(&heard),
        [
            Heard::Exit(Exit {
                from,
                reason: Reason::crash("no rhyme")
            }),
            Heard::Exit(Exit {
                from: None,
                reason: Reason::Shutdown
            }),
        ]
    );
}

#[test]
fn o3_unlinked_processes_do_not_hear_of_each_other_and_a_link_to_the_dead_is_an_exit() {
    let stage = Stage::new();
    let (one, _) = stage.puppet("one");
    let (trapper, heard) = stage.trapper("trapper");
    let target = trapper.process();
    stage.make(&one, move |_, me| {
        me.link(&target);
        me.unlink(&target);
        Next::Exit(Reason::crash("alone"))
    });
    assert_eq!(all(&heard), []);
    let dead = one.process();
    let from = Some(dead.id());
    stage.make(&trapper, move |_, me| {
        me.link(&dead);
        Next::Receive
    });
    assert_eq!(
        all(&heard),
        [Heard::Exit(Exit {
            from,
            reason: Reason::NoProcess
        })]
    );
}

#[test]
fn o3_a_kill_is_not_trapped_and_reaches_one_that_waits() {
    let stage = Stage::new();
    let (trapper, heard) = stage.trapper("trapper");
    stage.make(&trapper, |_, me| {
        me.wait(std::future::pending::<()>(), |_, (), _| Next::Receive);
        Next::Receive
    });
    trapper.process().kill();
    stage.clock.settle();
    assert_eq!(all(&heard), [Heard::Ended(Reason::Killed)]);
}

#[test]
fn o4_a_panic_is_a_crash_of_that_process_only_and_keeps_its_message() {
    let stage = Stage::new();
    let (watched, _) = stage.puppet("watched");
    let (watcher, heard) = stage.puppet("watcher");
    let target = watched.process();
    stage.make(&watcher, move |_, me| {
        me.monitor(&target);
        Next::Receive
    });
    stage.make(&watched, |_, _| panic!("line {} does not scan", 3));
    assert_eq!(downs(&heard), [Reason::crash("line 3 does not scan")]);
    stage.make(&watcher, |watcher, _| {
        watcher.say("alive");
        Next::Receive
    });
    assert_eq!(all(&heard), [Heard::Said("alive".to_owned())]);
}

#[test]
fn o4_a_crash_is_told_once_with_the_name_of_the_process() {
    let stage = Stage::new();
    let (told, heard) = mpsc::channel();
    stage.node.on_crash(move |name, message| {
        let _ = told.send(format!("{name}: {message}"));
    });
    let (puppet, _) = stage.puppet("puppet");
    stage.make(&puppet, |_, _| panic!("no rhyme"));
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["puppet: no rhyme"]);
}

#[test]
fn o4_a_process_that_cannot_be_made_has_ended_before_it_began() {
    let stage = Stage::new();
    let (watcher, heard) = stage.trapper("watcher");
    stage.make(&watcher, |_, me| {
        let arbiter = me.arbiter();
        me.spawn_link_in::<common::Puppet>(&arbiter, Name::new("unborn"), || {
            Err(std::io::Error::other("no ink"))
        });
        me.spawn_link_in::<common::Puppet>(&arbiter, Name::new("unborn"), || panic!("no paper"));
        Next::Receive
    });
    let reasons: Vec<_> = all(&heard)
        .into_iter()
        .map(|heard| match heard {
            Heard::Exit(exit) => exit.reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        reasons,
        [Reason::crash("no ink"), Reason::crash("no paper")]
    );
}
