//! Part 17, client 7: the program of the step before as a coroutine, with each wait where it is read.

mod common;

use callbacks::{Failure, Peer, Reactor, Via, coroutine, get_poetry, transform_or_keep};

// ANCHOR: show_in_order
async fn show(reactor: &Reactor, peer: Peer, via: &Via) -> Result<(), Failure> {
    let poem = get_poetry(reactor, peer).await?;
    let (poem, _) = transform_or_keep(reactor, via, poem).await?;
    print!("{poem}");
    Ok(())
}
// ANCHOR_END: show_in_order

fn main() -> Result<(), Failure> {
    let servers = common::poem_and_transform_servers()?;
    let peer = servers.all[0].clone();
    let via = Via {
        transform: "cummingsify".to_owned(),
        peer: servers.all[1].clone(),
    };
    let reactor = Reactor::open()?;
    let context = reactor.clone();
    let _shown = coroutine(async move {
        if let Err(failure) = show(&context, peer, &via).await {
            println!("Poem download failed: {failure}");
        }
        Ok(context.stop()?)
    });
    reactor.run()?;
    Ok(())
}
