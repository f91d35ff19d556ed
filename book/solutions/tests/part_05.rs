//! Part 5: protocols and factories.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use callbacks::{Address, Factory, Lost, MemoryReactor, Protocol, Reactor, Transport};
use futures::{StreamExt, TryStreamExt};
use solutions::PlayedServer;
use streams::FetchFailure;
use tokio::io::AsyncRead;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Takes the first line of a poem, and hangs up.
struct TitleProtocol {
    line: Vec<u8>,
    titles: Rc<RefCell<Vec<String>>>,
}

impl Protocol for TitleProtocol {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.line.extend_from_slice(data);
        if let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let title = String::from_utf8_lossy(&self.line[..end]).into_owned();
            self.titles.borrow_mut().push(title);
            transport.lose_connection();
        }
    }
}

struct TitleFactory {
    titles: Rc<RefCell<Vec<String>>>,
}

impl Factory for TitleFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(TitleProtocol {
            line: Vec::new(),
            titles: Rc::clone(&self.titles),
        }))
    }
}

#[test]
fn a_protocol_needs_no_socket() {
    let titles = Rc::new(RefCell::new(Vec::new()));
    let factory = TitleFactory {
        titles: Rc::clone(&titles),
    };
    let reactor = MemoryReactor::new();
    let address = ([127, 0, 0, 1], 10_001).into();
    let _transport = reactor.connect_tcp(address, TIMEOUT, Rc::new(factory));
    let server = reactor.dialled().remove(0);
    server.accept();
    server.send(b"LAN");
    reactor.settle();
    assert!(titles.borrow().is_empty() && !server.is_closed());

    server.send(b"TERN\n\nAll autumn");
    reactor.settle();
    assert_eq!(*titles.borrow(), ["LANTERN"]);
    assert!(server.is_closed());
}

/// What the protocols of one factory share.
struct Tally {
    left: Cell<usize>,
    poems: RefCell<Vec<String>>,
    failures: Cell<usize>,
    reactor: Reactor,
}

impl Tally {
    /// One poem less is under way. The last one stops the reactor.
    fn one_less(&self) {
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            let _ = self.reactor.stop();
        }
    }
}

struct PoemProtocol {
    poem: Vec<u8>,
    is_complete: bool,
    tally: Rc<Tally>,
}

impl Protocol for PoemProtocol {
    fn data_received(&mut self, _: &Transport, data: &[u8]) {
        self.poem.extend_from_slice(data);
    }

    fn read_connection_lost(&mut self, transport: &Transport) {
        self.is_complete = true;
        transport.lose_connection();
    }

    fn connection_lost(&mut self, _: &Transport, _: Lost) {
        let tally = &self.tally;
        match self.is_complete {
            true => {
                let poem = String::from_utf8_lossy(&self.poem);
                tally.poems.borrow_mut().push(poem.into_owned());
            }
            false => tally.failures.set(tally.failures.get() + 1),
        }
        tally.one_less();
    }
}

struct PoemFactory(Rc<Tally>);

impl Factory for PoemFactory {
    fn build_protocol(&self, _: &Address) -> Option<Box<dyn Protocol>> {
        Some(Box::new(PoemProtocol {
            poem: Vec::new(),
            is_complete: false,
            tally: Rc::clone(&self.0),
        }))
    }

    fn connection_failed(&self, _: SocketAddr, _: io::Error) {
        self.0.failures.set(self.0.failures.get() + 1);
        self.0.one_less();
    }
}

#[test]
fn the_factory_knows_when_the_last_poem_has_ended() {
    let servers = [(); 3].map(|()| PlayedServer::open().unwrap());
    let addresses = servers.each_ref().map(|server| server.address().unwrap());
    let [refuses, one, other] = servers;
    drop(refuses);
    let serving = thread::spawn(move || [one, other].map(|server| server.serve("Ahoy").unwrap()));

    let reactor = Reactor::open().unwrap();
    let tally = Rc::new(Tally {
        left: Cell::new(addresses.len()),
        poems: RefCell::default(),
        failures: Cell::new(0),
        reactor: reactor.clone(),
    });
    let factory = Rc::new(PoemFactory(Rc::clone(&tally)));
    for address in addresses {
        let _transport = reactor.connect_tcp(address, TIMEOUT, Rc::clone(&factory) as _);
    }
    reactor.run().unwrap(); // Until the last has ended, whichever that is.
    serving.join().unwrap();
    assert_eq!(*tally.poems.borrow(), ["Ahoy", "Ahoy"]);
    assert_eq!(tally.failures.get(), 1);
}

/// The first line of whatever can be read.
fn title(source: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(source).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// The first line of whatever can be read without blocking.
async fn lazy_title(source: impl AsyncRead + Unpin) -> Option<Result<String, FetchFailure>> {
    let chunks = streams::chunks::chunks(source);
    let chunks = chunks.map_err(|error| FetchFailure::connection_lost(&error));
    streams::lines(chunks).next().await
}

#[test]
fn a_function_needs_no_socket_either() {
    const POEM: &str = "LANTERN\n\nAll autumn";
    assert_eq!(title(POEM.as_bytes()).unwrap(), "LANTERN");
    let line = futures::executor::block_on(lazy_title(POEM.as_bytes()));
    assert_eq!(line, Some(Ok("LANTERN".to_owned())));

    let server = PlayedServer::open().unwrap();
    let socket = TcpStream::connect(server.address().unwrap()).unwrap();
    server.serve(POEM).unwrap();
    assert_eq!(title(socket).unwrap(), "LANTERN");
}
