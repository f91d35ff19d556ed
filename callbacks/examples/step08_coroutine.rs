//! Part 17: the same program as the step before, as a coroutine: the waits are where they are read.

mod common;

use callbacks::{Failure, Reactor, Task, coroutine, get_poetry, transform_or_keep};
use poetry::Via;

fn main() -> Result<(), Failure> {
    let (poems, transforms) = (common::poem_server()?, common::transform_server()?);
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    let task = Task::quiet(&reactor);
    let via = Via {
        transform: "cummingsify".to_owned(),
        peer: transforms.address().into(),
    };
    let peer = poems.address().into();
    let poem = coroutine(async move {
        let poem = get_poetry(&context, &peer, &task).await?;
        let (poem, _) = transform_or_keep(&context, &via, poem, &task).await?;
        print!("{poem}");
        Ok(context.stop()?)
    });
    reactor.run()?;
    drop(poem);
    Ok(())
}
