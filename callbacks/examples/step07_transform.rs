//! Parts 10 and 13: a callback that returns a Deferred; the chain waits for it. A transform that fails leaves the poem.

mod common;

use callbacks::{Failure, Reactor, Task, get_poetry, transform_or_keep};
use poetry::Via;

fn main() -> Result<(), Failure> {
    let (poems, transforms) = (common::poem_server()?, common::transform_server()?);
    let reactor = Reactor::open()?;
    let (context, transforming) = (reactor.clone(), reactor.clone());
    let task = Task::quiet(&reactor);
    let via = Via {
        transform: "cummingsify".to_owned(),
        peer: transforms.address().into(),
    };
    let poem = get_poetry(&reactor, &poems.address().into(), &task)
        .add_callback(move |poem| transform_or_keep(&transforming, &via, poem, &task))
        .add_callback(|(poem, _)| {
            print!("{poem}");
            Ok(())
        })
        .add_both(move |_| Ok(context.stop()?));
    reactor.run()?;
    drop(poem);
    Ok(())
}
