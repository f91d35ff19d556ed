//! Not in the tutorial: a server of poems by name, each in a netstring. Its owner may replace the poems while they are served.

mod common;

use std::net::TcpListener;

use callbacks::{
    Failure, FramedPoem, Library, LibraryService, Poem, PoemName, Reactor, get_poetry_named,
    serve_library,
};

fn main() -> Result<(), Failure> {
    common::no_arguments();
    let reactor = Reactor::open()?;
    let (lantern, moon): (PoemName, PoemName) = ("lantern".parse()?, "moon".parse()?);
    let only = |text: &str| [(lantern.clone(), FramedPoem::from(&Poem::from(text)))].into();
    let library = Library::new(only("AN OLD LANTERN"));
    let service = LibraryService {
        library: library.clone(),
        keep_alive: false,
    };
    let port = serve_library(&reactor, TcpListener::bind("127.0.0.1:0")?, service)?;
    library.replace(only("A NEW LANTERN"));

    let (context, fetching) = (reactor.clone(), reactor.clone());
    let _shown = get_poetry_named(&reactor, port.address(), &lantern)
        .add_callback(move |poem| {
            println!("{lantern}: {poem}");
            get_poetry_named(&fetching, port.address(), &moon)
        })
        .add_callbacks(
            |moon| {
                println!("moon: {moon}");
                Ok(())
            },
            |failure| {
                println!("moon: {failure}");
                Ok(())
            },
        )
        .add_both(move |_| Ok(context.stop()?));
    reactor.run()?;
    Ok(())
}
