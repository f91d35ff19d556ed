//! The judge: compares what happened in a run with what the rules say. It knows the plan, the bytes at each end, the server's
//! events and its counts, and no server.

mod connection;
mod owed;
mod poem;

use std::time::Duration;

use poetry::{CloseReason, Counts, Event, Kind, Service};

use crate::log::{Log, Observed, Step};
use crate::plan::Plan;

/// Returns why the run broke a rule, if it did. A timeout may close a connection as much as `late_max` after its time.
///
/// # Errors
/// Returns the connection and the rule.
pub fn judge(plan: &Plan, observed: &Observed, late_max: Duration) -> Result<(), String> {
    let accepted = observed.logs.iter().take_while(|log| log.is_accepted());
    let count = accepted.count();
    if let Some(index) = observed.logs[count..].iter().position(Log::is_accepted) {
        return Err(format!("connection {} was skipped", count + index));
    }
    for (task, log) in observed.logs[..count].iter().enumerate() {
        let events = observed.events.iter();
        let events = events.filter(|event| event.scene.task == task as u64);
        let judged = Connection::new(plan, task, log, events.collect(), late_max)
            .and_then(|connection| connection.judge());
        judged.map_err(|why| format!("connection {task}: {why}"))?;
    }
    counts(observed, &observed.logs[..count])
}

/// One connection, with what its log and its events say.
struct Connection<'o> {
    plan: &'o Plan,
    log: &'o Log,
    events: Vec<&'o Event>,
    late_max: Duration,
    reason: CloseReason,
    /// When the server closed its socket, and whether with a reset.
    closed: Duration,
    reset: bool,
    /// All bytes that the peer took.
    taken: Vec<u8>,
    /// Whether the peer takes whatever comes.
    takes_all: bool,
}

impl<'o> Connection<'o> {
    /// Every connection ends, and its events begin and end once.
    fn new(
        plan: &'o Plan,
        task: usize,
        log: &'o Log,
        events: Vec<&'o Event>,
        late_max: Duration,
    ) -> Result<Self, String> {
        let reason = begins_and_ends(&events)?;
        let (closed, reset) = log.closed().ok_or("its socket is never closed")?;
        Ok(Self {
            plan,
            log,
            events,
            late_max,
            reason,
            closed,
            reset,
            taken: log.taken(),
            takes_all: plan.peers[task].room == usize::MAX,
        })
    }

    fn judge(&self) -> Result<(), String> {
        self.ledger()?;
        self.end()?;
        match &self.plan.service {
            Service::Poem(service) => self.poem(service),
            Service::Transform(_) | Service::Library(_) => self.requests(),
            Service::Proxy(_) => Err("no judge for a proxy".to_owned()),
        }
    }

    /// The events tell of the same bytes as the two ends (S23).
    fn ledger(&self) -> Result<(), String> {
        let read = self.log.read_until(|_| false) as u64;
        let bytes_in = self.sum(|kind| match kind {
            Kind::Read { bytes } => *bytes,
            _ => 0,
        });
        equal("bytes read, by the events", bytes_in, read)?;
        let bytes_out = self.sum(|kind| match kind {
            Kind::Wrote { bytes } => *bytes,
            _ => 0,
        });
        equal(
            "bytes written, by the events",
            bytes_out,
            self.taken.len() as u64,
        )
    }

    /// A connection is reset if it is owed something, and else closed with FIN (S21); each reason has its cause.
    fn end(&self) -> Result<(), String> {
        let has_fin = self.log.first(|step| *step == Step::Fin).is_some();
        let was_reset = self.log.first(|step| *step == Step::Reset);
        let expected = match self.reason {
            // A poem that was taken whole waits only for the time of its FIN.
            CloseReason::Cut if self.is_whole_poem() => self.reset,
            CloseReason::Write => !has_fin,
            CloseReason::Cut => !has_fin,
            CloseReason::Reset => self.reset,
            _ => false,
        };
        equal("whether the server resets it", self.reset, expected)?;
        if self.reason == CloseReason::Reset && was_reset.is_none() {
            return Err("closed as reset, but the peer has not reset it".to_owned());
        }
        if self.reason == CloseReason::Cut {
            let over = self.plan.end();
            let stopped = self.log.first(|step| *step == Step::StopBegan);
            stopped.ok_or("cut, but the server does not stop")?;
            self.within("cut", self.closed, over, over)?;
        }
        if let Some(at) = was_reset {
            // The system tells of a reset at once, whatever the connection waits for.
            self.not_after("something", at.max(self.accepted()))?;
        }
        Ok(())
    }

    fn is_whole_poem(&self) -> bool {
        match &self.plan.service {
            Service::Poem(service) => self.taken.len() == service.poem.as_bytes().len(),
            _ => false,
        }
    }

