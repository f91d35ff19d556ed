//! One loop over the events of mio, as in mio's example of a TCP server.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use poetry::limits::FRAME_BYTES_MAX;
use poetry::netstring::Decoder;
use poetry::{Pace, Poem, Service};

use crate::Cache;
use crate::reply::{Reply, keeps_alive};

const LISTENER: Token = Token(0);

pub(crate) fn serve(listener: std::net::TcpListener, service: Service) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        service,
        cache: Cache::default(),
        connections: HashMap::new(),
        chunks: BinaryHeap::new(),
        last: LISTENER,
        buffer: vec![0; 16 << 10],
    };
    let mut events = Events::with_capacity(1_024);
    loop {
        let due = server.chunks.peek();
        let timeout = due.map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        server.send_due_chunks();
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener, &poll)?,
                token => server.ready(token),
            }
        }
    }
}

struct Server {
    service: Service,
    cache: Cache,
    connections: HashMap<Token, Connection>,
    /// When each slow poem's next chunk is due, and its number.
    chunks: BinaryHeap<Reverse<(Instant, Token, usize)>>,
    last: Token,
    /// Every read goes into it.
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    task: Task,
    replies: VecDeque<Reply>,
    /// Bytes of the first reply that have been sent.
    sent: usize,
    /// Whether to close when all replies have been sent.
    closing: bool,
}

enum Task {
    /// Sends to a client that is not read from.
    Send,
    /// Answers a client's requests.
    Answer(Decoder),
    /// Receives a poem for the client.
    Fetch { poem: Vec<u8>, client: Token },
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let task = match self.service {
                Service::Poem(_) | Service::Proxy(_) => Task::Send,
                Service::Transform(_) | Service::Library(_) => {
                    Task::Answer(Decoder::new(FRAME_BYTES_MAX))
                }
            };
            let client = self.add(stream, task, poll)?;
            match &self.service {
                Service::Poem(service) if service.pace == Pace::Fast => {
                    let poem = service.poem.clone();
                    self.send_last(client, poem);
                }
                Service::Poem(_) => self.chunks.push(Reverse((Instant::now(), client, 0))),
                Service::Proxy(service) => match self.cache.get(service) {
                    Some(poem) => self.send_last(client, poem),
                    None => self.fetch(client, poll)?,
                },
                Service::Transform(_) | Service::Library(_) => {}
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream, task: Task, poll: &Poll) -> io::Result<Token> {
        self.last.0 += 1;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, self.last, both)?;
        let connection = Connection {
            stream,
            task,
            replies: VecDeque::new(),
            sent: 0,
            closing: false,
        };
        self.connections.insert(self.last, connection);
        Ok(self.last)
    }

    fn send_last(&mut self, token: Token, poem: Poem) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.replies.push_back(Reply::Poem(poem));
            connection.closing = true;
            self.ready(token);
        }
    }

    fn send_due_chunks(&mut self) {
        let Service::Poem(service) = self.service.clone() else {
            return;
        };
        let Pace::Slow { delay, .. } = service.pace else {
            return;
        };
        let poem = service.poem.as_bytes();
        while let Some(&Reverse((due, token, index))) = self.chunks.peek()
            && due <= Instant::now()
        {
            self.chunks.pop();
            let Some(connection) = self.connections.get_mut(&token) else {
                continue;
            };
            match service.pace.chunk(index, poem.len()) {
                Some(chunk) => {
                    let chunk = Reply::Bytes(poem[chunk].to_vec());
                    connection.replies.push_back(chunk);
                    self.chunks.push(Reverse((due + delay, token, index + 1)));
                }
                None => connection.closing = true,
            }
            self.ready(token);
        }
    }

    fn fetch(&mut self, client: Token, poll: &Poll) -> io::Result<()> {
        let Service::Proxy(service) = &self.service else {
            return Ok(());
        };
        let upstream = service.upstream.addresses().map_err(io::Error::other)?;
        let stream = TcpStream::connect(upstream[0])?;
        let poem = Vec::new();
        self.add(stream, Task::Fetch { poem, client }, poll)?;
        Ok(())
    }

    /// Reads, answers and writes as far as the socket of `token` allows.
    fn ready(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        match connection.advance(&self.service, &mut self.buffer) {
            Ok(false) => {}
            Ok(true) => self.end(token),
            Err(error) => {
                eprintln!("connection failed: {error}");
                if let Some(Connection {
                    task: Task::Fetch { client, .. },
                    ..
                }) = self.connections.remove(&token)
                {
                    self.connections.remove(&client);
                }
            }
        }
    }

    /// Closes a connection whose work is done.
    fn end(&mut self, token: Token) {
        let ended = self.connections.remove(&token);
        if let Some(Connection {
            task: Task::Fetch { poem, client },
            ..
        }) = ended
        {
            match Poem::from_utf8(&poem) {
                Ok(poem) => {
                    self.cache.store(&poem);
                    self.send_last(client, poem);
                }
                Err(error) => {
                    eprintln!("connection failed: {error}");
                    self.connections.remove(&client);
                }
            }
        }
    }
}

impl Connection {
    /// Returns whether the work is done.
    fn advance(&mut self, service: &Service, buffer: &mut [u8]) -> io::Result<bool> {
        self.read(service, buffer)?;
        self.write()?;
        Ok(self.closing && self.replies.is_empty())
    }

    fn read(&mut self, service: &Service, buffer: &mut [u8]) -> io::Result<()> {
        while !self.closing && !matches!(self.task, Task::Send) {
            let read = match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                read => read?,
            };
            self.closing = read == 0;
            match &mut self.task {
                Task::Send => {}
                Task::Fetch { poem, .. } => poem.extend_from_slice(&buffer[..read]),
                Task::Answer(decoder) => {
                    let mut frames = decoder.feed(&buffer[..read]);
                    while let Some(frame) = frames.next().map_err(io::Error::other)? {
                        self.replies.push_back(Reply::to(frame, service)?);
                        if !keeps_alive(service) {
                            self.closing = true;
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(reply) = self.replies.front() {
            let rest = &reply.as_ref()[self.sent..];
            match self.stream.write(rest) {
                Ok(written) if written == rest.len() => {
                    self.replies.pop_front();
                    self.sent = 0;
                }
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
