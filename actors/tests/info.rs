//! What a process says about itself (O10), on virtual time.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use actors::{
    CallError, ChildInfo, Children, Intensity, Me, Next, NoPort, Node, Pid, Process, ProcessInfo,
    ProcessRef, Reason, Received, Reply, Shutdown, Spec, Strategy, Supervisor, WaitsFor,
    WhichChildren, draw_tree,
};

use common::{Action, DEADLINE, Puppet, Seen, TestNode, act, all, enter, unanswered, word};

const SECOND: Duration = Duration::from_secs(1);

fn info(test: &TestNode, of: &Pid<Action>) -> ProcessInfo {
    test.node.process_info(&of.process(), DEADLINE).unwrap()
}

#[test]
fn o10_a_process_tells_its_mailbox_links_monitors_timers_and_timeout() {
    let test = TestNode::new();
    let (puppet, _) = test.trapper("puppet");
    let (linked, _) = test.puppet("linked");
    let (other, _) = test.puppet("other");
    let idle = ProcessInfo {
        mailbox: (0, 2),
        postponed: 0,
        links: vec![],
        monitors: vec![],
        monitored_by: vec![],
        traps_exits: true,
        timers: 0,
        timeout: None,
        waits_for: WaitsFor::Receive,
    };
    assert_eq!(info(&test, &puppet), idle);
    test.link(&puppet, &linked);
    let [watched, watches] = [other.process(), puppet.process()];
    test.make(&puppet, move |_, me| {
        me.monitor(&watched);
        me.monitor(&watched);
        me.after(5 * SECOND);
        let _ = me.send_after(SECOND, word("timer"));
        Next::Receive
    });
    test.make(&other, move |_, me| {
        me.monitor(&watches);
        Next::Receive
    });
    test.clock.advance(SECOND / 2);
    let busy = ProcessInfo {
        links: vec![linked.process().id()],
        monitors: vec![other.process().id(); 2],
        monitored_by: vec![other.process().id()],
        timers: 1,
        timeout: Some(9 * SECOND / 2),
        ..idle
    };
    assert_eq!(info(&test, &puppet), busy);
    assert_eq!(info(&test, &other).monitored_by, [puppet.process().id(); 2]);
}

#[test]
fn o10_a_process_says_what_it_waits_for_and_for_whom() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, _) = test.puppet("caller");
    let (sender, _) = test.puppet("sender");
    // The callee never replies, and its mailbox fills up.
    let forever = std::future::pending::<()>;
    test.make(&callee, move |_, me| {
        me.wait(forever(), |_, (), _| Next::Receive);
        Next::Receive
    });
    let to = callee.clone();
    test.make(&caller, move |_, me| {
        me.call(&to, SECOND, unanswered, |_, _, _| Next::Receive);
        Next::Receive
    });
    let to = callee.clone();
    test.make(&sender, move |_, me| {
        me.send(&to, word("one"));
        me.send(&to, word("two"));
        Next::Receive
    });
    let waits_for = |of| info(&test, of).waits_for;
    let name = callee.process().name();
    assert_eq!(waits_for(&callee), WaitsFor::Future);
    assert_eq!(info(&test, &callee).mailbox, (2, 2));
    assert_eq!(waits_for(&caller), WaitsFor::Reply(name));
    assert_eq!(waits_for(&sender), WaitsFor::Room(name));
    test.clock.advance(SECOND);
    assert_eq!(waits_for(&caller), WaitsFor::Receive);
}

#[test]
fn o10_a_process_asks_others_and_itself() {
    let test = TestNode::new();
    let (other, _) = test.puppet("other");
    let (asker, seen) = test.puppet("asker");
    for process in [other.process(), asker.process()] {
        test.make(&asker, move |_, me| {
            me.process_info(&process, SECOND, |asker, info, me| {
                asker.say(format!("{:?}", info.map(|info| info.waits_for)));
                assert_eq!(me.info().waits_for, WaitsFor::Receive);
                Next::Receive
            });
            Next::Receive
        });
    }
    // While it asks itself, it waits.
    let said = |text: &str| Seen::Said(text.to_owned());
    assert_eq!(all(&seen), [said("Ok(Receive)"), said("Ok(Future)")]);
}

