//! Step 11b: as 11, but the poem is its process's exit reason: `exit({poem, Poem})`. So no message is needed, and no pid of the
//! parent: one `Down` says what came of each poem.

mod start;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{Me, MonitorId, Next, NoPort, Node, Peer, Process, Reason, Received};

use start::socket::Socket;

/// Reads one poem, and ends for it.
struct Poem(Vec<u8>);

impl Process for Poem {
    type Message = Infallible;
    type Port = Socket;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(Ok(b"")) => {
                let text = String::from_utf8_lossy(&self.0).into_owned();
                Next::Exit(Reason::other(text))
            }
            Received::Port(Ok(bytes)) => {
                self.0.extend_from_slice(bytes);
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
    type Message = Infallible;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        for (task, peer) in self.peers.drain(..).enumerate() {
            let poem = me.spawn("poem", Poem(Vec::new()), Socket::to(peer));
            self.left.insert(me.monitor(&poem.process()), task);
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Down(down) = received
            && let Some(task) = self.left.remove(&down.monitor)
        {
            let text = match down.reason.value::<String>() {
                Some(poem) => poem.clone(),
                None => format!("no poem: {}", down.reason),
            };
            let _ = self.poems.send((task, text));
        }
        match self.left.len() {
            0 => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}

fn main() -> ExitCode {
    start::start(
        "actors_11b_reasons [[HOST:]PORT ...]",
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
