//! SIGKILL, and a restart on the same port while the kernel still holds the old connections.

use nix::sys::signal::Signal;

use crate::failure::Check;
use crate::faults::{Content, FaultContext, Observed, fault_cases};
use crate::subject::command::free_port;

fault_cases! {
    "SIGKILL":
    restarts_on_the_same_port_at_once [S21] for [PoemServer TransformServer LibraryServer Proxy],
}

fn restarts_on_the_same_port_at_once(context: &FaultContext) -> Check<Observed> {
    let port = free_port()?;
    let server = context.server(Content::Quick).port(port).start()?;
    server.serves()?;
    let open = (0..10)
        .map(|_| server.connect())
        .collect::<Check<Vec<_>>>()?;
    server.signal(Signal::SIGKILL)?;
    server.wait()?;
    let restarted = context.server(Content::Quick).port(port).start()?;
    restarted.serves()?;
    drop(open);
    restarted.serves()?;
    restarted.settled()?;
    restarted.stop()?;
    Ok(Observed::that(
        "the next server served on the same port at once, with the old connections open and in TIME_WAIT",
    ))
}
