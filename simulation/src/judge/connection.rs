//! A connection of a server that answers requests: replies in order, what was owed, and the reason of the end (S3–S8, S18–S21).

use poetry::{CloseReason, Kind};

use super::owed::{Owed, Stopper};
use super::{Connection, equal};
use crate::log::Step;
use crate::wire::End;

impl Connection<'_> {
    /// Judges a connection of requests and replies.
    pub(super) fn requests(&self) -> Result<(), String> {
        let sent = self.log.sent();
        let known = self.log.read_until(ends_requests);
        let owed = self.owed(&sent[..known]);
        let bytes = owed.bytes();
        if !bytes.starts_with(&self.taken) {
            let (taken, bytes) = (self.taken.escape_ascii(), bytes.escape_ascii());
            return Err(format!(
                "the peer took \"{taken}\", but is owed \"{bytes}\""
            ));
        }
        let (whole, on_boundary) = owed.whole_within(self.taken.len());
        equal(
            "replies taken, by the events",
            self.answered(),
            whole as u64,
        )?;
        self.in_time(&owed)?;
        let all_taken = self.taken.len() == bytes.len();
        let all_taken = match all_taken {
            true => Ok(()),
            false => Err(format!(
                "{whole} of {} replies were taken",
                owed.replies.len()
            )),
        };
        match self.reason {
            CloseReason::Done => self.done(&owed, known == sent.len(), whole, on_boundary),
            CloseReason::Refused => all_taken.and_then(|()| self.refused(&owed)),
            CloseReason::Panic => {
                all_taken?;
                equal("what ends it", owed.stopper, Some(Stopper::Panics))
            }
            CloseReason::Reset => Ok(()),
            CloseReason::Idle => all_taken.and_then(|()| self.idle(&owed)),
            CloseReason::Deadline => all_taken.and_then(|()| self.deadline(&owed)),
            CloseReason::Write => match all_taken {
                Ok(()) => Err("closed as not reading, though the peer took all".to_owned()),
                Err(_) => self.write_timeout(),
            },
            CloseReason::Cut => Ok(()),
            CloseReason::Left | CloseReason::Upstream => Err(format!("{:?}", self.reason)),
        }
        .map_err(|why| format!("closed as {:?}: {why}", self.reason))
    }

    /// Whatever it waited for in the end, it did not wait longer than it may (S7, S18).
    fn in_time(&self, owed: &Owed) -> Result<(), String> {
        let limits = &self.plan.limits;
        if let Some(fin) = self.log.first(|step| *step == Step::Fin) {
            return self.not_after("the end of its input", fin + limits.linger_timeout);
        }
        let progress = self.last_progress();
        if self.taken.len() < owed.bytes().len() {
            return self.not_after("room", progress + limits.write_timeout);
        }
        match owed.tail {
            End::InFrame(start) => {
                let began = self.log.read_at(start).unwrap_or_default();
                let from = self.last_taken().map_or(began, |taken| taken.max(began));
                self.not_after("the rest of a request", from + limits.request_deadline)
            }
            _ => self.not_after("a request", progress + limits.idle_timeout),
        }
    }

    fn owed(&self, read: &[u8]) -> Owed {
        let limit = self.plan.limits.frame_bytes_max;
        Owed::new(&self.plan.service, limit, self.plan.keeps_alive(), read)
    }

    /// Everything was delivered: the peer has finished, the one reply was sent, or the server stops and nothing was in flight.
    fn done(
        &self,
        owed: &Owed,
        all_read: bool,
        whole: usize,
        on_boundary: bool,
    ) -> Result<(), String> {
        if !on_boundary {
            return Err("it ends within a reply".to_owned());
        }
        let all_taken = whole == owed.replies.len();
        if owed.stopper == Some(Stopper::OneShot) {
            return equal("the reply was taken", all_taken, true);
        }
        let finished = self.log.first(|step| *step == Step::Finished).is_some();
        if finished && all_read && owed.stopper.is_none() && owed.tail == End::Between && all_taken
        {
            return Ok(());
        }
        if self.log.first(|step| *step == Step::StopBegan).is_none() {
            return Err(format!(
                "{whole} of {} replies were taken, {:?} follows, and {:?}; the peer has finished: {finished}",
                owed.replies.len(),
                owed.stopper,
                owed.tail
            ));
        }
        let before = self.log.read_until(|step| *step == Step::StopBegan);
        let answered_before = owed.ends.iter().filter(|&&end| end <= before).count();
        let last_end = answered_before
            .checked_sub(1)
            .map_or(0, |last| owed.ends[last]);
        let in_flight = usize::from(before > last_end);
        let expected = answered_before + in_flight;
        match whole >= expected {
            true => Ok(()),
            false => Err(format!(
                "{whole} replies were taken, {expected} requests had begun before the stop"
            )),
        }
    }

    /// The refused request is the first that must be, for its reason.
    fn refused(&self, owed: &Owed) -> Result<(), String> {
        let reasons = self.events.iter().filter_map(|event| match &event.kind {
            Kind::Refused(refusal) => Some(refusal.reason()),
            _ => None,
        });
        let reasons: Vec<_> = reasons.collect();
        let expected = match (owed.stopper, owed.tail) {
            (Some(Stopper::Refused(reason)), _) => reason,
            (None, End::InFrame(_)) if self.log.first(|step| *step == Step::Finished).is_some() => {
                "truncated"
            }
            other => return Err(format!("nothing is to be refused: {other:?}")),
        };
        equal("the reason", reasons, vec![expected])
    }

    fn idle(&self, owed: &Owed) -> Result<(), String> {
        equal("what follows the requests", owed.tail, End::Between)?;
        let timeout = self.plan.limits.idle_timeout;
        let from = self.last_read().unwrap_or(self.accepted()) + timeout;
        self.within("closed", self.closed, from, self.last_progress() + timeout)
    }

    fn deadline(&self, owed: &Owed) -> Result<(), String> {
        let End::InFrame(start) = owed.tail else {
            return Err(format!("no request is incomplete: {:?}", owed.tail));
        };
        let began = self.log.read_at(start).ok_or("the request has not begun")?;
        let timeout = self.plan.limits.request_deadline;
        let until = self.last_taken().map_or(began, |taken| taken.max(began));
        self.within("closed", self.closed, began + timeout, until + timeout)
    }

    pub(super) fn write_timeout(&self) -> Result<(), String> {
        let timeout = self.plan.limits.write_timeout;
        let from = self.last_taken().unwrap_or(self.accepted()) + timeout;
        self.within("closed", self.closed, from, self.last_progress() + timeout)
    }
}

/// What the server reads after this is no request.
fn ends_requests(step: &Step) -> bool {
    matches!(step, Step::Fin | Step::Closed { .. })
}
