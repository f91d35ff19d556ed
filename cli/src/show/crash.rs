//! A transform server with two light clients and one whose request panics: what a crash costs in each model (S20).

use std::io::{self, Read};
use std::net::SocketAddr;
use std::thread;

use poetry::Model;

use super::Scene;
use super::busy::{THIRD_AT, ask, connect, in_words, serve};
use crate::failure::Failure;

/// Runs the server of each model.
pub(super) fn scene(models: &[&'static dyn Model]) -> Result<Scene, Failure> {
    let (mut records, mut slowest) = (Vec::new(), Vec::new());
    for &model in models {
        let (record, longest) = serve(model, false, crashing)?;
        records.push(record);
        slowest.push(in_words(model, longest));
    }
    Ok(Scene {
        title: "A server with a request that crashes",
        words: format!(
            "After 40 ms a third client sends three requests at once, and the second one panics. In every model it gets its first \
             reply, its connection closes, and the next connection is answered at once; the light clients notice nothing. What \
             catches the panic differs: a guard around the callback (callbacks); the end of one process, whose heir delivers the \
             reply it owed (actors); an error, the last item of one stream (streams); a guard in the connection's own thread \
             (blocking). The slowest reply to a light client in this run: {}.",
            slowest.join(", ")
        ),
        records,
    })
}

/// Asks for what panics between two light requests, and then for something light on a new connection.
fn crashing(address: SocketAddr) -> io::Result<()> {
    let mut socket = connect(address)?;
    thread::sleep(THIRD_AT);
    ask(
        &mut socket,
        b"10:shout.ahoy,10:crash.ahoy,10:shout.ahoy,",
        b"4:AHOY,",
    )?;
    if socket.read(&mut [0])? > 0 {
        return Err(io::Error::other("there is a reply after the crash"));
    }
    drop(socket);
    ask(&mut connect(address)?, b"10:shout.ahoy,", b"4:AHOY,")
}
