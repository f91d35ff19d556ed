//! Part 18, client 8: many Deferreds as one. The results come in the order of the members; each is a poem or a failure.

mod common;

use callbacks::{DeferredList, Failure, Reactor, get_poetry};

fn main() -> Result<(), Failure> {
    let servers = common::poem_servers()?;
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    let poems = servers
        .all
        .iter()
        .map(|peer| get_poetry(&reactor, peer.clone()))
        .collect();
    // ANCHOR: count_poems
    let _all = DeferredList::new(poems).all().add_callback(move |results| {
        for (task, result) in results.iter().enumerate() {
            match result {
                Ok(poem) => println!("Task {task}: {} bytes", poem.as_bytes().len()),
                Err(_) => println!("Task {task}: failed"),
            }
        }
        Ok(context.stop()?)
    });
    // ANCHOR_END: count_poems
    reactor.run()?;
    Ok(())
}
