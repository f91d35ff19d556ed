//! A process that does what it is told, and one node to put such processes in, on a clock that only tests move.
#![allow(dead_code)]

use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use actors::monitor::{Down, Exit, Reason};
use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Pid, Process, Received, Reply, TestClock};

/// Whatever a test waits for comes sooner.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Something for a [`Puppet`] to do.
pub(crate) type Do = Box<dyn FnOnce(&mut Puppet, &mut Me<'_, Puppet>) -> Next + Send>;

/// Boxes what a puppet is to do.
pub(crate) fn act(
    act: impl FnOnce(&mut Puppet, &mut Me<'_, Puppet>) -> Next + Send + 'static,
) -> Do {
    Box::new(act)
}

/// What a call carries that is never answered.
pub(crate) fn unanswered(reply: Reply<()>) -> Do {
    act(move |_, _| {
        drop(reply);
        Next::Receive
    })
}

/// Something for a puppet to say.
pub(crate) fn word(word: impl fmt::Display + Send + 'static) -> Do {
    act(move |puppet, _| {
        puppet.say(word);
        Next::Receive
    })
}

/// A process that runs its messages, and tells the test what else it hears.
pub(crate) struct Puppet {
    heard: Sender<Heard>,
    traps_exits: bool,
}

/// What a puppet heard, or a word it was told to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Exit(Exit),
    Down(Down),
    Timeout,
    Said(String),
    Ended(Reason),
}

impl Puppet {
    pub(crate) fn say(&self, word: impl fmt::Display) {
        let _ = self.heard.send(Heard::Said(word.to_string()));
    }
}

impl Process for Puppet {
    type Message = Do;
    type Port = NoPort;
    const MAILBOX: usize = 2;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.traps_exits {
            me.trap_exits();
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        let heard = match received {
            Received::Message(act) => return act(self, me),
            Received::Exit(exit) => Heard::Exit(exit),
            Received::Down(down) => Heard::Down(down),
            Received::Timeout => Heard::Timeout,
            Received::Port(never) => match never {},
        };
        let _ = self.heard.send(heard);
        Next::Receive
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        let _ = self.heard.send(Heard::Ended(reason.clone()));
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

    pub(crate) fn puppet(&self, name: &'static str) -> (Pid<Do>, Receiver<Heard>) {
        self.enter(name, false)
    }

    /// One that traps exits.
    pub(crate) fn trapper(&self, name: &'static str) -> (Pid<Do>, Receiver<Heard>) {
        self.enter(name, true)
    }

    fn enter(&self, name: &'static str, traps_exits: bool) -> (Pid<Do>, Receiver<Heard>) {
        let entered = enter(&self.node, name, traps_exits);
        self.clock.settle();
        entered
    }

    /// A watcher that monitors a process, and that process.
    pub(crate) fn monitored(&self) -> (Pid<Do>, Pid<Do>, Receiver<Heard>) {
        let (watched, _) = self.puppet("watched");
        let (watcher, heard) = self.puppet("watcher");
        let target = watched.process();
        self.make(&watcher, move |_, me| {
            me.monitor(&target);
            Next::Receive
        });
        (watched, watcher, heard)
    }

    /// Has `one` link itself to `other`.
    pub(crate) fn link(&self, one: &Pid<Do>, other: &Pid<Do>) {
        let other = other.process();
        self.make(one, move |_, me| {
            me.link(&other);
            Next::Receive
        });
    }

    /// Has `puppet` exit.
    pub(crate) fn exit(&self, puppet: &Pid<Do>, reason: Reason) {
        self.make(puppet, |_, _| Next::Exit(reason));
    }

    /// Has `puppet` do something, and waits until all is quiet.
    pub(crate) fn make(
        &self,
        puppet: &Pid<Do>,
        deed: impl FnOnce(&mut Puppet, &mut Me<'_, Puppet>) -> Next + Send + 'static,
    ) {
        puppet
            .try_send(act(deed))
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

/// A puppet in any node.
pub(crate) fn enter(
    node: &Node,
    name: &'static str,
    traps_exits: bool,
) -> (Pid<Do>, Receiver<Heard>) {
    let (heard, ear) = mpsc::channel();
    let pid = node.arbiter(0).spawn(Name::new(name), move || {
        Ok((Puppet { heard, traps_exits }, NoPort))
    });
    (pid, ear)
}

/// All that was heard by now.
pub(crate) fn all(ear: &Receiver<Heard>) -> Vec<Heard> {
    ear.try_iter().collect()
}

/// The reasons among them that monitors delivered.
pub(crate) fn downs(ear: &Receiver<Heard>) -> Vec<Reason> {
    let reason = |heard| match heard {
        Heard::Down(down) => Some(down.reason),
        _ => None,
    };
    ear.try_iter().filter_map(reason).collect()
}
