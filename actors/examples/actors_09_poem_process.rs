//! Step 9, the first client of Part 20: a poem is a process with a socket of its own, and what arrives there is received like
//! a message. `start/socket.rs` makes the socket such a port. Only the first address is used.

mod start;

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{Me, Next, Node, Peer, Process, Reason, Received};

use start::socket::Socket;

/// Reads one poem, and sends it to a channel.
struct Poem {
    text: Vec<u8>,
    reader: mpsc::Sender<io::Result<String>>,
}

impl Poem {
    fn finish(&self, poem: io::Result<String>) -> Next {
        let _ = self.reader.send(poem);
        Next::Exit(Reason::Normal)
    }
}

impl Process for Poem {
    type Message = Infallible;
    type Port = Socket;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(Ok(b"")) => {
                let text = String::from_utf8_lossy(&self.text).into_owned();
                self.finish(Ok(text))
            }
            Received::Port(Ok(bytes)) => {
                self.text.extend_from_slice(bytes);
                Next::Receive
            }
            Received::Port(Err(error)) => self.finish(Err(error)),
            _ => Next::Receive,
        }
    }
}

fn main() -> ExitCode {
    start::start(
        "actors_09_poem_process [[HOST:]PORT ...]",
        start::addresses,
        run,
    )
}

/// Returns the poem of the first peer, or of a server started for this.
pub(crate) fn run(peers: Vec<Peer>) -> io::Result<String> {
    let (mut peers, _servers) = start::poem_servers(peers)?;
    let peer = peers.swap_remove(0);
    let node = Node::start_one()?;
    let (reader, finished) = mpsc::channel();
    let text = Vec::new();
    node.arbiter(0)
        .spawn("poem", || Ok((Poem { text, reader }, Socket::to(peer))));
    let poem = finished.recv().map_err(io::Error::other)?;
    node.stop();
    poem
}
