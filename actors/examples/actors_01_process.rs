//! Step 1, a process: a poem that grows by a line with every message. No other process can reach its state. To read the
//! poem, send a message with a channel for the answer.

mod start;

use std::io;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{Me, Next, NoPort, Node, Process, Received};

/// A poem.
#[derive(Default)]
struct Poem {
    lines: Vec<String>,
}

/// A message to a poem.
enum Message {
    /// Add a line.
    Line(&'static str),
    /// Send the whole poem to this channel.
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

fn main() -> ExitCode {
    start::start("actors_01_process", start::no_arguments, run)
}

/// Returns the poem that the process has gathered.
pub(crate) fn run((): ()) -> io::Result<String> {
    let node = Node::start_one()?;
    let poem = node.spawn("poem", Poem::default());
    node.send(&poem, Message::Line("The lamp is out,"));
    node.send(&poem, Message::Line("the harbour is not."));
    let (reader, recited) = mpsc::channel();
    node.send(&poem, Message::Recite(reader));
    let recited = recited.recv().map_err(io::Error::other)?;
    node.stop();
    Ok(recited)
}
