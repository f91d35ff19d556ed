//! Step 6, a client: a reader sends out a poet, a process that fetches one poem and tells its parent what came of it in
//! one message. The reader monitors it, so that it hears even of a poet that ends without a word.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};

use actors::messages::ToFetcher;
use actors::monitor::Reason;
use actors::net::Socket;
use actors::poem_client::{Fetch, get_poetry};
use actors::poem_server::serve_poem;
use actors::port::NoPort;
use actors::process::{Me, Name, Next, Node, Process, Received};
use poetry::event::Unobserved;
use poetry::{Clock, FetchRequest, Options, Pace, Peer, Poem, PoemService, Server};

/// Waits for one poem.
struct Reader {
    fetch: Arc<Fetch>,
    told: mpsc::Sender<String>,
}

impl Process for Reader {
    type Message = ToFetcher;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        let poet = get_poetry::<Socket>(&me.arbiter(), &self.fetch, 0, me.pid());
        me.monitor(&poet.process());
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToFetcher::Poem { outcome, .. }) => {
                let poem = outcome.poem.unwrap_or_else(|error| error.to_string());
                let _ = self.told.send(poem);
                Next::Receive
            }
            Received::Down(_) => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}

fn main() -> io::Result<()> {
    println!("{}", run()?);
    Ok(())
}

/// What the step has to show.
pub(crate) fn run() -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let service = PoemService {
        poem: Poem::from("The lamp is out,\nthe harbour is not."),
        pace: Pace::Fast,
    };
    let options = Options::new(Clock::stopped());
    let server = serve_poem(listener, service, &options, Arc::new(Unobserved))?;
    fetch_from(server.address(), &options)
}

/// What is read there.
fn fetch_from(server: SocketAddr, options: &Options) -> io::Result<String> {
    let request = FetchRequest {
        peer: Peer::from(server),
        via: None,
    };
    let fetch = Arc::new(Fetch::new(vec![request], options, Arc::new(Unobserved)));
    let node = Node::start(NonZeroUsize::MIN)?;
    let (told, heard) = mpsc::channel();
    node.arbiter(0).spawn(Name::new("reader"), move || {
        Ok((Reader { fetch, told }, NoPort))
    });
    let poem = heard.recv().map_err(io::Error::other);
    node.stop();
    poem
}
