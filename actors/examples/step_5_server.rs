//! Step 5, a server: the same ideas around a listening socket. An acceptor, a supervisor of connections, a process for
//! every connection; a request that crashes ends its own connection, and the tree can be looked at meanwhile.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use actors::transform_server::serve_transforms;
use poetry::event::Unobserved;
use poetry::{Clock, Options, Server, TransformService};

/// How long the connections may take to finish.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> io::Result<()> {
    println!("{}", run()?);
    Ok(())
}

/// What the step has to show.
pub(crate) fn run() -> io::Result<String> {
    poetry::panics::silence_contained();
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let service = TransformService {
        keep_alive: true,
        lab: Some(Clock::stopped()),
    };
    let options = Options::new(Clock::stopped());
    let server = serve_transforms(listener, service, &options, Arc::new(Unobserved))?;
    let crashed = ask(server.address(), "11:shout.ahoy?,9:crash.now,")?;
    let answered = ask(server.address(), "11:shout.ahoy!,")?;
    let tree = server.details().unwrap_or_default();
    let summary = Box::new(server).shutdown(GRACE);
    let panics = summary.counters.closed.panic;
    Ok(format!("{crashed}\n{answered}\n{panics} crashed\n{tree}"))
}

/// Sends what is to be asked, and reads until the server closes.
fn ask(server: SocketAddr, requests: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(requests.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut replies = String::new();
    stream.read_to_string(&mut replies)?;
    Ok(replies)
}
