//! What the steps share: their arguments, and the servers that a step starts when it is given no addresses.
#![allow(dead_code)] // Each step uses a part of it.

use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::Arc;

use callbacks::{Callbacks, Deferred, Pace, Peer, Poem, PoemService, Reactor, TransformService};
use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, Server, Service};

/// The poem of the servers that a step starts.
pub(crate) const POEM: &str = "THIS IS JUST A POEM\nOF TWO LINES\n";

/// The peers of a step, and the servers among them that it has started, which run until this is dropped.
pub(crate) struct Peers {
    pub(crate) all: Vec<Peer>,
    _servers: Vec<Box<dyn Server>>,
}

impl Peers {
    /// Returns the first peer's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let first = |peer: &Peer| peer.addresses().ok()?.first().copied();
        self.all.iter().filter_map(first).collect()
    }
}

/// Returns the poem server named on the command line, or starts one.
pub(crate) fn poem_server() -> io::Result<Peers> {
    let named = arguments("[[HOST:]PORT]", |count| count == 1);
    if named.is_empty() {
        start(vec![poem_service()])
    } else {
        Ok(only(named))
    }
}

/// Returns the poem server and the transform server named on the command line, or starts both.
pub(crate) fn poem_and_transform_servers() -> io::Result<Peers> {
    let named = arguments("[POEM-PORT TRANSFORM-PORT]", |count| count == 2);
    if named.is_empty() {
        let transforms = Service::Transform(TransformService::default());
        start(vec![poem_service(), transforms])
    } else {
        Ok(only(named))
    }
}

/// Returns the poem servers named on the command line; or starts two, with an address that refuses connections between
/// them.
pub(crate) fn poem_servers() -> io::Result<Peers> {
    let named = arguments("[[HOST:]PORT]...", |_| true);
    if named.is_empty() {
        let mut peers = start(vec![poem_service(), poem_service()])?;
        peers.all.insert(1, refusing_address()?.into());
        Ok(peers)
    } else {
        Ok(only(named))
    }
}

/// Returns the listener of a step that serves, and whether the step is to ask itself and end: without an argument it is.
pub(crate) fn listener() -> io::Result<(TcpListener, bool)> {
    let mut arguments = env::args();
    let program = arguments.next().unwrap_or_default();
    let texts: Vec<String> = arguments.collect();
    let port = match &texts[..] {
        [] => Some(0),
        [port] => port.parse().ok(),
        _ => None,
    };
    let Some(port) = port else {
        eprintln!(
            "error: not a port: {}\nusage: {program} [PORT]",
            texts.join(" ")
        );
        process::exit(2)
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("Serving on {}", listener.local_addr()?);
    Ok((listener, texts.is_empty()))
}

/// Prints the poem, or why there is none, and stops the reactor.
pub(crate) fn show_and_stop(reactor: &Reactor, poem: Deferred<Poem>) {
    let context = reactor.clone();
    let _shown = poem.add_both(move |poem| {
        match poem {
            Ok(poem) => print!("{poem}"),
            Err(failure) => println!("No poem: {failure}"),
        }
        Ok(context.stop()?)
    });
}

/// Ends the program if it was given arguments.
pub(crate) fn no_arguments() {
    arguments("", |_| false);
}

/// Parses the arguments as peers. Ends the program with status 2 if one is not an address or their number is wrong.
fn arguments(usage: &str, is_right: fn(usize) -> bool) -> Vec<Peer> {
    let mut arguments = env::args();
    let program = arguments.next().unwrap_or_default();
    let refuse = |problem: String| -> ! {
        eprintln!("error: {problem}\nusage: {program} {usage}");
        process::exit(2)
    };
    let texts: Vec<String> = arguments.collect();
    if !texts.is_empty() && !is_right(texts.len()) {
        refuse(format!("unexpected arguments: {}", texts.join(" ")));
    }
    texts
        .iter()
        .map(|text| match text.parse() {
            Ok(peer) => peer,
            Err(problem) => refuse(format!("'{text}': {problem}")),
        })
        .collect()
}

fn only(all: Vec<Peer>) -> Peers {
    Peers {
        all,
        _servers: Vec::new(),
    }
}

fn poem_service() -> Service {
    Service::Poem(PoemService {
        poem: Poem::from(POEM),
        pace: Pace::Fast,
    })
}

/// Starts a server for each service, in threads of their own.
fn start(services: Vec<Service>) -> io::Result<Peers> {
    let mut servers = Vec::new();
    for service in services {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let options = Options::new(Clock::stopped());
        servers.push(Callbacks.serve(listener, service, &options, Arc::new(Unobserved))?);
    }
    Ok(Peers {
        all: servers
            .iter()
            .map(|server| server.address().into())
            .collect(),
        _servers: servers,
    })
}

/// An address where no server listens.
fn refusing_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
