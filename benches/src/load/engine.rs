//! The generator's event loop: opens connections, sends what is due, dispatches events, and follows the timeline.

use std::io;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use super::arrivals::Arrivals;
use super::connection::{Connection, ConnectionError, Status};
use super::shared::Shared;
use super::source::Source;
use super::timeline::Timeline;
use super::timer;
use super::watch::{Snapshot, Ticks, Watch};
use super::{LoadError, Mark, Plan, Report};

/// Events taken from the kernel per poll.
const EVENTS: usize = 1024;

pub(super) struct Engine<'p> {
    plan: &'p Plan,
    poll: Poll,
    source: Source,
    shared: Shared,
    /// A slot is empty before its first connection and after its last; in an open loop of one-shot connections, between two.
    slots: Vec<Option<Connection>>,
    /// Slots that have had a connection, or a failed connect.
    begun: usize,
    open: usize,
    connect_errors: u64,
    last_connect_error: Option<io::Error>,
    /// In an open loop.
    arrivals: Option<Arrivals>,
}

impl<'p> Engine<'p> {
    pub(super) fn new(plan: &'p Plan) -> Result<Self, LoadError> {
        let poll = Poll::new()?;
        let arrivals = Arrivals::new(plan, poll.registry())?;
        let mut engine = Self {
            poll,
            source: Source::new(plan),
            shared: Shared::new(plan)?,
            slots: std::iter::repeat_with(|| None)
                .take(plan.connections)
                .collect(),
            begun: 0,
            open: 0,
            connect_errors: 0,
            last_connect_error: None,
            arrivals,
            plan,
        };
        if engine.is_open_one_shot() {
            engine.begun = plan.connections;
            (0..plan.connections).for_each(|slot| engine.free(slot));
        }
        Ok(engine)
    }

    pub(super) fn run(
        mut self,
        mark: &mut dyn FnMut(Mark),
        watch: Option<Watch<'_>>,
    ) -> Result<Report, LoadError> {
        let mut timeline = Timeline::new(self.plan);
        let mut ticks = watch.map(Ticks::new);
        let mut events = Events::with_capacity(EVENTS);
        let mut stopped = false;
        loop {
            self.advance(&mut timeline, mark)?;
            self.open_more()?;
            self.send_due()?;
            if self.is_done()? {
                break;
            }
            if self.is_stopped(&timeline, ticks.as_mut()) {
                stopped = true;
                break;
            }
            self.wait(&mut timeline, ticks.as_ref(), &mut events)?;
            self.shared.received_at = self.shared.clock.now();
            for event in events.iter().filter(|event| event.token() != timer::TOKEN) {
                self.handle(event)?;
            }
        }
        let schedule = self.arrivals.map(|arrivals| arrivals.schedule);
        Ok(Report {
            stopped,
            connect_errors: self.connect_errors,
            ..timeline.report(self.shared, schedule, mark)
        })
    }

    /// Opens or closes the window if it is time, and lets connections finish once no requests are left.
    fn advance(
        &mut self,
        timeline: &mut Timeline<'_>,
        mark: &mut dyn FnMut(Mark),
    ) -> Result<(), LoadError> {
        let schedule = self.arrivals.as_ref().map(|arrivals| &arrivals.schedule);
        let all_begun = self.all_begun();
        timeline.advance(&mut self.shared, schedule, all_begun, mark);
        while self.shared.left == 0
            && let Some(arrivals) = &mut self.arrivals
            && let Some((slot, _)) = arrivals.take_free()
        {
            if let Some(connection) = self.slots[slot].as_mut() {
                let finished = connection.finish().map(|()| Status::Open);
                self.settle(slot, finished)?;
            }
        }
        Ok(())
    }

    /// Whether nothing more will happen.
    ///
    /// # Errors
    /// No connection could be made, or none is left although there are requests.
    fn is_done(&mut self) -> Result<bool, LoadError> {
        let left = self.shared.left > 0;
        let all_refused = self.connect_errors >= self.plan.connections as u64
            && self.shared.ledger.connections == 0;
        let may_go_on = left && self.is_open_one_shot() && !all_refused;
        if self.open > 0 || may_go_on {
            return Ok(false);
        }
        if left {
            let cause = self.last_connect_error.take();
            let cause = cause.unwrap_or_else(|| io::ErrorKind::NotConnected.into());
            return Err(LoadError::NoConnection(cause));
        }
        Ok(true)
    }

    /// Lets the watch look at the run if it is time, and returns whether it stops it.
    fn is_stopped(&self, timeline: &Timeline<'_>, ticks: Option<&mut Ticks<'_>>) -> bool {
        let Some(ticks) = ticks else { return false };
        let now = self.shared.clock.now();
        if !ticks.is_due(now) {
            return false;
        }
        let left = self.shared.left;
        let waiting = |arrivals: &Arrivals| arrivals.num_waiting(now, left);
        let snapshot = Snapshot {
            elapsed: Duration::from_nanos(now),
            timed: timeline.timed(now),
            answered: self.shared.ledger.answered,
            open: self.open,
            waiting: self.arrivals.as_ref().map_or(0, waiting),
            latency: &self.shared.recorder.latency[0],
        };
        ticks.look(now, &snapshot).is_break()
    }