    /// Checks that `at` is not before `from` and hardly after `until`.
    fn within(
        &self,
        what: &str,
        at: Duration,
        from: Duration,
        until: Duration,
    ) -> Result<(), String> {
        match from <= at && at <= until + self.late_max {
            true => Ok(()),
            false => Err(format!(
                "{what} at {at:?}, not between {from:?} and {until:?}"
            )),
        }
    }

    /// Checks that the connection, which waits for `what`, is closed by `until`.
    fn not_after(&self, what: &str, until: Duration) -> Result<(), String> {
        match self.closed <= until + self.late_max {
            true => Ok(()),
            false => Err(format!(
                "it waits for {what} until {:?}, not {until:?}",
                self.closed
            )),
        }
    }

    /// Replies that the server says the peer took whole.
    fn answered(&self) -> u64 {
        self.sum(|kind| match kind {
            Kind::Answered { requests } => *requests,
            _ => 0,
        })
    }

    fn sum(&self, of: impl Fn(&Kind) -> u64) -> u64 {
        self.events.iter().map(|event| of(&event.kind)).sum()
    }

    fn accepted(&self) -> Duration {
        let accepted = self.log.first(|step| *step == Step::Accepted);
        accepted.unwrap_or_default()
    }

    fn last_taken(&self) -> Option<Duration> {
        self.log.last(|step| matches!(step, Step::Took(_)))
    }

    fn last_read(&self) -> Option<Duration> {
        self.log.last(|step| matches!(step, Step::Read(_)))
    }

    /// When the server last had something to do with the peer.
    fn last_progress(&self) -> Duration {
        let times = [Some(self.accepted()), self.last_read(), self.last_taken()];
        times.into_iter().flatten().max().unwrap_or_default()
    }
}

fn begins_and_ends(events: &[&Event]) -> Result<CloseReason, String> {
    let accepted = events.iter().filter(|event| event.kind == Kind::Accepted);
    equal("events of its beginning", accepted.count(), 1)?;
    let reasons = events.iter().filter_map(|event| match event.kind {
        Kind::Closed(reason) => Some(reason),
        _ => None,
    });
    equal("events of its end", reasons.count(), 1)?;
    match (events.first(), events.last()) {
        (Some(first), Some(last)) if first.kind == Kind::Accepted => match last.kind {
            Kind::Closed(reason) => Ok(reason),
            _ => Err(format!("{:?} follows its end", last.kind)),
        },
        (first, _) => Err(format!("{first:?} precedes its beginning")),
    }
}

/// The counts equal what happened, by the equation of S23 and one by one.
fn counts(observed: &Observed, logs: &[Log]) -> Result<(), String> {
    let Observed { counts, events, .. } = observed;
    counts.check()?;
    equal("connections accepted", counts.accepted, logs.len() as u64)?;
    equal("connections open at the end", counts.open, 0)?;
    equal("requests in flight at the end", counts.in_flight, 0)?;
    let read: usize = logs.iter().map(|log| log.read_until(|_| false)).sum();
    equal("bytes read", counts.bytes_in, read as u64)?;
    let taken: usize = logs.iter().map(|log| log.taken().len()).sum();
    equal("bytes written", counts.bytes_out, taken as u64)?;
    let answered = events.iter().map(|event| match event.kind {
        Kind::Answered { requests } => requests,
        _ => 0,
    });
    equal("requests answered", counts.answered, answered.sum())?;
    for (reason, closed) in closed(counts) {
        let told = events
            .iter()
            .filter(|event| event.kind == Kind::Closed(reason));
        equal(
            &format!("connections closed as {reason:?}"),
            closed,
            told.count() as u64,
        )?;
    }
    let told = events
        .iter()
        .filter(|event| matches!(event.kind, Kind::Refused(_)));
    equal(
        "requests refused",
        counts.refused.total(),
        told.count() as u64,
    )?;
    let (_, cut) = observed.finished_and_cut;
    equal("connections cut, by the summary", cut, counts.closed.cut)
}

fn closed(counts: &Counts) -> [(CloseReason, u64); 8] {
    let closed = &counts.closed;
    [
        (CloseReason::Done, closed.done),
        (CloseReason::Refused, closed.refused),
        (CloseReason::Reset, closed.reset),
        (CloseReason::Idle, closed.idle),
        (CloseReason::Deadline, closed.deadline),
        (CloseReason::Write, closed.write),
        (CloseReason::Cut, closed.cut),
        (CloseReason::Panic, closed.panic),
    ]
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), String> {
    match got == expected {
        true => Ok(()),
        false => Err(format!("{what}: {got:?}, not {expected:?}")),
    }
}
