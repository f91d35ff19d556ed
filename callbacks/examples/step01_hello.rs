//! Part 3: the reactor runs; something is called back; the reactor is told to stop, for it would run for ever.

use callbacks::{Failure, Reactor};

fn main() -> Result<(), Failure> {
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    reactor.call_when_running(move || {
        println!("Hello from the reactor loop!");
        println!("Lately I feel like I'm stuck in a rut.");
        let _ = context.stop();
    });
    println!("Starting the reactor.");
    reactor.run()?;
    println!("Reactor stopped.");
    Ok(())
}
