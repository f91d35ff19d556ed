//! Part 4, client 1: the same in two halves. The reactor has the loop and knows nothing about poems; a reader knows nothing
//! about the loop and is called when its socket is readable. From the next step on the reactor is the crate's.

mod common;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};

use callbacks::Failure;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// What a reactor calls.
trait Reader {
    fn socket(&mut self) -> &mut TcpStream;
    /// Reads until the socket is empty; returns whether the reader is done, and so leaves the reactor.
    fn do_read(&mut self) -> bool;
}

struct Reactor {
    poll: Poll,
    readers: HashMap<Token, Box<dyn Reader>>,
}

impl Reactor {
    /// Adds a reader before the reactor runs.
    fn add_reader(&mut self, mut reader: Box<dyn Reader>) -> io::Result<()> {
        let token = Token(self.readers.len());
        self.poll
            .registry()
            .register(reader.socket(), token, Interest::READABLE)?;
        self.readers.insert(token, reader);
        Ok(())
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        while !self.readers.is_empty() {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                if let Some(reader) = self.readers.get_mut(&event.token())
                    && reader.do_read()
                {
                    self.readers.remove(&event.token());
                }
            }
        }
        Ok(())
    }
}

struct PoetrySocket {
    task: usize,
    stream: TcpStream,
    poem: Vec<u8>,
}

impl Reader for PoetrySocket {
    fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    fn do_read(&mut self) -> bool {
        let mut bytes = [0; 1_024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => break print!("{}", String::from_utf8_lossy(&self.poem)),
                Ok(count) => self.poem.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break println!("Task {}: {}", self.task, error.kind()),
            }
        }
        true
    }
}

fn main() -> Result<(), Failure> {
    let servers = common::poem_servers()?;
    let mut reactor = Reactor {
        poll: Poll::new()?,
        readers: HashMap::new(),
    };
    for (task, address) in servers.addresses().into_iter().enumerate() {
        let socket = PoetrySocket {
            task,
            stream: TcpStream::connect(address)?,
            poem: Vec::new(),
        };
        reactor.add_reader(Box::new(socket))?;
    }
    reactor.run()?;
    Ok(())
}
