//! Step 4, a supervisor: what crashes is started anew, with the state it began with, under the name it had. Whoever
//! finds it by that name need not know that it crashed.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use actors::port::NoPort;
use actors::process::{CallError, Me, Name, Next, Node, Pid, Process, Received, Reply};
use actors::supervisor::{Intensity, Restart, Shutdown, Spec, Strategy, Supervisor, ToSupervisor};
use actors::tree::{self, ChildInfo, WhichChildren};

/// A poem.
#[derive(Default)]
struct Poem {
    lines: Vec<String>,
}

/// What a poem understands.
enum Message {
    /// One more line.
    Line(&'static str),
    /// The whole of it, please.
    Recite(Reply<String>),
}

impl Process for Poem {
    type Message = Message;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Message::Line("")) => panic!("a line without words"),
            Received::Message(Message::Line(line)) => self.lines.push(line.to_owned()),
            Received::Message(Message::Recite(reply)) => reply.send(self.lines.join("\n")),
            _ => {}
        }
        Next::Receive
    }
}

const POEM: Name = Name::new("poem");

/// What the supervisor is told of the poem.
fn poem() -> Spec {
    Spec {
        name: POEM,
        restart: Restart::Permanent,
        shutdown: Shutdown::After(PATIENCE),
        start: Box::new(|me| {
            let poem = me.spawn_link(POEM, Poem::default(), NoPort);
            me.node().register(POEM, &poem);
            Ok(poem.process().into())
        }),
    }
}

/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    println!("{}", run()?);
    Ok(())
}

/// What the step has to show.
pub(crate) fn run() -> io::Result<String> {
    poetry::panics::silence_contained();
    let node = Node::start(NonZeroUsize::MIN)?;
    let supervisor = node.arbiter(0).spawn(Name::new("supervisor"), || {
        let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![poem()]);
        Ok((supervisor, NoPort))
    });
    let begun = draw(&node, &supervisor);
    let first = find(&node)?;
    node.send(&first, Message::Line("The lamp is out,"));
    node.send(&first, Message::Line(""));
    let crashed = recite(&node, &first).is_err();
    let mended = draw(&node, &supervisor);
    let second = find(&node)?;
    node.send(&second, Message::Line("the harbour is not."));
    let left = recite(&node, &second).map_err(io::Error::other)?;
    node.stop();
    Ok(format!("{begun}crashed: {crashed}\n{mended}{left}"))
}

/// Draws the tree; the supervisor answers once it has done what it had to do.
fn draw(node: &Node, supervisor: &Pid<ToSupervisor>) -> String {
    let root = ChildInfo {
        name: Name::new("supervisor"),
        process: Some(supervisor.process()),
        notes: String::new(),
        which_children: Some(WhichChildren::new(
            supervisor.clone(),
            ToSupervisor::WhichChildren,
        )),
    };
    tree::draw(node, root)
}

/// Whoever is called the poem now.
fn find(node: &Node) -> io::Result<Pid<Message>> {
    let found = node.whereis::<Message>(POEM);
    found.ok_or_else(|| io::Error::other("nobody is called the poem"))
}

fn recite(node: &Node, poem: &Pid<Message>) -> Result<String, CallError> {
    node.call(poem, PATIENCE, Message::Recite)
}
