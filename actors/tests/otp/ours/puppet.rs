//! Puppets: processes that run the commands they receive.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use actors::{
    CallError, ChildError, ChildInfo, Children, Me, MonitorId, Name, Next, NoPort, Pid, Process,
    ProcessId, ProcessRef, Reason, Received, Reply, ToSupervisor,
};

use super::known::{Latest, word};
use super::{MAILBOX, SPECS, World, reason, send_signal};
use crate::history::{Ask, Command, Manner, Request, Slot};

/// Longer than any history.
const FOREVER: Duration = Duration::from_secs(1_000_000);

pub(super) enum Mail {
    Do(Vec<Command>),
    Word { from: String, word: &'static str },
    Call(Request, Reply<()>),
}

/// A process that runs the commands it receives.
pub(super) struct Puppet {
    pub(super) world: Arc<World>,
    pub(super) slot: Slot,
    pub(super) name: String,
    pub(super) manner: Manner,
    pub(super) supervisor: Option<ProcessRef>,
    pub(super) monitors: Vec<(MonitorId, ProcessRef)>,
    pub(super) kept: VecDeque<Reply<()>>,
}

impl Puppet {
    fn say(&self, what: impl Display) {
        self.world.known().say(&self.name, what);
    }

    fn named(&self, process: Option<ProcessId>) -> String {
        self.world.known().name(process).to_owned()
    }

    fn run(&mut self, mut commands: std::vec::IntoIter<Command>, me: &mut Me<'_, Self>) -> Next {
        while let Some(command) = commands.next() {
            match command {
                Command::End(end) => return self.end(reason(end)),
                Command::Call(slot, timeout, request) => {
                    if let Some(Latest::Puppet(pid)) = self.world.latest(slot) {
                        let ask = move |reply| Mail::Call(request, reply);
                        me.call(&pid, timeout, ask, move |puppet, answer, me| {
                            puppet.say(format_args!("call of {slot} {}", answered(answer)));
                            puppet.run(commands, me)
                        });
                        return Next::Receive;
                    }
                }
                Command::StartRoot(_) => {
                    let pid = Arc::clone(&self.world).start_supervisor(&self.world.root, me);
                    // As `start_link`, which returns when it has started or failed to.
                    me.call(
                        &pid,
                        FOREVER,
                        ToSupervisor::WhichChildren,
                        |puppet, _, me| puppet.run(commands, me),
                    );
                    return Next::Receive;
                }
                Command::StartChild(slot, child) => {
                    if let Some(Latest::Supervisor(pid)) = self.world.latest(slot) {
                        let spec = self.world.spec(&child);
                        let ask = move |reply| ToSupervisor::Start(spec, reply);
                        me.call(&pid, FOREVER, ask, move |puppet, answer, me| {
                            puppet.say(format_args!("start_child {slot} {}", yes(answer)));
                            puppet.run(commands, me)
                        });
                        return Next::Receive;
                    }
                }
                Command::Ask(ask, slot, child) => {
                    if let Some(Latest::Supervisor(pid)) = self.world.latest(slot) {
                        let name = Name::numbered("child", child as u64);
                        let request = move |reply| match ask {
                            Ask::Terminate => ToSupervisor::Terminate(name, reply),
                            Ask::Restart => ToSupervisor::Restart(name, reply),
                            Ask::Delete => ToSupervisor::Delete(name, reply),
                        };
                        me.call(&pid, FOREVER, request, move |puppet, answer, me| {
                            let answer = done(&answer);
                            puppet.say(format_args!("{ask} {slot} {child} {answer}"));
                            puppet.run(commands, me)
                        });
                        return Next::Receive;
                    }
                }
                Command::WhichChildren(slot) => {
                    if let Some(Latest::Supervisor(pid)) = self.world.latest(slot) {
                        let ask = ToSupervisor::WhichChildren;
                        me.call(&pid, FOREVER, ask, move |puppet, answer, me| {
                            let children = answer.as_ref().ok().map(|all| puppet.list(all));
                            let children = children.unwrap_or_else(|| " noprocess".to_owned());
                            puppet.say(format_args!("which_children {slot}{children}"));
                            puppet.run(commands, me)
                        });
                        return Next::Receive;
                    }
                }
                command => self.command(command, me),
            }
        }
        Next::Receive
    }

    /// Names the processes of a supervisor's children, or the slots of those that do not run.
    fn list(&self, children: &Children) -> String {
        let known = |child: &&ChildInfo| child.name != SPECS;
        let child = |child: &ChildInfo| match &child.process {
            Some(process) => format!(" {}", self.named(Some(process.id()))),
            None => format!(" {}", child.name.to_string().trim_start_matches("child-")),
        };
        children.children.iter().filter(known).map(child).collect()
    }

    fn end(&self, reason: Reason) -> Next {
        match reason {
            Reason::Crash(word) => panic!("{word}"),
            reason => Next::Exit(reason),
        }
    }

