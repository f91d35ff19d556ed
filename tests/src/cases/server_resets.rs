//! A connection that ends with something owed to its peer is reset (S21, S18): FIN would make a part of a poem look complete.
//! In every role of a server.

use std::time::Duration;

use crate::case::{Role, cases};
use crate::connection::Connection;
use crate::context::{Context, Setup};
use crate::failure::{Check, equal};
use crate::peers::NeverReads;
use crate::wire::text;

cases! { PoemServer TransformServer LibraryServer Proxy:
    what_the_grace_cuts_is_reset [S21] needs [Signals Counters Limits],
    what_the_write_timeout_cuts_is_reset [S18] needs [Counters Limits],
    a_connection_that_lingers_at_the_end_of_the_grace_is_not_reset [S21 S7] needs [Signals Counters Limits],
}

const SHORT: Duration = Duration::from_millis(200);
/// Longer than any case runs.
const NEVER: Duration = Duration::from_secs(600);

/// Prepares a server that sends `poem`, and returns what a client has to send to get it.
fn prepare(context: &Context, poem: &str) -> (Setup, Vec<u8>) {
    match context.role() {
        Role::TransformServer | Role::LibraryServer => {
            let request = context.request(poem);
            (context.one_shot(), request)
        }
        _ => (context.poem(poem), Vec::new()),
    }
}

/// Requests a poem that exceeds the kernel's buffers, and reads none of it.
fn never_reads(setup: Setup, request: &[u8]) -> Check<(crate::running::RunningServer, Connection)> {
    let setup = setup.limits(|limits| limits.frame_bytes_max = 2 * NeverReads::BYTES);
    let server = setup.start()?;
    let mut client = NeverReads.run(server.address())?;
    client.send(request)?;
    client.wait_readable()?;
    Ok((server, client))
}

fn what_the_grace_cuts_is_reset(context: &Context) -> Check {
    let (setup, request) = prepare(context, &text(NeverReads::BYTES));
    let (server, mut client) = never_reads(setup, &request)?;
    let stopped = server.stop(SHORT)?;
    client.expect_reset()?;
    stopped.expect(0, 1)?;
    let counts = stopped.counts()?;
    equal(
        "connections cut and requests failed",
        &(counts.closed.cut, counts.failed),
        &(1, 1),
    )
}

fn what_the_write_timeout_cuts_is_reset(context: &Context) -> Check {
    let (setup, request) = prepare(context, &text(NeverReads::BYTES));
    let setup = setup.limits(|limits| limits.write_timeout = SHORT);
    let (server, mut client) = never_reads(setup, &request)?;
    let counts = server.settled(1)?;
    client.expect_reset()?;
    equal(
        "closed by the write timeout and requests failed",
        &(counts.closed.write, counts.failed),
        &(1, 1),
    )
}

fn a_connection_that_lingers_at_the_end_of_the_grace_is_not_reset(context: &Context) -> Check {
    let (setup, request) = prepare(context, "a poem");
    let setup = setup.limits(|limits| limits.linger_timeout = NEVER);
    let server = setup.start()?;
    let mut client = server.connect()?;
    client.send(&request)?;
    let (bytes, end) = client.receive_to_end()?;
    equal("the end", &end, &crate::connection::End::Fin)?;
    equal("whether bytes came", &bytes.is_empty(), &false)?;
    let stopped = server.stop(SHORT)?;
    stopped.expect(0, 1)?;
    client.expect_no_reset()
}
