//! Part 4: a client by hand.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use callbacks::{Address, Factory, Protocol, Reactor, Transport};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use solutions::PlayedServer;

/// A poem that arrives, and when its last byte so far did.
struct Fetch {
    stream: TcpStream,
    poem: Vec<u8>,
    heard: Instant,
}

impl Fetch {
    fn begin(address: SocketAddr, number: usize, poll: &Poll) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        let registry = poll.registry();
        registry.register(&mut stream, Token(number), Interest::READABLE)?;
        Ok(Self {
            stream,
            poem: Vec::new(),
            heard: Instant::now(),
        })
    }

    /// Reads until the socket is empty. Returns the poem or the error if that was the end.
    fn do_read(&mut self) -> Option<io::Result<String>> {
        let mut buffer = [0; 1_024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    let poem = String::from_utf8(mem::take(&mut self.poem));
                    return Some(poem.map_err(io::Error::other));
                }
                Ok(count) => {
                    self.poem.extend_from_slice(&buffer[..count]);
                    self.heard = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Fetches all poems in this thread. A server that sends nothing for the time `idle` is given up.
fn fetch_all(
    addresses: &[SocketAddr],
    idle: Duration,
) -> io::Result<BTreeMap<usize, io::Result<String>>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(64);
    let (mut fetches, mut ended) = (HashMap::new(), BTreeMap::new());
    for (number, &address) in addresses.iter().enumerate() {
        match Fetch::begin(address, number, &poll) {
            Ok(fetch) => drop(fetches.insert(number, fetch)),
            Err(error) => drop(ended.insert(number, Err(error))),
        }
    }
    while let Some(heard) = fetches.values().map(|fetch: &Fetch| fetch.heard).min() {
        let left = (heard + idle).saturating_duration_since(Instant::now());
        match poll.poll(&mut events, Some(left)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            let Token(number) = event.token();
            if let Some(fetch) = fetches.get_mut(&number)
                && let Some(end) = fetch.do_read()
            {
                fetches.remove(&number); // Closes its socket, which leaves the poll with that.
                ended.insert(number, end);
            }
        }
        for (number, _) in fetches.extract_if(|_, fetch| fetch.heard.elapsed() >= idle) {
            ended.insert(number, Err(ErrorKind::TimedOut.into()));
        }
    }
    Ok(ended)
}

#[test]
fn one_loop_fetches_three_poems() {
    let servers = [(); 3].map(|()| PlayedServer::open().unwrap());
    let addresses = servers.each_ref().map(|server| server.address().unwrap());
    let fetching = thread::spawn(move || fetch_all(&addresses, Duration::from_secs(30)));
    let clients = servers.each_ref().map(|server| server.accept().unwrap());
    for (mut client, poem) in clients.into_iter().zip(["one", "two", "three"]).rev() {
        client.write_all(poem.as_bytes()).unwrap();
    }
    let poems = fetching.join().unwrap().unwrap();
    let poems: Vec<String> = poems.into_values().map(Result::unwrap).collect();
    assert_eq!(poems, ["one", "two", "three"]);
}

#[test]
fn a_refused_and_a_silent_server_cost_their_own_poems() {
    let silent = PlayedServer::open().unwrap(); // The kernel connects; nobody accepts.
    let [refusing, good] = [(); 2].map(|()| PlayedServer::open().unwrap());
    let addresses = [&silent, &refusing, &good].map(|server| server.address().unwrap());
    drop(refusing);
    let serving = thread::spawn(move || good.serve("Ahoy"));
    let ended = fetch_all(&addresses, Duration::from_millis(300)).unwrap();
    serving.join().unwrap().unwrap();
    let kind = |number: usize| ended[&number].as_ref().map_err(io::Error::kind);
    assert_eq!(kind(0), Err(ErrorKind::TimedOut));
    assert_eq!(kind(1), Err(ErrorKind::ConnectionRefused));
    assert_eq!(kind(2), Ok(&"Ahoy".to_owned()));
}

/// Waits in its callback, or in a thread, until another connection has its bytes.
struct Waits {
    other: Option<mpsc::Receiver<()>>,
    begins: mpsc::Sender<()>,
    came: mpsc::Sender<bool>,
    patience: Duration,
    in_a_thread: bool,
}

impl Protocol for Waits {
    fn data_received(&mut self, _: &Transport, _: &[u8]) {
        let Some(other) = self.other.take() else {
            return;
        };
        let (came, patience) = (self.came.clone(), self.patience);
        let wait = move || {
            let _ = came.send(other.recv_timeout(patience).is_ok());
        };
        let _ = self.begins.send(());
        match self.in_a_thread {
            true => drop(thread::spawn(wait)),
            false => wait(),
        }
    }
}

/// Tells that it has its bytes.
struct Tells(mpsc::Sender<()>);

impl Protocol for Tells {
    fn data_received(&mut self, transport: &Transport, _: &[u8]) {
        let _ = self.0.send(());
        let _ = transport.reactor().stop();
    }
}

struct Once(Cell<Option<Box<dyn Protocol>>>);

impl Factory for Once {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        self.0.take()
    }
}

/// Returns whether the first connection, which waits for the second to get its bytes, sees that.
fn came(patience: Duration, in_a_thread: bool) -> bool {
    let servers = [(); 2].map(|()| PlayedServer::open().unwrap());
    let addresses = servers.each_ref().map(|server| server.address().unwrap());
    let ((begins, begun), (tells, told)) = (mpsc::channel(), mpsc::channel());
    let (came, seen) = mpsc::channel();
    let playing = thread::spawn(move || {
        let [mut first, mut second] = servers.each_ref().map(|server| server.accept().unwrap());
        first.write_all(b"first").unwrap();
        begun.recv().unwrap();
        second.write_all(b"second").unwrap();
        (first, second)
    });
    let waits = Waits {
        other: Some(told),
        begins,
        came,
        patience,
        in_a_thread,
    };
    let reactor = Reactor::open().unwrap();
    let protocols: [Box<dyn Protocol>; 2] = [Box::new(waits), Box::new(Tells(tells))];
    for (address, protocol) in addresses.into_iter().zip(protocols) {
        let factory = Rc::new(Once(Cell::new(Some(protocol))));
        let _transport = reactor.connect_tcp(address, Duration::from_secs(30), factory);
    }
    reactor.run().unwrap();
    drop(playing.join().unwrap());
    seen.recv().unwrap()
}

#[test]
fn a_callback_that_waits_for_another_waits_in_vain() {
    assert!(!came(Duration::from_millis(200), false));
    assert!(came(Duration::from_secs(30), true));
}