    /// Waits for events, or until something is to be done.
    fn wait(
        &mut self,
        timeline: &mut Timeline<'_>,
        ticks: Option<&Ticks<'_>>,
        events: &mut Events,
    ) -> Result<(), LoadError> {
        let now = self.shared.clock.now();
        let idle = self.arrivals.as_ref().map_or(0, Arrivals::num_free);
        let owing = match self.is_open_one_shot() {
            true => self.open,
            false => self.open.saturating_sub(idle),
        };
        let mut wait = timeline.wait(now, self.shared.ledger.bytes_in, owing)?;
        if let Some(ticks) = ticks {
            wait = wait.min(ticks.wait(now));
        }
        let may_send = self.may_send();
        if let Some(arrivals) = &mut self.arrivals
            && may_send
        {
            wait = arrivals.wait(now, wait)?;
        }
        match self.poll.poll(events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn is_open_one_shot(&self) -> bool {
        self.arrivals.is_some() && !self.plan.keep_alive
    }

    fn all_begun(&self) -> bool {
        self.begun == self.slots.len() || self.shared.left == 0
    }

    /// Opens the remaining connections, a bounded number at a time.
    fn open_more(&mut self) -> Result<(), LoadError> {
        while !self.all_begun() && self.shared.pending < self.plan.pending_max {
            let slot = self.begun;
            self.begun += 1;
            match self.arrivals {
                None => {
                    let now = self.shared.clock.now();
                    self.open(slot, self.plan.depth, now)?;
                }
                Some(_) => {
                    self.open(slot, 0, 0)?;
                    self.free(slot);
                }
            }
        }
        Ok(())
    }

    /// Whether a request of an open loop that is due could be sent.
    fn may_send(&self) -> bool {
        let has_room = self.plan.keep_alive || self.shared.pending < self.plan.pending_max;
        let has_free = |arrivals: &Arrivals| arrivals.num_free() > 0;
        self.shared.left > 0 && has_room && self.arrivals.as_ref().is_some_and(has_free)
    }

    /// Sends the requests of an open loop that are due, while there are free connections.
    fn send_due(&mut self) -> Result<(), LoadError> {
        while self.may_send()
            && let Some(arrivals) = &mut self.arrivals
        {
            let now = self.shared.clock.now();
            let due = arrivals.schedule.next();
            if due > now {
                break;
            }
            let Some((slot, since)) = arrivals.take_free() else {
                break;
            };
            // The connection may have failed while it was free.
            if self.plan.keep_alive && self.slots[slot].is_none() {
                continue;
            }
            arrivals.schedule.take();
            self.shared.recorder.sent(due.max(since), now);
            match self.slots[slot].as_mut() {
                None => self.open(slot, 1, due)?,
                Some(connection) => {
                    connection.ask(1, due, &mut self.shared);
                    let status = connection.send(&mut self.shared);
                    self.settle(slot, status)?;
                }
            }
        }
        Ok(())
    }

    /// Opens a connection in an empty `slot`, with up to `requests`, which began at `begun`. The slot stays empty if that fails.
    fn open(&mut self, slot: usize, requests: usize, begun: u64) -> Result<(), LoadError> {
        let mut stream = match self.source.connect() {
            Ok(stream) => stream,
            Err(error) => {
                // The request is lost.
                self.shared
                    .take(usize::from(requests > 0 && self.is_open_one_shot()));
                self.count_error(error);
                self.free_one_shot(slot);
                return Ok(());
            }
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(slot), interest)?;
        let mut connection = Connection::new(stream, slot, &mut self.shared);
        if requests > 0 {
            connection.ask(requests, begun, &mut self.shared);
        }
        self.open += 1;
        // Over loopback the connection is made by now; elsewhere the event sends.
        let status = match connection.send(&mut self.shared) {
            // Its event lets it leave: connections that leave at once would open each other here without end.
            Ok(Status::Left) => Ok(Status::Open),
            status => status,
        };
        self.slots[slot] = Some(connection);
        self.settle(slot, status)
    }

    #[inline]
    fn handle(&mut self, event: &mio::event::Event) -> Result<(), LoadError> {
        let slot = event.token().0;
        let Some(connection) = self.slots[slot].as_mut() else {
            return Ok(());
        };
        match connection.handle(event, &mut self.shared) {
            Ok(Status::Open) => Ok(()),
            status => self.settle(slot, status),
        }
    }

    /// Replaces a connection that has ended by a new one, or frees its slot.
    fn settle(
        &mut self,
        slot: usize,
        status: Result<Status, ConnectionError>,
    ) -> Result<(), LoadError> {
        let ended = match status {
            Ok(Status::Open) => return Ok(()),
            Ok(Status::Free) => {
                self.free(slot);
                return Ok(());
            }
            Ok(Status::Ended) => true,
            Ok(Status::Left) => {
                self.shared.recorder.left();
                true
            }
            Err(ConnectionError::NotMade(error)) => {
                self.count_error(error);
                false
            }
            Err(ConnectionError::Void(error)) => return Err(error),
        };
        if let Some(mut connection) = self.slots[slot].take() {
            connection.settle(&mut self.shared);
            self.open -= 1;
        }
        if ended && self.arrivals.is_none() && self.shared.left > 0 {
            let now = self.shared.clock.now();
            return self.open(slot, self.plan.depth, now);
        }
        self.free_one_shot(slot);
        Ok(())
    }

    fn free_one_shot(&mut self, slot: usize) {
        if self.is_open_one_shot() {
            self.free(slot);
        }
    }

    /// Notes that `slot` can send a request of an open loop.
    #[inline]
    fn free(&mut self, slot: usize) {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.free(slot, self.shared.received_at);
        }
    }

    #[cold]
    fn count_error(&mut self, error: io::Error) {
        self.connect_errors += 1;
        self.last_connect_error = Some(error);
    }
}
