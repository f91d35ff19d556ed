//! Step 7, a library: the reader starts a poet for each name. The library's owner replaces a poem while the server runs;
//! no process is told, since all share the library.

mod start;

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::mpsc;

use actors::{
    Fetched, FramedPoem, Library, LibraryService, Me, Next, NoPort, Node, Peer, Poem, PoemName,
    Process, Reason, Received, Server, serve_library,
};

/// Fetches poems by name.
struct Reader {
    library: Peer,
    names: Vec<PoemName>,
    /// The number of poems still to come.
    left: usize,
    poems: mpsc::Sender<Result<String, String>>,
}

impl Process for Reader {
    type Message = Fetched;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        for name in &self.names {
            me.fetch_named(self.library.clone(), name.clone());
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

fn main() -> ExitCode {
    start::start("actors_07_library", start::no_arguments, run)
}

/// Returns a poem, the poem that replaces it, and why there is no third one.
pub(crate) fn run((): ()) -> io::Result<String> {
    let name: PoemName = "lantern".parse().map_err(io::Error::other)?;
    let entry = |text: &str| (name.clone(), FramedPoem::from(&Poem::from(text)));
    let library = Library::new([entry("The lamp is out,")].into());
    let service = LibraryService {
        library: library.clone(),
        keep_alive: false,
    };
    let server = serve_library(TcpListener::bind("127.0.0.1:0")?, service)?;
    let node = Node::start_one()?;
    let read = || {
        let (poems, fetched) = mpsc::channel();
        let reader = Reader {
            library: server.address().into(),
            names: vec![name.clone()],
            left: 1,
            poems,
        };
        node.spawn("reader", reader);
        fetched.recv().map_err(io::Error::other)
    };
    let first = read()?;
    library.replace([entry("the harbour is not.")].into());
    let second = read()?;
    library.replace([].into());
    let third = read()?;
    node.stop();
    let why = match third {
        Ok(poem) => poem,
        // Without the address, which differs in every run.
        Err(error) => error.split(": ").skip(1).collect::<Vec<_>>().join(": "),
    };
    let poems: Result<Vec<String>, String> = [first, second].into_iter().collect();
    let poems = poems.map_err(io::Error::other)?;
    Ok(format!("{}\n{why}", poems.join("\n")))
}
