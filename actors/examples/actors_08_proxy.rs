//! Step 8, a proxy: readers that come at once wait for one cache process, which starts one poet for all of them. The cache
//! monitors them: should all leave, it would ask the poet to exit.

mod start;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use actors::{
    Fetched, Me, Next, NoPort, Node, Pace, PoemService, Process, ProxyService, Reason, Received,
    Server, serve_poem, serve_proxy,
};

const READERS: usize = 3;
const DELAY: Duration = Duration::from_millis(20);

/// Fetches one poem.
struct Reader {
    proxy: SocketAddr,
    poems: mpsc::Sender<Result<String, String>>,
}

impl Process for Reader {
    type Message = Fetched;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.fetch(self.proxy);
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(Fetched { outcome, .. }) = received {
            let _ = self
                .poems
                .send(outcome.poem.map_err(|error| error.to_string()));
        }
        Next::Exit(Reason::Normal)
    }
}

fn main() -> ExitCode {
    start::start("actors_08_proxy", start::no_arguments, run)
}

/// Returns the readers' poems, the number of fetches, and the proxy's tree.
pub(crate) fn run((): ()) -> io::Result<String> {
    let listener = || TcpListener::bind("127.0.0.1:0");
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::MIN,
        delay: DELAY,
    };
    let poem = "Ahoy.".into();
    let slow = serve_poem(listener()?, PoemService { poem, pace })?;
    let service = ProxyService {
        upstream: slow.address().into(),
        ttl: None,
    };
    let proxy = serve_proxy(listener()?, service)?;
    let node = Node::start_one()?;
    let (poems, fetched) = mpsc::channel();
    for _ in 0..READERS {
        let reader = Reader {
            proxy: proxy.address(),
            poems: poems.clone(),
        };
        node.spawn("reader", reader);
    }
    drop(poems);
    let poems: Result<Vec<String>, String> = fetched.iter().collect();
    node.stop();
    let poems = poems.map_err(io::Error::other)?.join("\n");
    let fetches = proxy.counters().fetches.begun;
    let tree = proxy.details().unwrap_or_default();
    Ok(format!("{poems}\n{fetches} fetch\n{tree}"))
}
