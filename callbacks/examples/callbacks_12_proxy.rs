//! Parts 14 and 19: a proxy gives each client that waits a Deferred of its own, and one that has already fired to a client
//! that comes later. A client that is cancelled leaves; the others get the poem of the one fetch.

mod common;

use std::net::TcpListener;

use callbacks::{DeferredList, Failure, ProxyService, Reactor, get_poetry, serve_proxy};

fn main() -> Result<(), Failure> {
    let upstream = common::poem_server()?;
    let reactor = Reactor::open()?;
    let service = ProxyService {
        upstream: upstream.all[0].clone(),
        ttl: None,
    };
    let proxy = serve_proxy(&reactor, TcpListener::bind("127.0.0.1:0")?, service)?;

    let poems: Vec<_> = (0..3)
        .map(|_| get_poetry(&reactor, proxy.address()))
        .collect();
    poems[1].cancel();
    let (context, fetching) = (reactor.clone(), reactor.clone());
    let _shown = DeferredList::new(poems)
        .all()
        .add_callback(move |poems| {
            for (client, poem) in poems.into_iter().enumerate() {
                match poem {
                    Ok(poem) => println!("Client {client}: {} bytes", poem.as_bytes().len()),
                    Err(failure) => println!("Client {client}: {failure}"),
                }
            }
            get_poetry(&fetching, proxy.address())
        })
        .add_callback(|poem| {
            print!("From the cache:\n{poem}");
            Ok(())
        })
        .add_both(move |_| Ok(context.stop()?));
    reactor.run()?;
    Ok(())
}
