//! Part 3: what a callback does wrong does not end the loop. It is told to the log's hook, and the loop goes on (R4).

use std::time::Duration;

use callbacks::{Failure, Reactor, log};

fn main() -> Result<(), Failure> {
    poetry::panics::silence_contained();
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
    Ok(())
}
