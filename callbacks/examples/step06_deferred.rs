//! Parts 7 to 9: a Deferred is the promise that one of the two is called, once; and it can be returned.

mod common;

use callbacks::{Failure, Reactor, Task, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    let task = Task::quiet(&reactor);
    let poem = get_poetry(&reactor, &server.address().into(), &task)
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
