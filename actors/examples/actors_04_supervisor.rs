//! Step 4, a supervisor: it restarts a poem that crashed, with a fresh state and under the same name. A client that looks
//! the poem up by its name need not know about the crash.

mod start;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use actors::{
    CallError, ChildInfo, Intensity, Me, Name, Next, NoPort, Node, Pid, Process, Received, Reply,
    Spec, Strategy, Supervisor, ToSupervisor, WhichChildren, draw_tree,
};

/// A poem.
#[derive(Default)]
struct Poem {
    lines: Vec<String>,
}

/// A message to a poem.
enum Message {
    /// Add a line.
    Line(&'static str),
    /// Reply with the whole poem.
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

/// How long the poem may take to reply.
const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    start::start("actors_04_supervisor", start::no_arguments, run)
}

/// Returns the tree before and after a crash, and what the restarted poem has gathered.
pub(crate) fn run((): ()) -> io::Result<String> {
    poetry::panics::silence_contained();
    let node = Node::start_one()?;
    // #{id => poem, start => {gen_server, start_link, [{local, poem}, poem, [], []]}}
    let poem = Spec::registered(POEM, Poem::default);
    let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![poem]);
    let supervisor = node.spawn("supervisor", supervisor);
    let before = draw(&node, &supervisor);
    let first = find(&node)?;
    node.send(&first, Message::Line("The lamp is out,"));
    node.send(&first, Message::Line(""));
    let crashed = recite(&node, &first).is_err();
    let after = draw(&node, &supervisor);
    let second = find(&node)?;
    node.send(&second, Message::Line("the harbour is not."));
    let recited = recite(&node, &second).map_err(io::Error::other)?;
    node.stop();
    Ok(format!("{before}crashed: {crashed}\n{after}{recited}"))
}

/// Draws the tree. The supervisor answers after it has restarted the poem.
fn draw(node: &Node, supervisor: &Pid<ToSupervisor>) -> String {
    let root = ChildInfo {
        name: Name::new("supervisor"),
        process: Some(supervisor.process()),
        notes: String::new(),
        restarted: None,
        which_children: Some(WhichChildren::new(
            supervisor.clone(),
            ToSupervisor::WhichChildren,
        )),
    };
    draw_tree(node, root)
}

/// Looks up the process named poem.
fn find(node: &Node) -> io::Result<Pid<Message>> {
    let found = node.whereis::<Message>(POEM);
    found.ok_or_else(|| io::Error::other("no process is named poem"))
}

fn recite(node: &Node, poem: &Pid<Message>) -> Result<String, CallError> {
    node.call(poem, TIMEOUT, Message::Recite)
}
