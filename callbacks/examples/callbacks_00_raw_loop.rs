//! Parts 2 and 4, without a reactor: the loop by hand. Wait until a socket is readable, read what has arrived, repeat. In
//! the next steps the reactor owns this loop, and the program keeps only what happens inside it.

mod common;

use std::io::{ErrorKind, Read};

use callbacks::Failure;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

struct PoetrySocket {
    stream: TcpStream,
    poem: Vec<u8>,
}

impl PoetrySocket {
    /// Reads until the socket is empty; returns whether the poem is complete.
    fn do_read(&mut self) -> std::io::Result<bool> {
        let mut bytes = [0; 1_024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(true),
                Ok(count) => self.poem.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let server = common::poem_server()?;
    let mut poll = Poll::new()?;
    let mut socket = PoetrySocket {
        stream: TcpStream::connect(server.address())?,
        poem: Vec::new(),
    };
    poll.registry()
        .register(&mut socket.stream, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(8);
    let mut complete = false;
    while !complete {
        poll.poll(&mut events, None)?;
        for _event in &events {
            complete = socket.do_read()?;
        }
    }
    print!("{}", String::from_utf8_lossy(&socket.poem));
    Ok(())
}
