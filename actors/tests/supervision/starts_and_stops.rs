//! How a supervisor starts, stops and is told to exit (O5), with another supervisor above it.

use std::io;
use std::sync::{Arc, Mutex, mpsc};

use actors::{
    ChildInfo, FailedToStart, Intensity, KILL_TIMEOUT, Me, Name, Next, NoPort, Pid, Process,
    Reason, Received, Restart, START_TIMEOUT, Shutdown, Spec, Started, Strategy, Supervisor,
    ToSupervisor, draw_tree,
};

use crate::common::{self, Puppet, TestNode};
use crate::supervised::{Act, Child, Known, Note, SECOND, Supervised, spec};

/// A root supervisor with the children of `specs`, which note their starts and ends.
struct Tree {
    test: TestNode,
    root: Pid<ToSupervisor>,
    notes: mpsc::Receiver<Note>,
}

impl Tree {
    fn new(specs: impl FnOnce(&Notes) -> Vec<Spec>) -> Self {
        let test = TestNode::new();
        let (note, notes) = mpsc::channel();
        let known = Known::default();
        let specs = specs(&Notes { note, known });
        let root = Supervisor::new(Strategy::OneForOne, Intensity::default(), specs);
        let root = test.node.spawn("root", root);
        test.clock.settle();
        Self { test, root, notes }
    }

    fn notes(&self) -> Vec<Note> {
        self.notes.try_iter().collect()
    }
}

/// Makes specs of children that note their starts and ends.
struct Notes {
    note: mpsc::Sender<Note>,
    known: Known,
}

impl Notes {
    fn child(&self, number: u64, stubborn: bool) -> Spec {
        spec(
            number,
            Restart::Permanent,
            stubborn,
            &self.note,
            &self.known,
        )
    }
}

/// Returns the spec of a supervisor whose children are those that `specs` returns at each start.
fn nested(specs: impl Fn() -> Vec<Spec> + Send + 'static) -> (Spec, Nested) {
    let pids = Nested::default();
    let started = Arc::clone(&pids);
    let spec = Spec::new("nested", move |me| {
        let nested = Supervisor::new(Strategy::OneForOne, Intensity::default(), specs());
        let nested = me.spawn_link("nested", nested, NoPort);
        started.lock().unwrap().push(nested.clone());
        Ok(nested.into())
    })
    .shutdown(Shutdown::Infinity);
    (spec, pids)
}

/// The nested supervisors that were started, the last one last.
type Nested = Arc<Mutex<Vec<Pid<ToSupervisor>>>>;

/// Returns the spec of a child that never starts.
fn refuses() -> Spec {
    Spec::new("refuses", |_| Err(io::Error::other("no ink"))).shutdown(Shutdown::Kill)
}

#[test]
fn o5_the_first_request_to_exit_decides_the_reason() {
    let stubborn = [(Restart::Permanent, true)];
    let supervised = Supervised::new(Strategy::OneForOne, Intensity::default(), &stubborn);
    let supervisor = supervised.supervisor.process();
    supervisor.exit(Reason::Normal);
    supervised.clock().settle();
    supervisor.exit(Reason::Shutdown);
    supervised.clock().advance(SECOND);
    assert_eq!(supervised.ended(), Some(Reason::Normal));
}

#[test]
fn o5_a_restart_that_has_begun_is_completed_before_a_shutdown() {
    let children = [(Restart::Permanent, false), (Restart::Permanent, true)];
    let supervised = Supervised::new(Strategy::OneForAll, Intensity::default(), &children);
    supervised.notes();
    supervised.at_once(vec![Act::End(0, Reason::Normal)]);
    supervised.at_once(vec![Act::Stop(Reason::Shutdown)]);
    supervised.clock().advance(2 * SECOND);
    assert_eq!(
        supervised.notes(),
        [
            Note::Ended(0, Reason::Normal),
            Note::Ended(1, Reason::Killed),
            Note::Started(0),
            Note::Started(1),
            Note::Ended(1, Reason::Killed),
            Note::Ended(0, Reason::Shutdown),
        ]
    );
    assert_eq!(supervised.ended(), Some(Reason::Shutdown));
}

#[test]
fn o5_a_sibling_starts_after_all_children_of_a_nested_supervisor() {
    let tree = Tree::new(|notes| {
        let (note, known) = (notes.note.clone(), Arc::clone(&notes.known));
        let under = move || {
            let child = |number| spec(number, Restart::Permanent, false, &note, &known);
            vec![child(10), child(11)]
        };
        vec![
            notes.child(0, false),
            nested(under).0,
            notes.child(1, false),
        ]
    });
    assert_eq!(tree.notes(), [0, 10, 11, 1].map(Note::Started));
}

