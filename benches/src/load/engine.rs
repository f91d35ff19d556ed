//! The generator's loop: opens connections, hands them their events, and keeps to the timeline.

use std::io;
use std::time::Instant;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Desk, Fate, Trouble};
use super::source::Source;
use super::timeline::Timeline;
use super::{Extent, LoadError, Mark, Plan, Report};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// Connections without a first reply at once: fewer than a server's backlog holds.
const FRESH_MAX: usize = 1024;

pub(super) struct Engine<'p> {
    plan: &'p Plan,
    poll: Poll,
    source: Source,
    desk: Desk,
    /// A slot is empty before its first connection and after its last.
    slots: Vec<Option<Connection>>,
    /// Slots that have had a connection.
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
            desk: Desk::new(plan, left),
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
            timeline.advance(now, &self.desk.ledger, self.all_begun(), mark);
            if timeline.is_over() {
                self.desk.left = 0;
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
        if self.desk.left > 0 {
            let cause = self.last_connect_error;
            return Err(LoadError::NoConnection(
                cause.unwrap_or_else(|| io::ErrorKind::NotConnected.into()),
            ));
        }
        Ok(Report {
            connect_errors: self.connect_errors,
            ..timeline.report(self.desk.ledger, mark)
        })
    }

    fn all_begun(&self) -> bool {
        self.begun == self.slots.len() || self.desk.left == 0
    }

    /// Opens what has not been opened yet, a bounded number at a time.
    fn open_more(&mut self) -> Result<(), LoadError> {
        while !self.all_begun() && self.desk.fresh < FRESH_MAX {
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
                self.not_made(error);
                return Ok(());
            }
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(slot), interest)?;
        let mut connection = Connection::new(stream, self.plan.depth, &mut self.desk);
        self.open += 1;
        // Over loopback the connection is made by now; elsewhere this does nothing, and the event will do it.
        let sent = connection.send(&mut self.desk);
        self.slots[slot] = Some(connection);
        self.settle(slot, sent.map(|()| Fate::Open))
    }

    #[inline]
    fn handle(&mut self, event: &Event) -> Result<(), LoadError> {
        let slot = event.token().0;
        let Some(connection) = self.slots[slot].as_mut() else {
            return Ok(());
        };
        let fate = connection
            .send(&mut self.desk)
            .and_then(|()| connection.receive(event.is_read_closed(), &mut self.desk));
        match fate {
            Ok(Fate::Open) => Ok(()),
            fate => self.settle(slot, fate),
        }
    }

    /// Puts a new connection in the place of one that has ended.
    fn settle(&mut self, slot: usize, fate: Result<Fate, Trouble>) -> Result<(), LoadError> {
        let ended = match fate {
            Ok(Fate::Open) => return Ok(()),
            Ok(Fate::Ended) => true,
            Err(Trouble::NotMade(error)) => {
                self.desk.fresh -= 1;
                self.not_made(error);
                false
            }
            Err(Trouble::Void(error)) => return Err(error),
        };
        self.slots[slot] = None;
        self.open -= 1;
        match ended && self.desk.left > 0 {
            true => self.open(slot),
            false => Ok(()),
        }
    }

    #[cold]
    fn not_made(&mut self, error: io::Error) {
        self.connect_errors += 1;
        self.last_connect_error = Some(error);
    }
}
