//! Part 10, client 5.1: an errback in the middle of the chain. It takes one kind of failure and returns a poem, with which
//! the chain goes on to its callbacks. Failures of other kinds pass it: a server that is down is still reported at the end.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use callbacks::{Failure, Poem, Reactor, get_poetry};

#[derive(Debug, thiserror::Error)]
#[error("the engine made gibberish of it")]
struct Gibberish(Poem);

/// Transforms a poem, but makes gibberish of every second one.
#[derive(Default)]
struct Engine {
    uses: Cell<usize>,
}

impl Engine {
    fn cummingsify(&self, poem: Poem) -> Result<Poem, Gibberish> {
        let uses = self.uses.replace(self.uses.get() + 1);
        match uses % 2 {
            0 => Ok(poem.as_str().to_lowercase().into()),
            _ => Err(Gibberish(poem)),
        }
    }
}

fn main() -> Result<(), Failure> {
    let servers = common::poem_servers()?;
    let reactor = Reactor::open()?;
    let engine = Rc::new(Engine::default());
    let missing = Rc::new(Cell::new(servers.all.len()));
    for peer in servers.all.iter().cloned() {
        let (context, engine, missing) = (reactor.clone(), Rc::clone(&engine), Rc::clone(&missing));
        let _shown = get_poetry(&reactor, peer)
            .add_callback(move |poem| Ok(engine.cummingsify(poem)?))
            .add_errback(|failure| {
                let Gibberish(original) = failure.trap()?;
                Ok(original)
            })
            .add_callbacks(
                |poem| {
                    print!("{poem}");
                    Ok(())
                },
                |failure| {
                    println!("No poem: {failure}");
                    Ok(())
                },
            )
            .add_both(move |_| {
                missing.set(missing.get() - 1);
                if missing.get() == 0 {
                    context.stop()?;
                }
                Ok(())
            });
    }
    reactor.run()?;
    Ok(())
}