#[test]
fn o5_a_nested_supervisor_whose_children_do_not_start_does_not_start_either() {
    let tree = Tree::new(|notes| {
        let (note, known) = (notes.note.clone(), Arc::clone(&notes.known));
        let under = move || {
            let child = spec(10, Restart::Permanent, false, &note, &known);
            vec![child, refuses()]
        };
        vec![
            notes.child(0, false),
            nested(under).0,
            notes.child(1, false),
        ]
    });
    assert_eq!(
        tree.notes(),
        [
            Note::Started(0),
            Note::Started(10),
            Note::Ended(10, Reason::Shutdown),
            Note::Ended(0, Reason::Shutdown),
        ]
    );
    let failed = |child, reason| {
        let child = Name::new(child);
        Reason::shutdown_with(FailedToStart { child, reason })
    };
    let reason = failed("nested", failed("refuses", Reason::crash("no ink")));
    assert_eq!(tree.root.process().exit_reason(), Some(reason));
}

/// A process whose start ends for a reason, or waits for ever.
struct Starts(Option<Reason>);

impl Process for Starts {
    type Message = Reason;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        match self.0.take() {
            Some(Reason::Crash(message)) => panic!("{message}"),
            Some(reason) => Next::Exit(reason),
            None => {
                me.wait(std::future::pending::<()>(), |_, (), _| Next::Receive);
                Next::Receive
            }
        }
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

/// Returns the spec of a process that does not start, for a reason or not at all.
fn starts(restart: Restart, reason: Option<Reason>) -> Spec {
    Spec::worker("starts", move || Starts(reason.clone()))
        .restart(restart)
        .shutdown(Shutdown::Kill)
}

#[test]
fn o5_a_child_that_ends_in_its_start_has_not_started() {
    for reason in [Reason::Shutdown, Reason::crash("no rhyme")] {
        let tree = Tree::new(|notes| {
            let starts = starts(Restart::Temporary, Some(reason.clone()));
            vec![notes.child(0, false), starts, notes.child(1, false)]
        });
        let ended = Note::Ended(0, Reason::Shutdown);
        assert_eq!(tree.notes(), [Note::Started(0), ended]);
        let child = Name::new("starts");
        let failed = Reason::shutdown_with(FailedToStart { child, reason });
        assert_eq!(tree.root.process().exit_reason(), Some(failed));
    }
}

#[test]
fn o5_a_child_that_ends_normally_in_its_start_is_ignored() {
    for (restart, names) in [
        (Restart::Permanent, vec!["child-0", "starts", "child-1"]),
        (Restart::Temporary, vec!["child-0", "child-1"]),
    ] {
        let tree = Tree::new(|notes| {
            let starts = starts(restart, Some(Reason::Normal));
            vec![notes.child(0, false), starts, notes.child(1, false)]
        });
        assert_eq!(tree.notes(), [0, 1].map(Note::Started));
        let children =
            tree.test
                .node
                .call(&tree.root, common::DEADLINE, ToSupervisor::WhichChildren);
        let children = children.unwrap().children;
        let listed: Vec<_> = children.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(listed, names);
        let running = children.iter().filter(|child| child.process.is_some());
        assert_eq!(running.count(), 2);
    }
}

#[test]
fn o5_start_timeout_a_start_that_takes_too_long_has_failed() {
    let tree = Tree::new(|notes| {
        vec![
            notes.child(0, false),
            starts(Restart::Permanent, None),
            notes.child(1, false),
        ]
    });
    tree.test.clock.advance(START_TIMEOUT - SECOND);
    assert_eq!(tree.notes(), [Note::Started(0)]);
    assert!(tree.root.process().is_alive());
    tree.test.clock.advance(SECOND);
    assert_eq!(tree.notes(), [Note::Ended(0, Reason::Shutdown)]);
    assert!(!tree.root.process().is_alive());
}

#[test]
fn o5_a_child_that_waits_in_its_start_for_ever_ends_with_its_supervisor() {
    let tree = Tree::new(|_| vec![starts(Restart::Permanent, None)]);
    tree.root.process().kill();
    tree.test.clock.settle();
    assert_eq!(tree.root.process().exit_reason(), Some(Reason::Killed));
}

#[test]
fn o5_a_child_that_a_message_ends_before_its_start_is_noticed_is_restarted() {
    let tree = Tree::new(|notes| {
        let note = notes.note.clone();
        let mut is_first = true;
        let child = Spec::new("child", move |me| {
            let child = Child {
                number: 0,
                stubborn: false,
                notes: note.clone(),
            };
            let child = me.spawn_link("child", child, NoPort);
            note.send(Note::Started(0)).unwrap();
            if std::mem::take(&mut is_first) {
                child.try_send(Reason::Normal).unwrap();
            }
            Ok(child.into())
        });
        vec![child, notes.child(1, false)]
    });
    assert_eq!(
        tree.notes(),
        [
            Note::Started(0),
            Note::Ended(0, Reason::Normal),
            Note::Started(1),
            Note::Started(0),
        ]
    );
    assert!(tree.root.process().is_alive());
}

#[test]
fn o5_a_nested_supervisor_exits_for_its_parent_and_for_no_other_process() {
    let (spec, pids) = nested(Vec::new);
    let tree = Tree::new(|_| vec![spec]);
    let (stranger, _) = tree.test.puppet("stranger");
    let under = pids.lock().unwrap()[0].process();
    let asked = under.clone();
    let ask = move |me: &mut Me<'_, Puppet>| {
        me.exit(&asked, Reason::Shutdown);
        me.exit(&asked, Reason::crash("none of its business"));
    };
    tree.test.make(&stranger, move |_, me| {
        ask(me);
        Next::Receive
    });
    assert!(under.is_alive());
    tree.root.process().exit(Reason::Shutdown);
    tree.test.clock.settle();
    assert_eq!(under.exit_reason(), Some(Reason::Shutdown));
}

