//! Part 19: whoever does not want the poem any more cancels it; the socket closes at once. A timeout is a cancel, too.

mod common;

use std::time::Duration;

use callbacks::{Cancelled, Deferred, Failure, Reactor, Task, TimedOut, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let poem = get_poetry(&reactor, &server.address().into(), &Task::quiet(&reactor));
    poem.cancel();
    let cancelled = poem.add_errback(|failure| {
        println!("The poem: {failure}");
        Ok(String::new())
    });

    let (_trigger, never) = Deferred::<()>::with_canceller(|| {
        println!("The canceller was asked.");
        None
    });
    let context = reactor.clone();
    let late = never
        .timeout(Duration::from_millis(10), reactor.clock())
        .add_errback(move |failure| {
            println!(
                "The other: {failure} ({})",
                if failure.is::<TimedOut>() {
                    "timeout"
                } else {
                    "other"
                }
            );
            assert!(!failure.is::<Cancelled>());
            Ok(context.stop()?)
        });
    reactor.run()?;
    drop((cancelled, late));
    Ok(())
}
