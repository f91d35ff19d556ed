//! Step 6, a client: a reader starts a poet for each poem. The poet is a linked process that fetches the poem and sends the
//! reader one message. Without arguments the poem comes from a server that this example starts.

mod start;

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{
    Fetched, Me, Next, NoPort, Node, Pace, Peer, PoemService, Process, Reason, Received,
    RunningServer, Server, serve_poem,
};

/// Fetches poems.
struct Reader {
    peers: Vec<Peer>,
    /// The number of poems still to come.
    left: usize,
    poems: mpsc::Sender<Result<String, String>>,
}

// ANCHOR: reader
impl Process for Reader {
    type Message = Fetched;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        for peer in &self.peers {
            me.fetch(peer.clone());
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(Fetched { outcome, .. }) = received {
            let _ = self
                .poems
                .send(outcome.poem.map_err(|error| error.to_string()));
            self.left -= 1;
        }
        match self.left {
            0 => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}
// ANCHOR_END: reader

fn main() -> ExitCode {
    start::start("actors_06_poet [[HOST:]PORT ...]", start::addresses, run)
}

/// Returns the poems of `peers`, or of a server started for this, in the order in which they arrive.
pub(crate) fn run(mut peers: Vec<Peer>) -> io::Result<String> {
    let mut server = None;
    if peers.is_empty() {
        let started = serve()?;
        peers.push(started.address().into());
        server = Some(started);
    }
    let node = Node::start_one()?;
    let (poems, fetched) = mpsc::channel();
    let left = peers.len();
    node.spawn("reader", Reader { peers, left, poems });
    let poems: Result<Vec<String>, String> = fetched.iter().collect();
    node.stop();
    drop(server);
    poems
        .map(|poems| poems.join("\n"))
        .map_err(io::Error::other)
}

fn serve() -> io::Result<RunningServer> {
    let service = PoemService {
        poem: "The lamp is out,\nthe harbour is not.".into(),
        pace: Pace::Fast,
    };
    serve_poem(TcpListener::bind("127.0.0.1:0")?, service)
}
