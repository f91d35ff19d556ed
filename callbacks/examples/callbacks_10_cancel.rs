//! Part 19: cancelling the Deferred of a fetch closes its socket at once. A timeout cancels too, but fails with `TimedOut`.

mod common;

use std::time::Duration;

use callbacks::{Deferred, Failure, Reactor, TimedOut, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let poem = get_poetry(&reactor, server.address());
    poem.cancel();
    let _cancelled = poem
        .add_callback(|poem| {
            print!("{poem}");
            Ok(())
        })
        .add_errback(|failure| {
            println!("The poem: {failure}");
            Ok(())
        });

    let (_trigger, never) = Deferred::<()>::with_canceller(|| {
        println!("The canceller is called.");
        None
    });
    let context = reactor.clone();
    let _late = never
        .timeout(Duration::from_millis(10), reactor.clock())
        .add_errback(move |failure| {
            let kind = if failure.is::<TimedOut>() {
                "timeout"
            } else {
                "cancel"
            };
            println!("The other: {failure} ({kind})");
            Ok(context.stop()?)
        });
    reactor.run()?;
    Ok(())
}
