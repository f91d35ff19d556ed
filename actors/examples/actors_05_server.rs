//! Step 5, a server: an acceptor, a supervisor of connections, and a process for every connection. A request that crashes
//! ends only its own connection, which still delivers the replies before it. The tree is drawn while the server runs.

mod start;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use actors::{Server, TransformService, serve_transforms};
use poetry::Clock;

/// How long the connections may take to finish.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    start::start("actors_05_server", start::no_arguments, run)
}

/// Returns the replies of two connections, the number of crashes, and the tree.
pub(crate) fn run((): ()) -> io::Result<String> {
    poetry::panics::silence_contained();
    let service = TransformService {
        keep_alive: true,
        // Enables the laboratory's transforms, such as `crash`. `crash` does not read the clock.
        lab: Some(Clock::stopped()),
        offload: false,
    };
    let server = serve_transforms(TcpListener::bind("127.0.0.1:0")?, service)?;
    let crashed = ask(server.address(), "11:shout.ahoy?,9:crash.now,")?;
    let answered = ask(server.address(), "11:shout.ahoy!,")?;
    let tree = server.details().unwrap_or_default();
    let summary = Box::new(server).shutdown(GRACE);
    let panics = summary.counters.closed.panic;
    Ok(format!("{crashed}\n{answered}\n{panics} crashed\n{tree}"))
}

/// Sends requests and reads until the server closes.
fn ask(server: SocketAddr, requests: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(requests.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut replies = String::new();
    stream.read_to_string(&mut replies)?;
    Ok(replies)
}
