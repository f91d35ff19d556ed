//! Step 10, the second client of Part 20: a parent, and a process for each poem. Each sends the parent one message, the poem
//! or the failure, and the parent counts them. It would wait for ever for a process that crashes before it has sent.

mod start;

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{Me, Next, NoPort, Node, Peer, Pid, Process, Reason, Received};

use start::socket::Socket;

/// The message of a poem to its parent.
struct Finished {
    task: usize,
    poem: io::Result<String>,
}

/// Reads one poem, and sends it to its parent.
struct Poem {
    task: usize,
    text: Vec<u8>,
    parent: Pid<Finished>,
}

impl Poem {
    fn finish(&self, poem: io::Result<String>, me: &mut Me<'_, Self>) -> Next {
        let task = self.task;
        me.send(&self.parent, Finished { task, poem });
        Next::Exit(Reason::Normal)
    }
}

impl Process for Poem {
    type Message = Infallible;
    type Port = Socket;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(Ok(b"")) => {
                let text = String::from_utf8_lossy(&self.text).into_owned();
                self.finish(Ok(text), me)
            }
            Received::Port(Ok(bytes)) => {
                self.text.extend_from_slice(bytes);
                Next::Receive
            }
            Received::Port(Err(error)) => self.finish(Err(error), me),
            _ => Next::Receive,
        }
    }
}

/// Starts the poems and counts their messages.
struct Parent {
    peers: Vec<Peer>,
    left: usize,
    poems: mpsc::Sender<(usize, String)>,
}

impl Process for Parent {
    type Message = Finished;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        for (task, peer) in self.peers.drain(..).enumerate() {
            let (text, parent) = (Vec::new(), me.pid());
            me.spawn("poem", Poem { task, text, parent }, Socket::to(peer));
            self.left += 1;
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(Finished { task, poem }) = received {
            let text = poem.unwrap_or_else(|error| format!("no poem: {}", error.kind()));
            let _ = self.poems.send((task, text));
            self.left -= 1;
        }
        match self.left {
            0 => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}

fn main() -> ExitCode {
    start::start("actors_10_parent [[HOST:]PORT ...]", start::addresses, run)
}

/// Returns the poems of `peers`, or of servers started for this, in the order of the peers.
pub(crate) fn run(peers: Vec<Peer>) -> io::Result<String> {
    let (peers, _servers) = start::poem_servers(peers)?;
    let node = Node::start_one()?;
    let (poems, finished) = mpsc::channel();
    let left = 0;
    node.spawn("parent", Parent { peers, left, poems });
    let text = start::in_order(finished);
    node.stop();
    Ok(text)
}
