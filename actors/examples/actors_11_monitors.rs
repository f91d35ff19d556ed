//! Step 11, the third client of Part 20: the parent monitors its poems. A poem that fails just exits, and the parent receives
//! the reason. It receives one for each poem, also after a crash, and counts these: it does not wait for ever.

mod start;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{Me, MonitorId, Next, NoPort, Node, Peer, Pid, Process, Reason, Received};

use start::socket::Socket;

/// The message of a poem to its parent.
struct Finished {
    task: usize,
    poem: String,
}

/// Reads one poem, and sends it to its parent.
struct Poem {
    task: usize,
    text: Vec<u8>,
    parent: Pid<Finished>,
}

impl Poem {
    fn finish(&self, poem: String, me: &mut Me<'_, Self>) -> Next {
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
                self.finish(text, me)
            }
            Received::Port(Ok(bytes)) => {
                self.text.extend_from_slice(bytes);
                Next::Receive
            }
            Received::Port(Err(error)) => Next::Exit(Reason::crash(error.kind().to_string())),
            _ => Next::Receive,
        }
    }
}

/// Starts the poems and waits for their ends.
struct Parent {
    peers: Vec<Peer>,
    left: HashMap<MonitorId, usize>,
    poems: mpsc::Sender<(usize, String)>,
}

impl Process for Parent {
    type Message = Finished;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        for (task, peer) in self.peers.drain(..).enumerate() {
            let (text, parent) = (Vec::new(), me.pid());
            let poem = me.spawn("poem", Poem { task, text, parent }, Socket::to(peer));
            self.left.insert(me.monitor(&poem.process()), task);
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(Finished { task, poem }) => {
                let _ = self.poems.send((task, poem));
            }
            // After the message, if there is one.
            Received::Down(down) => {
                if let Some(task) = self.left.remove(&down.monitor)
                    && down.reason.is_abnormal()
                {
                    let text = format!("no poem: {}", down.reason);
                    let _ = self.poems.send((task, text));
                }
            }
            _ => {}
        }
        match self.left.len() {
            0 => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}

fn main() -> ExitCode {
    start::start(
        "actors_11_monitors [[HOST:]PORT ...]",
        start::addresses,
        run,
    )
}

/// Returns the poems of `peers`, or of servers started for this, in the order of the peers.
pub(crate) fn run(peers: Vec<Peer>) -> io::Result<String> {
    let (peers, _servers) = start::poem_servers(peers)?;
    let node = Node::start_one()?;
    let (poems, finished) = mpsc::channel();
    let left = HashMap::new();
    node.spawn("parent", Parent { peers, left, poems });
    let text = start::in_order(finished);
    node.stop();
    Ok(text)
}
