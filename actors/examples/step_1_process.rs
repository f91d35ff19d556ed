//! Step 1, a process: a poem that grows by a line with every message. Its state is its own; whoever wants to see it
//! asks by a message, and puts into that message where the answer goes.

use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc;

use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Process, Received};

/// A poem.
#[derive(Default)]
struct Poem {
    lines: Vec<String>,
}

/// What a poem understands.
enum Message {
    /// One more line.
    Line(&'static str),
    /// The whole of it, please, to this address.
    Recite(mpsc::Sender<String>),
}

impl Process for Poem {
    type Message = Message;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Message::Line(line)) => self.lines.push(line.to_owned()),
            Received::Message(Message::Recite(reader)) => {
                let _ = reader.send(self.lines.join("\n"));
            }
            _ => {}
        }
        Next::Receive
    }
}

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
    let (reader, read) = mpsc::channel();
    node.send(&poem, Message::Recite(reader));
    let shown = read.recv().map_err(io::Error::other)?;
    node.stop();
    Ok(shown)
}