#[test]
fn o10_a_process_that_has_ended_or_is_in_a_handler_tells_nothing() {
    let test = TestNode::new();
    let (puppet, _) = test.puppet("puppet");
    test.exit(&puppet, Reason::Normal);
    let told = test.node.process_info(&puppet.process(), DEADLINE);
    assert_eq!(told, Err(CallError::NoProcess));

    let node = Node::start(2.try_into().unwrap()).unwrap();
    let (busy, _) = enter(&node, "busy", false);
    let _busy = Busy::make(&node, &busy);
    let wait = Duration::from_millis(1);
    let told = node.process_info(&busy.process(), wait);
    assert_eq!(told, Err(CallError::Timeout));
}

/// Keeps a process in one handler, until it is dropped.
struct Busy(mpsc::Sender<()>, Node);

impl Busy {
    fn make(node: &Node, puppet: &Pid<Action>) -> Self {
        let (entered, enters) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        node.send(
            puppet,
            act(move |_, _| {
                entered.send(()).unwrap();
                let _ = released.recv();
                Next::Receive
            }),
        );
        enters.recv_timeout(DEADLINE).unwrap();
        Self(release, node.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Ends the handler, so that the node can stop.
        self.0 = mpsc::channel().0;
        self.1.stop();
    }
}

#[test]
fn o6_the_tree_shows_what_its_processes_wait_for() {
    let test = TestNode::new();
    let (callee, _) = test.puppet("callee");
    let (caller, _) = test.puppet("caller");
    let to = callee.clone();
    test.make(&callee, |_, me| {
        me.wait(std::future::pending::<()>(), |_, (), _| Next::Receive);
        Next::Receive
    });
    test.make(&caller, move |_, me| {
        me.call(&to, SECOND, unanswered, |_, _, _| Next::Receive);
        Next::Receive
    });
    let lister = Lister(vec![callee.process(), caller.process()]);
    let lister = test.node.spawn("lister", lister);
    let root = ChildInfo {
        which_children: Some(WhichChildren::new(lister.clone(), |reply| reply)),
        ..drawn(&lister.process())
    };
    assert_eq!(
        draw_tree(&test.node, root),
        "lister (two puppets, mailbox 0/64)\n\
         ├─ callee (mailbox 1/2, waits for a future)\n\
         └─ caller (mailbox 0/2, waits for the reply of callee)\n"
    );
}

/// Lists processes as if it had started them.
struct Lister(Vec<ProcessRef>);

impl Process for Lister {
    type Message = Reply<Children>;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(reply) = received {
            reply.send(Children {
                about: "two puppets".to_owned(),
                children: self.0.iter().map(drawn).collect(),
                more: 0,
            });
        }
        Next::Receive
    }
}

fn drawn(process: &ProcessRef) -> ChildInfo {
    ChildInfo {
        name: process.name(),
        process: Some(process.clone()),
        notes: String::new(),
        restarted: None,
        which_children: None,
    }
}

#[test]
fn o10_a_supervisor_says_which_child_it_is_stopping() {
    let test = TestNode::new();
    let stubborn =
        Spec::worker("stubborn", || Puppet::new(true).0).shutdown(Shutdown::After(SECOND));
    let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![stubborn]);
    let supervisor = test.node.spawn("supervisor", supervisor).process();
    test.clock.settle();
    supervisor.exit(Reason::Shutdown);
    test.clock.settle();
    let told = test.node.process_info(&supervisor, DEADLINE).unwrap();
    assert_eq!(told.waits_for, WaitsFor::End("stubborn".into()));
    test.clock.advance(SECOND);
    assert!(!supervisor.is_alive());
}
