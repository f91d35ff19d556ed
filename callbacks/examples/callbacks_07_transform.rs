//! Part 13, client 6: a callback returns a Deferred, and the chain waits for it. A failed transform keeps the poem.

mod common;

use callbacks::{Failure, Reactor, Via, get_poetry, transform_or_keep};

fn main() -> Result<(), Failure> {
    let servers = common::poem_and_transform_servers()?;
    let via = Via {
        transform: "cummingsify".to_owned(),
        peer: servers.all[1].clone(),
    };
    let reactor = Reactor::open()?;
    let (context, transforming) = (reactor.clone(), reactor.clone());
    // ANCHOR: show_transformed
    let _shown = get_poetry(&reactor, servers.address())
        .add_callback(move |poem| transform_or_keep(&transforming, &via, poem))
        .add_callback(|(poem, _)| {
            print!("{poem}");
            Ok(())
        })
        .add_errback(|failure| {
            println!("Poem download failed: {failure}");
            Ok(())
        })
        .add_both(move |_| Ok(context.stop()?));
    // ANCHOR_END: show_transformed
    reactor.run()?;
    Ok(())
}
