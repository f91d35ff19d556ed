//! Part 3: a call that schedules itself again. Between its calls the loop serves others.

mod common;

use std::time::Duration;

use callbacks::{Failure, Reactor};

// ANCHOR: countdown
fn count(reactor: Reactor, left: u32) {
    if left == 0 {
        let _ = reactor.stop();
        return;
    }
    println!("{left} ...");
    let next = reactor.clone();
    reactor.call_later(Duration::from_millis(10), move || count(next, left - 1));
}
// ANCHOR_END: countdown

fn main() -> Result<(), Failure> {
    common::no_arguments();
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    reactor.call_when_running(move || count(context, 5));
    println!("Start!");
    reactor.run()?;
    println!("Stop!");
    Ok(())
}