    /// Runs a command that does not wait.
    fn command(&mut self, command: Command, me: &mut Me<'_, Self>) {
        let world = Arc::clone(&self.world);
        match command {
            Command::TrapExits => me.trap_exits(),
            Command::After(wait) => me.after(wait),
            Command::Demonitor => {
                if let Some((monitor, process)) = self.monitors.pop() {
                    me.demonitor(monitor, &process);
                }
            }
            Command::Reply => {
                if let Some(reply) = self.kept.pop_front() {
                    reply.send(());
                }
            }
            Command::Register(name) => {
                let done = me.node().register(registered(name), &me.pid()).is_ok();
                self.say(format_args!("registered {done}"));
            }
            Command::SendToName(name, word) => match me.node().whereis::<Mail>(registered(name)) {
                Some(pid) => self.send(&pid, word, me),
                None => self.say("no such name"),
            },
            Command::Spawn(slot, manner) => {
                world.start(slot, manner, None, me);
            }
            Command::SpawnLink(slot, manner) => {
                let pid = world.start(slot, manner, None, me);
                me.link(&pid.process());
            }
            Command::Send(slot, word) => {
                if let Some(Latest::Puppet(pid)) = world.latest(slot) {
                    self.send(&pid, word, me);
                }
            }
            Command::Link(slot) => with(&world, slot, |process| me.link(process)),
            Command::Unlink(slot) => with(&world, slot, |process| me.unlink(process)),
            Command::Monitor(slot) => with(&world, slot, |process| {
                let monitor = me.monitor(process);
                self.monitors.push((monitor, process.clone()));
            }),
            Command::Signal(slot, signal) => with(&world, slot, |process| {
                send_signal(process, signal, me);
            }),
            command => unreachable!("{command}"),
        }
    }

    fn send(&self, to: &Pid<Mail>, word: &'static str, me: &mut Me<'_, Self>) {
        let from = self.name.clone();
        me.send(to, Mail::Word { from, word });
    }
}

fn with(world: &World, slot: Slot, then: impl FnOnce(&ProcessRef)) {
    if let Some(latest) = world.latest(slot) {
        then(&latest.process());
    }
}

fn answered(answer: Result<(), CallError>) -> &'static str {
    match answer {
        Ok(()) => "ok",
        Err(CallError::Timeout) => "timeout",
        Err(CallError::NoProcess) => "noprocess",
    }
}

fn done(answer: &Result<Result<(), ChildError>, CallError>) -> &'static str {
    match answer {
        Ok(Ok(())) => "ok",
        Ok(Err(ChildError::NotFound)) => "not_found",
        Ok(Err(ChildError::Running)) => "running",
        Ok(Err(ChildError::Restarting)) => "restarting",
        Ok(Err(ChildError::NotStarted(_))) => "not_started",
        Err(_) => "noprocess",
    }
}

fn yes(answer: Result<bool, CallError>) -> String {
    answer.map_or("noprocess".to_owned(), |yes| yes.to_string())
}

fn registered(name: usize) -> Name {
    Name::numbered("laureate", name as u64)
}

impl Process for Puppet {
    type Message = Mail;
    type Port = NoPort;
    const MAILBOX: usize = MAILBOX;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        if self.supervisor.is_some() {
            let process = Latest::Puppet(me.pid());
            self.world.started(self.slot, &self.name, process);
        }
        match self.manner {
            Manner::Plain => {}
            Manner::Stubborn | Manner::Obeys(_) => me.trap_exits(),
            Manner::Unlinks => self
                .supervisor
                .iter()
                .for_each(|supervisor| me.unlink(supervisor)),
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Mail::Do(commands)) => return self.run(commands.into_iter(), me),
            Received::Message(Mail::Word { from, word }) => {
                self.say(format_args!("got {word} from {from}"));
            }
            Received::Message(Mail::Call(Request::Answer, reply)) => reply.send(()),
            Received::Message(Mail::Call(Request::Drop, reply)) => drop(reply),
            Received::Message(Mail::Call(Request::Keep, reply)) => self.kept.push_back(reply),
            Received::Message(Mail::Call(Request::End(end), _)) => return self.end(reason(end)),
            Received::Exit(exit) => {
                let from = self.named(exit.from);
                self.say(format_args!("exit of {from} {}", word(&exit.reason)));
                if let Manner::Obeys(end) = self.manner
                    && self.supervisor.as_ref().map(ProcessRef::id) == exit.from
                {
                    return match end {
                        Some(end) => self.end(reason(end)),
                        None => Next::Exit(exit.reason),
                    };
                }
            }
            Received::Down(down) => {
                let from = self.named(Some(down.process));
                self.say(format_args!("down of {from} {}", word(&down.reason)));
            }
            Received::Timeout => self.say("timeout"),
            Received::Port(never) => match never {},
        }
        Next::Receive
    }

    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        let mut known = self.world.known();
        known.alive.retain(|(name, _)| *name != self.name);
        known.say(&self.name, format_args!("ended {}", word(reason)));
    }
}
