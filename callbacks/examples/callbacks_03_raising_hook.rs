//! Part 3: a panic in a callback does not end the loop. The log's hook reports it, and the loop continues (R4).

mod common;

use std::time::Duration;

use callbacks::{Failure, Reactor, log};

fn main() -> Result<(), Failure> {
    common::no_arguments();
    poetry::panics::silence_contained();
    // ANCHOR: raising_hook
    log::set_hook(|trouble| println!("Logged: {trouble}"));
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    reactor.call_when_running(|| panic!("I fall down."));
    reactor.call_later(Duration::from_millis(10), move || {
        println!("But I get up again.");
        let _ = context.stop();
    });
    println!("Starting the reactor.");
    reactor.run()?;
    // ANCHOR_END: raising_hook
    Ok(())
}
