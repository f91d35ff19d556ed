//! Step 2, a call: the same poem, but the request carries the address of its reply, and the caller waits for that with a
//! timeout.

mod start;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use actors::{Me, Next, NoPort, Node, Process, Received, Reply};

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
            Received::Message(Message::Line(line)) => self.lines.push(line.to_owned()),
            Received::Message(Message::Recite(reply)) => reply.send(self.lines.join("\n")),
            _ => {}
        }
        Next::Receive
    }
}

/// How long a poem may take to reply.
const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    start::start("actors_02_call", start::no_arguments, run)
}

/// Returns the poem's reply.
pub(crate) fn run((): ()) -> io::Result<String> {
    let node = Node::start_one()?;
    let poem = node.spawn("poem", Poem::default());
    node.send(&poem, Message::Line("The lamp is out,"));
    node.send(&poem, Message::Line("the harbour is not."));
    let recited = node.call(&poem, TIMEOUT, Message::Recite);
    node.stop();
    recited.map_err(io::Error::other)
}
