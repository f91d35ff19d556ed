//! Part 3: the reactor runs and calls a hook, which stops it. Without that it would run for ever.

mod common;

use callbacks::{Failure, Reactor};

fn main() -> Result<(), Failure> {
    common::no_arguments();
    // ANCHOR: hello
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    reactor.call_when_running(move || {
        println!("Hello from the reactor loop!");
        println!("Lately I feel like I'm stuck in a rut.");
        let _ = context.stop();
    });
    println!("Starting the reactor.");
    reactor.run()?;
    // ANCHOR_END: hello
    println!("Reactor stopped.");
    Ok(())
}
