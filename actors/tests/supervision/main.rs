//! Supervisors (O5) on a test clock: random histories against a second implementation, and the cases they do not reach.

#[path = "../common/mod.rs"]
mod common;
mod histories;
mod otp;
mod requests;
mod starts_and_stops;
mod supervised;

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use actors::{
    Intensity, KILL_TIMEOUT, Me, Name, Next, NoPort, Node, Process, ProcessRef, Reason, Received,
    Restart, Shutdown, Spec, Strategy, Supervisor, ToSupervisor,
};

use common::{Seen, TestNode, all};
use supervised::{Act, Child, Known, Note, SECOND, Supervised, spec};

#[test]
fn o5_children_start_in_order_and_stop_in_reverse() {
    let supervised = Supervised::new(
        Strategy::OneForOne,
        Intensity::default(),
        &[(Restart::Permanent, false); 3],
    );
    supervised.supervisor.process().exit(Reason::Shutdown);
    supervised.clock().settle();
    let ended = |number| Note::Ended(number, Reason::Shutdown);
    assert_eq!(
        supervised.notes(),
        [
            Note::Started(0),
            Note::Started(1),
            Note::Started(2),
            ended(2),
            ended(1),
            ended(0)
        ]
    );
    assert!(!supervised.is_alive());
}

#[test]
fn o5_a_child_that_does_not_stop_in_time_is_killed_before_the_next_is_stopped() {
    let children = [(Restart::Permanent, false), (Restart::Permanent, true)];
    let supervised = Supervised::new(Strategy::OneForOne, Intensity::default(), &children);
    supervised.supervisor.process().exit(Reason::Shutdown);
    supervised.clock().advance(SECOND / 2);
    assert_eq!(supervised.notes(), [Note::Started(0), Note::Started(1)]);
    supervised.clock().advance(SECOND / 2);
    assert_eq!(
        supervised.notes(),
        [
            Note::Ended(1, Reason::Killed),
            Note::Ended(0, Reason::Shutdown)
        ]
    );
    assert!(!supervised.is_alive());
}

#[test]
fn o5_too_many_restarts_stop_the_supervisor_and_its_parent_decides() {
    let test = TestNode::new();
    let (note, notes) = mpsc::channel();
    let known = Known::default();
    let under = Arc::clone(&known);
    let root = Spec::supervisor("under", move || {
        let children = vec![spec(0, Restart::Permanent, false, &note, &under)];
        Supervisor::new(Strategy::OneForOne, Intensity::default(), children)
    });
    let root = test.node.arbiter(0).spawn(Name::new("root"), move || {
        Ok((
            Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![root]),
            NoPort,
        ))
    });
    test.clock.settle();
    let crash = || {
        let child = known.lock().unwrap().pids[&0].clone();
        child.try_send(Reason::crash("again")).unwrap();
        test.clock.settle();
    };
    let crashed = || Note::Ended(0, Reason::crash("again"));
    // The second restart in five seconds is too many, so the parent restarts the supervisor.
    crash();
    crash();
    assert_eq!(
        notes.try_iter().collect::<Vec<_>>(),
        [
            Note::Started(0),
            crashed(),
            Note::Started(0),
            crashed(),
            Note::Started(0)
        ]
    );
    assert!(root.process().is_alive());
    // In the end the parent has restarted too often as well.
    crash();
    crash();
    assert!(!root.process().is_alive());
}

/// Takes the link with its supervisor away.
struct Unlinks(ProcessRef);

impl Process for Unlinks {
    type Message = Infallible;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.unlink(&self.0);
        Next::Receive
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

#[test]
fn o5_a_child_that_has_unlinked_itself_cannot_make_its_supervisor_wait_for_ever() {
    let test = TestNode::new();
    let child = Arc::new(Mutex::new(None));
    let known = Arc::clone(&child);
    let spec = Spec::new("unlinks", move |me| {
        let unlinks = Unlinks(me.process());
        let pid = me.spawn_link(Name::new("unlinks"), unlinks, NoPort);
        *known.lock().unwrap() = Some(pid.process());
        Ok(pid.into())
    })
    .shutdown(Shutdown::Infinity);
    let root = test.node.arbiter(0).spawn(Name::new("root"), move || {
        let children = vec![spec];
        Ok((
            Supervisor::new(Strategy::OneForOne, Intensity::default(), children),
            NoPort,
        ))
    });
    test.clock.settle();
    let child = child.lock().unwrap().clone().unwrap();
    assert!(child.is_alive());
    root.process().exit(Reason::Shutdown);
    test.clock.settle();
    assert!(!child.is_alive());
    assert!(!root.process().is_alive());
}

#[test]
fn o5_a_child_that_ends_while_others_are_restarted_is_restarted_once() {
    let stubborn = [false, false, false, true].map(|stubborn| (Restart::Permanent, stubborn));
    let intensity = Intensity {
        restarts: 2,
        ..Intensity::default()
    };
    let supervised = Supervised::new(Strategy::RestForOne, intensity, &stubborn);
    supervised.notes();
    // The last child takes a second to stop; the first two end meanwhile.
    supervised.at_once(vec![Act::End(2, Reason::Normal)]);
    supervised.at_once(vec![
        Act::End(0, Reason::Normal),
        Act::End(1, Reason::Normal),
    ]);
    supervised.clock().advance(3 * SECOND);
    let ended = |number| Note::Ended(number, Reason::Normal);
    let killed = || Note::Ended(3, Reason::Killed);
    assert_eq!(
        supervised.notes(),
        [
            ended(2),
            ended(0),
            ended(1),
            killed(),
            Note::Started(2),
            Note::Started(3),
            killed(),
            Note::Ended(2, Reason::Shutdown),
            Note::Started(0),
            Note::Started(1),
            Note::Started(2),
            Note::Started(3),
        ]
    );
    assert!(supervised.is_alive());
}

#[test]
fn o5_a_supervisor_ends_with_its_parent_and_with_no_other_linked_process() {
    let test = TestNode::new();
    let (parent, _) = test.puppet("parent");
    let (stranger, _) = test.puppet("stranger");
    let (sender, started) = mpsc::channel();
    test.make(&parent, move |_, me| {
        let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), Vec::new());
        let supervisor = me.spawn_link(Name::new("supervisor"), supervisor, NoPort);
        sender.send(supervisor.process()).unwrap();
        Next::Receive
    });
    let supervisor = started.try_recv().unwrap();
    let linked = supervisor.clone();
    test.make(&stranger, move |_, me| {
        me.link(&linked);
        Next::Exit(Reason::crash("none of its business"))
    });
    assert!(supervisor.is_alive());
    test.make(&parent, |_, _| Next::Exit(Reason::Normal));
    assert!(!supervisor.is_alive());
}

