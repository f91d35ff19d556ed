//! Parts 7 to 9: a Deferred is the promise that one of the two is called, once; and it can be returned.

mod common;

use callbacks::{Errand, Failure, Reactor, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    let errand = Errand::quiet(&reactor);
    let poem = get_poetry(&reactor, &server.address().into(), &errand)
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
    drop(poem);
    Ok(())
}
