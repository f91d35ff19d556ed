//! Part 18: many at once, as one Deferred. Each result says for itself how it ended, in the order of the members.

mod common;

use callbacks::{DeferredList, Failure, Reactor, Task, get_poetry};

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    let poems = [server.address(), common::nobody()?, server.address()]
        .into_iter()
        .map(|address| get_poetry(&reactor, &address.into(), &Task::quiet(&reactor)))
        .collect();
    let all = DeferredList::new(poems).all().add_callback(move |results| {
        for (task, result) in results.iter().enumerate() {
            match result {
                Ok(poem) => println!("Task {task}: {} bytes", poem.len()),
                Err(_) => println!("Task {task}: failed"),
            }
        }
        Ok(context.stop()?)
    });
    reactor.run()?;
    drop(all);
    Ok(())
}
