//! Part 2, without a reactor: the loop by hand. Wait until one of the sockets is readable, read what has arrived there,
//! repeat. One thread reads all poems at once, because it never waits for one of them.

mod common;

use std::collections::HashMap;
use std::io::{ErrorKind, Read};

use callbacks::Failure;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

struct PoetrySocket {
    task: usize,
    stream: TcpStream,
    poem: Vec<u8>,
}

impl PoetrySocket {
    // ANCHOR: do_read
    /// Reads until the socket is empty; returns whether the poem has ended, which is then printed.
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
    // ANCHOR_END: do_read
}

fn main() -> Result<(), Failure> {
    let servers = common::poem_servers()?;
    // ANCHOR: raw_loop
    let mut poll = Poll::new()?;
    let mut sockets = HashMap::new();
    for (task, address) in servers.addresses().into_iter().enumerate() {
        let mut socket = PoetrySocket {
            task,
            stream: TcpStream::connect(address)?,
            poem: Vec::new(),
        };
        poll.registry()
            .register(&mut socket.stream, Token(task), Interest::READABLE)?;
        sockets.insert(Token(task), socket);
    }
    let mut events = Events::with_capacity(8);
    while !sockets.is_empty() {
        poll.poll(&mut events, None)?;
        for event in &events {
            if let Some(socket) = sockets.get_mut(&event.token())
                && socket.do_read()
            {
                sockets.remove(&event.token()); // Closes it.
            }
        }
    }
    // ANCHOR_END: raw_loop
    Ok(())
}
