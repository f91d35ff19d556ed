//! Puppets, processes that run the closures they receive, in a node on a test clock.
#![allow(dead_code)]

use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use actors::{
    Down, Exit, Me, Next, NoPort, Node, Pid, Process, Reason, Received, Reply, TestClock,
};

/// The timeout of every wait in these tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A closure that a [`Puppet`] runs.
pub(crate) type Action = Box<dyn FnOnce(&mut Puppet, &mut Me<'_, Puppet>) -> Next + Send>;

/// Boxes a closure for a puppet.
pub(crate) fn act(
    act: impl FnOnce(&mut Puppet, &mut Me<'_, Puppet>) -> Next + Send + 'static,
) -> Action {
    Box::new(act)
}

/// Drops the address of a reply, so that the call fails.
pub(crate) fn unanswered(reply: Reply<()>) -> Action {
    act(move |_, _| {
        drop(reply);
        Next::Receive
    })
}

/// Makes a puppet say `word`.
pub(crate) fn word(word: impl fmt::Display + Send + 'static) -> Action {
    act(move |puppet, _| {
        puppet.say(word);
        Next::Receive
    })
}

/// A process that runs its messages and sends everything else it receives to the test.
pub(crate) struct Puppet {
    log: Sender<Seen>,
    traps_exits: bool,
}

/// What a puppet has received or said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Exit(Exit),
    Down(Down),
    Timeout,
    Said(String),
    Ended(Reason),
}

impl Puppet {
    pub(crate) fn new(traps_exits: bool) -> (Self, Receiver<Seen>) {
        let (log, seen) = mpsc::channel();
        (Self { log, traps_exits }, seen)
    }

    pub(crate) fn say(&self, word: impl fmt::Display) {
        let _ = self.log.send(Seen::Said(word.to_string()));
    }
}

impl Process for Puppet {
    type Message = Action;
    type Port = NoPort;
    const MAILBOX: usize = 2;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.traps_exits {
            me.trap_exits();
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        let seen = match received {
            Received::Message(act) => return act(self, me),
            Received::Exit(exit) => Seen::Exit(exit),
            Received::Down(down) => Seen::Down(down),
            Received::Timeout => Seen::Timeout,
            Received::Port(never) => match never {},
        };
        let _ = self.log.send(seen);
        Next::Receive
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        let _ = self.log.send(Seen::Ended(reason.clone()));
    }
}

/// A node on a test clock.
pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) clock: TestClock,
}

impl TestNode {
    pub(crate) fn new() -> Self {
        poetry::panics::silence_contained();
        let (node, clock) = Node::start_on_test_clock().unwrap();
        Self { node, clock }
    }

    pub(crate) fn puppet(&self, name: &'static str) -> (Pid<Action>, Receiver<Seen>) {
        self.enter(name, false)
    }

    /// Starts a puppet that traps exits.
    pub(crate) fn trapper(&self, name: &'static str) -> (Pid<Action>, Receiver<Seen>) {
        self.enter(name, true)
    }

    fn enter(&self, name: &'static str, traps_exits: bool) -> (Pid<Action>, Receiver<Seen>) {
        let entered = enter(&self.node, name, traps_exits);
        self.clock.settle();
        entered
    }

    /// Starts a process and a watcher that monitors it; returns both.
    pub(crate) fn monitored(&self) -> (Pid<Action>, Pid<Action>, Receiver<Seen>) {
        let (watched, _) = self.puppet("watched");
        let (watcher, seen) = self.puppet("watcher");
        let target = watched.process();
        self.make(&watcher, move |_, me| {
            me.monitor(&target);
            Next::Receive
        });
        (watched, watcher, seen)
    }

    /// Makes `one` link itself to `other`.
    pub(crate) fn link(&self, one: &Pid<Action>, other: &Pid<Action>) {
        let other = other.process();
        self.make(one, move |_, me| {
            me.link(&other);
            Next::Receive
        });
    }

    /// Makes `puppet` exit.
    pub(crate) fn exit(&self, puppet: &Pid<Action>, reason: Reason) {
        self.make(puppet, |_, _| Next::Exit(reason));
    }

    /// Makes `puppet` run a closure, and waits until all processes are idle.
    pub(crate) fn make(
        &self,
        puppet: &Pid<Action>,
        action: impl FnOnce(&mut Puppet, &mut Me<'_, Puppet>) -> Next + Send + 'static,
    ) {
        puppet
            .try_send(act(action))
            .ok()
            .expect("room in its mailbox");
        self.clock.settle();
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.node.stop();
    }
}

/// Starts a puppet in any node.
pub(crate) fn enter(
    node: &Node,
    name: &'static str,
    traps_exits: bool,
) -> (Pid<Action>, Receiver<Seen>) {
    let (puppet, seen) = Puppet::new(traps_exits);
    (node.spawn(name, puppet), seen)
}

/// Returns everything seen since the last call.
pub(crate) fn all(seen: &Receiver<Seen>) -> Vec<Seen> {
    seen.try_iter().collect()
}

/// Returns the reasons in the `Down`s seen since the last call.
pub(crate) fn downs(seen: &Receiver<Seen>) -> Vec<Reason> {
    let reason = |seen| match seen {
        Seen::Down(down) => Some(down.reason),
        _ => None,
    };
    seen.try_iter().filter_map(reason).collect()
}
