//! Clients that have something in flight at a server (S21), until the case lets it finish.

use std::time::Duration;

use super::{Content, Daemon, FaultContext, FaultRole, Launch};
use crate::connection::{Connection, End};
use crate::failure::Check;
use crate::fake_servers::Listener;
use crate::wire::text;

/// How long a poem server takes for the poem that is under way.
pub const POEM_TIME: Duration = Duration::from_secs(2);

/// Clients whose poem is under way, whose request is partly read, or that wait for a proxy's fetch.
pub struct InFlight {
    clients: Vec<Connection>,
    rest: Vec<u8>,
    expected: Vec<u8>,
    upstream: Option<Upstream>,
}

/// The server from which a proxy fetches, played by the case.
struct Upstream {
    /// Open, so that a further fetch would not be refused.
    _listener: Listener,
    connection: Connection,
    poem: String,
}

impl InFlight {
    /// Starts a server, and `count` clients with something in flight.
    ///
    /// # Errors
    /// The server does not start, or does not read what the clients send.
    pub fn start(
        context: &FaultContext,
        count: usize,
        prepare: impl FnOnce(Launch) -> Launch,
    ) -> Check<(Daemon, Self)> {
        match context.role() {
            FaultRole::PoemServer => Self::mid_poem(context, count, prepare),
            FaultRole::Proxy => Self::waiting(context, count, prepare),
            _ => Self::mid_request(context, count, prepare),
        }
    }

    fn mid_poem(
        context: &FaultContext,
        count: usize,
        prepare: impl FnOnce(Launch) -> Launch,
    ) -> Check<(Daemon, Self)> {
        const PIECES: usize = 10;
        let poem = text(600);
        let delay = POEM_TIME / PIECES as u32;
        let content = Content::Slow(poem.clone(), poem.len() / PIECES, delay);
        let server = prepare(context.server(content)).start()?;
        let mut clients = connect(&server, count)?;
        for client in &mut clients {
            client.receive(1)?;
        }
        let in_flight = Self {
            clients,
            rest: Vec::new(),
            expected: poem.as_bytes()[1..].to_vec(),
            upstream: None,
        };
        Ok((server, in_flight))
    }

    fn mid_request(
        context: &FaultContext,
        count: usize,
        prepare: impl FnOnce(Launch) -> Launch,
    ) -> Check<(Daemon, Self)> {
        const PART: usize = 4;
        let server = prepare(context.server(Content::Quick)).start()?;
        let mut clients = connect(&server, count)?;
        let question = server.question();
        let (part, rest) = question.split_at(PART);
        for client in &mut clients {
            client.send(part)?;
        }
        server.wait_until("the parts of requests read", |counts| {
            counts.bytes_in >= (PART * count) as u64
        })?;
        let in_flight = Self {
            clients,
            rest: rest.to_vec(),
            expected: server.answer(),
            upstream: None,
        };
        Ok((server, in_flight))
    }

    fn waiting(
        context: &FaultContext,
        count: usize,
        prepare: impl FnOnce(Launch) -> Launch,
    ) -> Check<(Daemon, Self)> {
        let listener = Listener::new()?;
        let launch = context.server(Content::Quick).upstream(listener.address());
        let server = prepare(launch).start()?;
        let clients = connect(&server, count)?;
        server.wait_until("the waiting clients accepted", |counts| {
            counts.open >= count as u64
        })?;
        let upstream = Upstream {
            connection: listener.accept()?,
            _listener: listener,
            poem: server.poem().to_owned(),
        };
        let in_flight = Self {
            clients,
            rest: Vec::new(),
            expected: server.answer(),
            upstream: Some(upstream),
        };
        Ok((server, in_flight))
    }

    /// Returns the clients.
    pub fn clients(&mut self) -> &mut [Connection] {
        &mut self.clients
    }

    /// Finishes what is in flight, and expects that each client gets all of its answer and FIN.
    ///
    /// # Errors
    /// One does not.
    pub fn finish(mut self) -> Check {
        if let Some(upstream) = &mut self.upstream {
            upstream.connection.send(upstream.poem.as_bytes())?;
            upstream.connection.half_close()?;
        }
        for client in &mut self.clients {
            client.send(&self.rest)?;
        }
        for client in &mut self.clients {
            client.expect_last("what was in flight", &self.expected)?;
        }
        Ok(())
    }

    /// Waits until the server ends every connection; returns how.
    ///
    /// # Errors
    /// It does not.
    pub fn ends(mut self) -> Check<Vec<End>> {
        super::clients::ends(&mut self.clients)
    }
}

fn connect(server: &Daemon, count: usize) -> Check<Vec<Connection>> {
    (0..count).map(|_| server.connect()).collect()
}
