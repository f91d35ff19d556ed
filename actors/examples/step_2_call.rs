//! Step 2, a call: the question carries a place for one reply, and whoever asks waits for it, but not for ever.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Process, Received, Reply};

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
            Received::Message(Message::Line(line)) => self.lines.push(line.to_owned()),
            Received::Message(Message::Recite(reply)) => reply.send(self.lines.join("\n")),
            _ => {}
        }
        Next::Receive
    }
}

/// How long a poem may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    println!("{}", run()?);
    Ok(())
}

/// What the step has to show.
pub(crate) fn run() -> io::Result<String> {
    let node = Node::start(NonZeroUsize::MIN)?;
    let poem = node
        .arbiter(0)
        .spawn(Name::new("poem"), || Ok((Poem::default(), NoPort)));
    node.send(&poem, Message::Line("The lamp is out,"));
    node.send(&poem, Message::Line("the harbour is not."));
    let shown = node
        .call(&poem, PATIENCE, Message::Recite)
        .map_err(io::Error::other)?;
    node.stop();
    Ok(shown)
}
