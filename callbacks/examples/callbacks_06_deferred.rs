//! Parts 7 and 8: the same with the crate's own `get_poetry`, which the steps use from here on. The two functions are added
//! to the Deferred that it returns.

mod common;

use callbacks::{Failure, Reactor, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    // ANCHOR: show_poem
    let _shown = get_poetry(&reactor, server.address())
        .add_callbacks(
            |poem| {
                print!("{poem}");
                Ok(())
            },
            |failure| {
                println!("Poem download failed: {failure}");
                Ok(())
            },
        )
        .add_both(move |_| Ok(context.stop()?));
    // ANCHOR_END: show_poem
    reactor.run()?;
    Ok(())
}