#[test]
fn o5_a_restart_that_fails_or_panics_is_tried_again_until_there_are_too_many() {
    let test = TestNode::new();
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let (report, crashes) = mpsc::channel();
    test.node.on_crash(move |name, message| {
        let _ = report.send(format!("{name}: {message}"));
    });
    let child = Name::new("child");
    let spec = Spec::new(child, move |me| {
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => {}
            1 => panic!("indisposed"),
            _ => return Err(io::Error::other("indisposed")),
        }
        let (notes, _) = mpsc::channel();
        let pid = me.spawn_link(
            child,
            Child {
                number: 0,
                stubborn: false,
                notes,
            },
            NoPort,
        );
        me.node().register(child, &pid)?;
        Ok(pid.into())
    })
    .shutdown(Shutdown::Kill);
    let intensity = Intensity {
        restarts: 3,
        period: SECOND,
    };
    let supervisor = test
        .node
        .arbiter(0)
        .spawn(Name::new("supervisor"), move || {
            Ok((
                Supervisor::new(Strategy::OneForOne, intensity, vec![spec]),
                NoPort,
            ))
        });
    test.clock.settle();
    test.node
        .whereis::<Reason>(child)
        .unwrap()
        .try_send(Reason::Normal)
        .unwrap();
    test.clock.settle();
    assert_eq!(
        (
            tries.load(Ordering::Relaxed),
            supervisor.process().is_alive()
        ),
        (4, false)
    );
    assert_eq!(
        crashes.try_iter().collect::<Vec<_>>(),
        ["child: indisposed"]
    );
}

#[test]
fn o5_children_can_be_added_and_removed_while_it_runs() {
    let supervised = Supervised::new(
        Strategy::OneForOne,
        Intensity::default(),
        &[(Restart::Permanent, false)],
    );
    let spec = spec(
        7,
        Restart::Permanent,
        false,
        &supervised.note,
        &supervised.known,
    );
    let (puppet, seen) = supervised.test.puppet("manager");
    let supervisor = supervised.supervisor.clone();
    supervised.test.make(&puppet, move |_, me| {
        me.call(
            &supervisor,
            SECOND,
            |reply| ToSupervisor::Start(spec, reply),
            |puppet, started, _| {
                puppet.say(started.unwrap());
                Next::Receive
            },
        );
        for name in [Name::numbered("child", 7), Name::new("stranger")] {
            me.call(
                &supervisor,
                SECOND,
                move |reply| ToSupervisor::Remove(name, reply),
                |puppet, removed, _| {
                    puppet.say(removed.unwrap());
                    Next::Receive
                },
            );
        }
        Next::Receive
    });
    let said = ["true", "true", "false"].map(|word| Seen::Said(word.to_owned()));
    assert_eq!(all(&seen), said);
    let notes = [
        Note::Started(0),
        Note::Started(7),
        Note::Ended(7, Reason::Shutdown),
    ];
    assert_eq!(supervised.notes(), notes);
    assert!(supervised.is_alive());
}

#[test]
fn o5_abandoned_child_a_child_that_cannot_be_killed_is_abandoned_and_counted() {
    let test = TestNode::new();
    // The child runs in another node and blocks in one handler until it is released.
    let (elsewhere, _clock) = Node::start_on_test_clock().unwrap();
    let (release, blocks) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let blocks = Arc::new(Mutex::new(blocks));
    let arbiter = elsewhere.arbiter(0);
    let spec = Spec::new("blocker", move |me| {
        let (blocks, began) = (Arc::clone(&blocks), began.clone());
        let pid = me.spawn_link_in(&arbiter, Name::new("blocker"), move || {
            Ok((Blocker { blocks, began }, NoPort))
        });
        // It need not have handled this to count as started.
        pid.try_send(()).unwrap();
        Ok(pid.into())
    })
    .shutdown(Shutdown::After(SECOND));
    let supervisor = test
        .node
        .arbiter(0)
        .spawn(Name::new("supervisor"), move || {
            Ok((
                Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![spec]),
                NoPort,
            ))
        });
    begun.recv_timeout(common::DEADLINE).unwrap();
    test.clock.settle();
    supervisor.process().exit(Reason::Shutdown);
    test.clock.advance(SECOND);
    assert!(supervisor.process().is_alive());
    test.clock.advance(KILL_TIMEOUT);
    assert!(!supervisor.process().is_alive());
    drop(release);
    elsewhere.stop();
}

struct Blocker {
    blocks: Arc<Mutex<mpsc::Receiver<()>>>,
    began: mpsc::Sender<()>,
}

impl Process for Blocker {
    type Message = ();
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(()) = received {
            let _ = self.began.send(());
            let _ = self.blocks.lock().unwrap().recv();
        }
        Next::Receive
    }
}
