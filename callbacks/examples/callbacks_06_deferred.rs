//! Parts 7 to 9: a Deferred promises that one of the two functions is called, once; and a function can return it. From here
//! on the steps use the crate's own `get_poetry`.

mod common;

use callbacks::{Failure, Reactor, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let context = reactor.clone();
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
    reactor.run()?;
    Ok(())
}
