//! The generator's event loop: opens connections, dispatches events, and follows the timeline.

use std::io;
use std::time::Instant;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, ConnectionError, Shared, Status};
use super::source::Source;
use super::timeline::Timeline;
use super::{Extent, LoadError, Mark, Plan, Report};

/// Events taken from the kernel per poll.
const EVENTS: usize = 1024;
/// The most connections without a first reply at a time: fewer than fit a server's backlog.
const UNANSWERED_MAX: usize = 1024;

pub(super) struct Engine<'p> {
    plan: &'p Plan,
    poll: Poll,
    source: Source,
    shared: Shared,
    /// A slot is empty before its first connection and after its last.
    slots: Vec<Option<Connection>>,
    /// Slots that have had a connection, or a failed connect.
    begun: usize,
    open: usize,
    connect_errors: u64,
    last_connect_error: Option<io::Error>,
}

impl<'p> Engine<'p> {
    pub(super) fn new(plan: &'p Plan) -> Result<Self, LoadError> {
        let left = match plan.extent {
            Extent::For { .. } => u64::MAX,
            Extent::Requests(requests) => requests,
        };
        Ok(Self {
            poll: Poll::new()?,
            source: Source::new(plan.address, !plan.keep_alive),
            shared: Shared::new(plan, left),
            slots: std::iter::repeat_with(|| None)
                .take(plan.connections)
                .collect(),
            begun: 0,
            open: 0,
            connect_errors: 0,
            last_connect_error: None,
            plan,
        })
    }

    pub(super) fn run(mut self, mark: &mut dyn FnMut(Mark)) -> Result<Report, LoadError> {
        let mut timeline = Timeline::new(self.plan);
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.open_more()?;
            let now = Instant::now();
            timeline.advance(now, &self.shared.ledger, self.all_begun(), mark);
            if timeline.is_over() {
                self.shared.left = 0;
            }
            if self.open == 0 {
                break;
            }
            let wait = timeline.wait(now, self.open)?;
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            for event in &events {
                self.handle(event)?;
            }
        }
        if self.shared.left > 0 {
            let cause = self.last_connect_error;
            return Err(LoadError::NoConnection(
                cause.unwrap_or_else(|| io::ErrorKind::NotConnected.into()),
            ));
        }
        Ok(Report {
            connect_errors: self.connect_errors,
            ..timeline.report(self.shared.ledger, mark)
        })
    }

    fn all_begun(&self) -> bool {
        self.begun == self.slots.len() || self.shared.left == 0
    }

    /// Opens the remaining connections, a bounded number at a time.
    fn open_more(&mut self) -> Result<(), LoadError> {
        while !self.all_begun() && self.shared.unanswered < UNANSWERED_MAX {
            let slot = self.begun;
            self.begun += 1;
            self.open(slot)?;
        }
        Ok(())
    }

    /// Opens a connection in an empty `slot`, which stays empty if that fails.
    fn open(&mut self, slot: usize) -> Result<(), LoadError> {
        let mut stream = match self.source.connect() {
            Ok(stream) => stream,
            Err(error) => {
                self.count_error(error);
                return Ok(());
            }
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(slot), interest)?;
        let mut connection = Connection::new(stream, self.plan.depth, &mut self.shared);
        self.open += 1;
        // Over loopback the connection is made by now; elsewhere the event sends.
        let sent = connection.send(&mut self.shared);
        self.slots[slot] = Some(connection);
        self.settle(slot, sent.map(|()| Status::Open))
    }

    #[inline]
    fn handle(&mut self, event: &Event) -> Result<(), LoadError> {
        let slot = event.token().0;
        let Some(connection) = self.slots[slot].as_mut() else {
            return Ok(());
        };
        let status = connection
            .send(&mut self.shared)
            .and_then(|()| connection.receive(event.is_read_closed(), &mut self.shared));
        match status {
            Ok(Status::Open) => Ok(()),
            status => self.settle(slot, status),
        }
    }

    /// Replaces a connection that has ended by a new one.
    fn settle(
        &mut self,
        slot: usize,
        status: Result<Status, ConnectionError>,
    ) -> Result<(), LoadError> {
        let ended = match status {
            Ok(Status::Open) => return Ok(()),
            Ok(Status::Ended) => true,
            Err(ConnectionError::NotMade(error)) => {
                self.shared.unanswered -= 1;
                self.count_error(error);
                false
            }
            Err(ConnectionError::Void(error)) => return Err(error),
        };
        self.slots[slot] = None;
        self.open -= 1;
        match ended && self.shared.left > 0 {
            true => self.open(slot),
            false => Ok(()),
        }
    }

    #[cold]
    fn count_error(&mut self, error: io::Error) {
        self.connect_errors += 1;
        self.last_connect_error = Some(error);
    }
}