#[test]
fn o5_killed_supervisor_all_processes_of_its_tree_are_killed() {
    let tree = Tree::new(|notes| {
        let (note, known) = (notes.note.clone(), Arc::clone(&notes.known));
        let under = move || vec![spec(10, Restart::Permanent, false, &note, &known)];
        vec![notes.child(0, true), nested(under).0]
    });
    tree.notes();
    tree.root.process().kill();
    tree.test.clock.settle();
    let killed = |child| Note::Ended(child, Reason::Killed);
    let mut notes = tree.notes();
    notes.sort_by_key(|note| format!("{note:?}"));
    assert_eq!(notes, [killed(0), killed(10)]);
}

#[test]
fn o5_a_request_waits_while_children_are_stopped() {
    let children = [(Restart::Permanent, false), (Restart::Permanent, true)];
    let supervised = Supervised::new(Strategy::OneForAll, Intensity::default(), &children);
    supervised.at_once(vec![Act::End(0, Reason::Normal)]);
    let (node, supervisor) = (&supervised.test.node, &supervised.supervisor);
    let asked = node.ask(supervisor, common::DEADLINE, ToSupervisor::WhichChildren);
    supervised.clock().settle();
    let (queued, _) = supervisor.process().mailbox();
    assert_eq!(queued, 1);
    supervised.clock().advance(SECOND + KILL_TIMEOUT);
    assert_eq!(asked.wait().unwrap().children.len(), 2);
}

#[test]
fn o5_a_worker_has_five_seconds_to_stop_by_default() {
    let test = TestNode::new();
    let (notes, noted) = mpsc::channel();
    let stubborn = move || Child {
        number: 0,
        stubborn: true,
        notes: notes.clone(),
    };
    let specs = vec![Spec::worker("stubborn", stubborn)];
    let root = Supervisor::new(Strategy::OneForOne, Intensity::default(), specs);
    let root = test.node.spawn("root", root);
    test.clock.settle();
    root.process().exit(Reason::Shutdown);
    test.clock.advance(5 * SECOND - SECOND / 1000);
    assert_eq!(noted.try_recv().ok(), None);
    test.clock.advance(SECOND / 1000);
    assert_eq!(noted.try_recv(), Ok(Note::Ended(0, Reason::Killed)));
    assert!(!root.process().is_alive());
}

#[test]
fn o6_a_nested_supervisor_lists_its_children_in_the_tree() {
    let test = TestNode::new();
    let supervisor = |specs| Supervisor::new(Strategy::OneForAll, Intensity::default(), specs);
    let poem = || Spec::registered("poem", || Puppet::new(false).0);
    let under = Spec::supervisor("under", move || supervisor(vec![poem()]));
    let root = test.node.spawn("root", supervisor(Vec::new()));
    let start = |reply| ToSupervisor::Start(under, reply);
    assert_eq!(test.node.call(&root, common::DEADLINE, start), Ok(true));
    let info = ChildInfo {
        name: Name::new("root"),
        process: Some(root.process()),
        notes: String::new(),
        restarted: None,
        which_children: Started::from(root).which_children,
    };
    assert_eq!(
        draw_tree(&test.node, info),
        "root (supervisor, one_for_all, mailbox 0/64)\n\
         └─ under (supervisor, one_for_all, 0 restarts, mailbox 0/64)\n   \
            └─ poem (0 restarts, mailbox 0/2)\n"
    );
}
