//! Step 3, a monitor: a poem panics when it receives an empty line. That ends the poem and nothing else. A critic that
//! monitors the poem receives the reason.

mod start;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use actors::{Me, Next, NoPort, Node, Pid, Process, Received, Reply};

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

/// Waits for the end of a poem.
struct Critic {
    poem: Pid<Message>,
    asked: Option<Reply<String>>,
}

/// A message to a critic: reply with the reason for which the poem ended.
struct HowDidItEnd(Reply<String>);

impl Process for Critic {
    type Message = HowDidItEnd;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(HowDidItEnd(reply)) => {
                self.asked = Some(reply);
                me.monitor(&self.poem.process());
            }
            Received::Down(down) => {
                if let Some(reply) = self.asked.take() {
                    reply.send(down.reason.to_string());
                }
            }
            _ => {}
        }
        Next::Receive
    }
}

/// How long a process may take to reply.
const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    start::start("actors_03_monitor", start::no_arguments, run)
}

/// Returns the poem before its crash, and what its critic reports.
pub(crate) fn run((): ()) -> io::Result<String> {
    // The panic is expected, so its message is not printed.
    poetry::panics::silence_contained();
    let node = Node::start_one()?;
    let poem = node.spawn("poem", Poem::default());
    let critic = Critic {
        poem: poem.clone(),
        asked: None,
    };
    let critic = node.spawn("critic", critic);
    node.send(&poem, Message::Line("The lamp is out,"));
    let recited = node
        .call(&poem, TIMEOUT, Message::Recite)
        .map_err(io::Error::other)?;
    let ended = node.ask(&critic, TIMEOUT, HowDidItEnd);
    node.send(&poem, Message::Line(""));
    let ended = ended.wait().map_err(io::Error::other)?;
    node.stop();
    Ok(format!("{recited}\n{ended}"))
}
