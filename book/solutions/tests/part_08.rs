//! Part 8: the client with Deferreds.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use actors::{Fetched, Me, Next, NoPort, Node, Outcome, Process, Reason, Received};
use callbacks::{Deferred, Failure, FetchFailure, MemoryReactor, Peer, Poem, Reactor, Trigger};
use futures::future::{Either, select};
use futures::{StreamExt, TryStreamExt};
use solutions::{PlayedServer, runtime};

fn first_line(poem: &str) -> String {
    poem.lines().next().unwrap_or_default().to_owned()
}

/// Its caller cannot tell it from a fetch: it is one more function that returns a Deferred.
fn get_title(reactor: &Reactor, peer: Peer) -> Deferred<String> {
    callbacks::get_poetry(reactor, peer).add_callback(|poem| Ok(first_line(poem.as_str())))
}

/// Fetches a poem and sends its title on.
struct Librarian {
    peer: Peer,
    titles: mpsc::Sender<String>,
}

impl Process for Librarian {
    type Message = Fetched;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.fetch(self.peer.clone());
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(Fetched { outcome, .. }) = received
            && let Outcome { poem: Ok(poem), .. } = outcome
        {
            let _ = self.titles.send(first_line(&poem));
        }
        Next::Exit(Reason::Normal)
    }
}

#[test]
fn the_title_comes_back_in_each_model() {
    let server = PlayedServer::open().unwrap();
    let peer = Peer::from(server.address().unwrap());
    let serving = thread::spawn(move || (0..4).try_for_each(|_| server.serve("Ahoy\nthere\n")));

    let reactor = Reactor::open().unwrap();
    let (context, title) = (reactor.clone(), get_title(&reactor, peer.clone()));
    title.also(move |title| {
        context.stop()?;
        title
    });
    reactor.run().unwrap();
    assert_eq!(title.take_result().unwrap().unwrap(), "Ahoy");

    let node = Node::start_one().unwrap();
    let (titles, title) = mpsc::channel();
    let librarian = Librarian {
        peer: peer.clone(),
        titles,
    };
    node.spawn("librarian", librarian);
    assert_eq!(title.recv().unwrap(), "Ahoy");
    node.stop();

    // The one title that does not need the whole poem.
    let mut title = streams::lines(streams::poem(peer.clone())).take(1);
    let title = runtime().unwrap().block_on(title.try_next()).unwrap();
    assert_eq!(title.as_deref(), Some("Ahoy"));

    let poem = blocking::get_poetry(peer).unwrap();
    assert_eq!(first_line(poem.as_str()), "Ahoy");
    serving.join().unwrap().unwrap();
}

#[test]
fn letting_go_is_not_cancelling() {
    let reactor = MemoryReactor::new();
    let peer: Peer = "10001".parse().unwrap();
    let [cancelled, dropped] = [(); 2].map(|()| callbacks::get_poetry(&reactor, peer.clone()));
    let servers = reactor.dialled();
    servers.iter().for_each(|server| server.accept());
    reactor.settle();

    let arrived = Rc::new(Cell::new(false));
    let notes = Rc::clone(&arrived);
    drop(dropped.add_callback(move |_| {
        notes.set(true);
        Ok(())
    }));
    cancelled.cancel();
    reactor.settle();
    assert!(servers[0].is_closed() && !servers[1].is_closed());
    let failure = cancelled.take_result().unwrap().unwrap_err();
    assert_eq!(
        failure.downcast_ref::<FetchFailure>(),
        Some(&FetchFailure::Cancelled)
    );
    servers[1].finish();
    reactor.settle();
    assert!(arrived.get()); // The callback has run, although nobody held the Deferred.

    // A future is cancelled by dropping it.
    let server = PlayedServer::open().unwrap();
    let address = server.address().unwrap();
    let mut client = runtime().unwrap().block_on(async {
        let fetch = pin!(streams::get_poetry(address));
        let accepted = tokio::task::spawn_blocking(move || server.accept());
        let first = select(fetch, accepted).await;
        match first {
            Either::Left((poem, _)) => panic!("{poem:?} has arrived from a server that sends none"),
            Either::Right((client, _)) => client.unwrap().unwrap(),
        }
    });
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

type Text = Result<String, String>;

/// The fetches that have not ended.
struct Missing {
    results: RefCell<Vec<Option<Text>>>,
    trigger: Cell<Option<Trigger<Vec<Text>>>>,
}

impl Missing {
    fn end(&self, index: usize, result: Result<Poem, Failure>) {
        let text = result.map(String::from);
        let mut results = self.results.borrow_mut();
        results[index] = Some(text.map_err(|failure| failure.to_string()));
        if results.iter().all(Option::is_some) {
            let all = results.drain(..).flatten().collect();
            if let Some(trigger) = self.trigger.take() {
                trigger.callback(all);
            }
        }
    }
}

/// Fetches all poems at once, and fires when the last of them has ended.
fn get_all(reactor: &Reactor, peers: &[Peer]) -> Deferred<Vec<Text>> {
    if peers.is_empty() {
        return Deferred::succeed(Vec::new());
    }
    let (trigger, all) = Deferred::new();
    let missing = Rc::new(Missing {
        results: RefCell::new(vec![None; peers.len()]),
        trigger: Cell::new(Some(trigger)),
    });
    for (index, peer) in peers.iter().enumerate() {
        let missing = Rc::clone(&missing);
        let poem = callbacks::get_poetry(reactor, peer.clone());
        drop(poem.add_both(move |result| {
            missing.end(index, result);
            Ok(())
        }));
    }
    all
}

#[test]
fn results_come_in_the_order_of_the_peers() {
    let reactor = MemoryReactor::new();
    let peers = ["10001", "10002", "10003"].map(|peer| peer.parse::<Peer>().unwrap());
    let poems = get_all(&reactor, &peers);
    let servers = reactor.dialled();
    servers[1].fail(ErrorKind::ConnectionRefused);
    for last in [2, 0] {
        assert!(!poems.has_fired());
        servers[last].accept();
        servers[last].send(format!("poem {last}").as_bytes());
        servers[last].finish();
        reactor.settle();
    }
    let poems = poems.take_result().unwrap().unwrap();
    assert_eq!(poems[0].as_deref(), Ok("poem 0"));
    assert!(poems[1].as_ref().unwrap_err().contains("connection failed"));
    assert_eq!(poems[2].as_deref(), Ok("poem 2"));
}
