//! Part 18: many results as one.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, mpsc};
use std::thread;

use actors::{FetchRequest, FetchSettings, Fetched, Me, Next, NoPort, Node, Process, Reason};
use actors::{Peer, Received};
use callbacks::{Control, Deferred, FirstError, MemoryReactor, gather_results, get_poetry};
use futures::{StreamExt, TryStreamExt};
use solutions::{PlayedServer, has_ended, runtime};
use streams::FetchFailure;
use streams::joins::in_order;

/// All values, or the first failure; then the other members are cancelled. Cancelling one that has ended does nothing.
fn gather_or_cancel<T: 'static>(members: Vec<Deferred<T>>) -> Deferred<Vec<T>> {
    let controls: Vec<_> = members.iter().map(Deferred::control).collect();
    gather_results(members).add_errback(move |failure| {
        controls.iter().for_each(Control::cancel);
        Err(failure)
    })
}

#[test]
fn all_or_none() {
    let reactor = MemoryReactor::new();
    let fetch = |port: &str| get_poetry(&reactor, port.parse::<Peer>().unwrap());
    let all = gather_or_cancel(["10001", "10002", "10003"].map(fetch).into());
    let [ends, fails, hangs] = reactor.dialled().try_into().unwrap();
    for peer in [&ends, &fails, &hangs] {
        peer.accept();
    }
    ends.send(b"Ahoy");
    ends.finish();
    reactor.settle();
    assert!(!all.is_settled() && !hangs.is_closed());
    fails.fail(io::ErrorKind::ConnectionReset);
    reactor.settle();
    assert!(hangs.is_closed());
    let failure = all.take_result().unwrap().unwrap_err();
    assert_eq!(failure.trap::<FirstError>().unwrap().index, 1);
}

/// The first line of each poem. A stream of lines is dropped when its line has come, and its socket with it.
async fn titles(peers: Vec<Peer>) -> Vec<Result<Option<String>, FetchFailure>> {
    let titles = peers
        .into_iter()
        .map(|peer| async move { streams::lines(streams::poem(peer)).try_next().await });
    in_order(titles, 100).collect().await
}

#[test]
fn titles_in_order_and_no_more() {
    let servers = [(); 3].map(|()| PlayedServer::open().unwrap());
    let peers = servers.each_ref().map(|server| server.address().unwrap());
    let [first, refuses, last] = servers;
    drop(refuses);
    let serving = thread::spawn(move || {
        // The last one answers first, and neither ends its poem.
        [(last, "Stairs\nUp"), (first, "Lantern\nAll")].map(|(server, lines)| {
            let mut client = server.accept().unwrap();
            client.write_all(lines.as_bytes()).unwrap();
            client
        })
    });
    let titles = runtime()
        .unwrap()
        .block_on(titles(peers.map(Peer::from).into()));
    assert_eq!(titles[0], Ok(Some("Lantern".to_owned())));
    let failure = titles[1].as_ref().unwrap_err();
    assert!(matches!(failure, FetchFailure::ConnectionFailed { .. }));
    assert_eq!(titles[2], Ok(Some("Stairs".to_owned())));
    let mut connections = serving.join().unwrap();
    assert!(connections.iter_mut().all(has_ended));
}

/// Fetches from all peers, and reports the first poems.
struct Content {
    peers: Vec<Peer>,
    enough: usize,
    poems: Vec<(usize, String)>,
    reports: mpsc::Sender<Vec<(usize, String)>>,
}

impl Process for Content {
    type Message = Fetched;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        let settings = Arc::new(FetchSettings::default());
        for (task, peer) in self.peers.iter().enumerate() {
            me.fetch_with(task, FetchRequest::new(peer.clone()), &settings);
        }
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(Fetched { task, outcome, .. }) = received {
            self.poems
                .extend(outcome.poem.ok().map(|poem| (task, poem)));
        }
        if self.poems.len() < self.enough {
            return Next::Receive;
        }
        let _ = self.reports.send(mem::take(&mut self.poems));
        // The poets are linked to this process: those that have not ended close their sockets and exit too.
        Next::Exit(Reason::Normal)
    }
}

#[test]
fn two_of_three_are_enough() {
    let servers = [(); 3].map(|()| PlayedServer::open().unwrap());
    let peers = servers.each_ref().map(|server| server.address().unwrap());
    let (reports, reported) = mpsc::channel();
    let node = Node::start_one().unwrap();
    let content = Content {
        peers: peers.map(Peer::from).into(),
        enough: 2,
        poems: Vec::new(),
        reports,
    };
    node.spawn("content", content);
    let mut hangs = servers[1].accept().unwrap();
    servers[2].serve("Stairs").unwrap();
    servers[0].serve("Lantern").unwrap();
    let mut poems = reported.recv().unwrap();
    poems.sort_unstable();
    assert_eq!(poems, [(0, "Lantern".to_owned()), (2, "Stairs".to_owned())]);
    assert!(has_ended(&mut hangs));
    node.stop();
}
