//! Step 3, let it crash: a poem that is given a line without words panics. That ends the poem and nothing else; a
//! critic that monitors it hears why, once, and can say so.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Pid, Process, Received, Reply};

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

/// Waits for the end of a poem, to tell whoever asked.
struct Critic {
    poem: Pid<Message>,
    asked: Option<Reply<String>>,
}

/// What a critic understands.
struct HowDidItEnd(Reply<String>);

impl Process for Critic {
    type Message = HowDidItEnd;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(HowDidItEnd(reply)) => {
                self.asked = Some(reply);
                // A poem that has ended already is heard of at once.
                me.monitor(&self.poem.process());
            }
            Received::Down(down) => {
                let asked = self.asked.take();
                asked
                    .into_iter()
                    .for_each(|reply| reply.send(down.reason.to_string()));
            }
            _ => {}
        }
        Next::Receive
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
    let poem = node
        .arbiter(0)
        .spawn(Name::new("poem"), || Ok((Poem::default(), NoPort)));
    let watched = poem.clone();
    let critic = node.arbiter(0).spawn(Name::new("critic"), || {
        Ok((
            Critic {
                poem: watched,
                asked: None,
            },
            NoPort,
        ))
    });
    node.send(&poem, Message::Line("The lamp is out,"));
    let begun = node
        .call(&poem, PATIENCE, Message::Recite)
        .map_err(io::Error::other)?;
    let ending = node.ask(&critic, PATIENCE, HowDidItEnd);
    node.send(&poem, Message::Line(""));
    let ending = ending.wait().map_err(io::Error::other)?;
    node.stop();
    Ok(format!("{begun}\n{ending}"))
}
