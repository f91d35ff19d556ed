//! A connection of a poem server: the poem at its pace, whole or reset (S1, S18, S21).

use std::time::Duration;

use poetry::{CloseReason, Pace, PoemService};

use super::{Connection, equal};
use crate::log::Step;

impl Connection<'_> {
    /// Judges a connection that gets a poem.
    pub(super) fn poem(&self, service: &PoemService) -> Result<(), String> {
        let poem = service.poem.as_bytes();
        if !poem.starts_with(&self.taken) {
            let taken = self.taken.escape_ascii();
            return Err(format!("the peer took \"{taken}\", which the poem is not"));
        }
        self.pace(service)?;
        let is_whole = self.taken.len() == poem.len();
        self.poem_in_time(service)?;
        match self.reason {
            CloseReason::Done => {
                equal("the poem was taken", is_whole, true)?;
                // Closing sends FIN too.
                let fin = self.log.first(|step| *step == Step::Fin);
                let fin = fin.or((!self.reset).then_some(self.closed));
                let due = self.accepted() + service.pace.due(service.pace.chunks(poem.len()));
                let is_reset = self.log.first(|step| *step == Step::Reset).is_some();
                match fin {
                    // An empty poem is done before the server learns of a reset, and a broken connection takes no FIN.
                    _ if is_reset && poem.is_empty() => Ok(()),
                    Some(fin) if self.takes_all => self.within("FIN", fin, due, due),
                    Some(fin) if fin >= due => Ok(()),
                    fin => Err(format!("FIN at {fin:?}, due at {due:?}")),
                }
            }
            CloseReason::Write => self.write_began(service),
            CloseReason::Reset | CloseReason::Cut => Ok(()),
            reason => Err(format!("closed as {reason:?}")),
        }?;
        // An empty poem is answered without a byte.
        let is_answered = is_whole && (!poem.is_empty() || self.reason == CloseReason::Done);
        match poem.is_empty() && self.reason != CloseReason::Done {
            true => Ok(()),
            false => equal(
                "poems taken, by the events",
                self.answered(),
                is_answered.into(),
            ),
        }
    }

    /// No chunk comes before it is due; if the peer takes all, none comes later.
    fn pace(&self, service: &PoemService) -> Result<(), String> {
        let Pace::Slow { num_bytes, .. } = service.pace else {
            return Ok(());
        };
        let mut taken = 0;
        for (at, step) in self.log.steps() {
            let Step::Took(bytes) = step else { continue };
            let first = taken / num_bytes;
            taken += bytes.len();
            let last = (taken - 1) / num_bytes;
            let due = |chunk| self.accepted() + service.pace.due(chunk);
            if *at < due(last) {
                return Err(format!("chunk {last} at {at:?}, due at {:?}", due(last)));
            }
            let takes_all = self.takes_all;
            if takes_all && *at > due(first) + self.late_max {
                return Err(format!("chunk {first} at {at:?}, due at {:?}", due(first)));
            }
        }
        Ok(())
    }

    /// When the server has a byte for the peer that it does not take: from its last byte, or from when the next one was due.
    fn waits_from(&self, service: &PoemService) -> Duration {
        let chunk = match service.pace {
            Pace::Slow { num_bytes, .. } => self.taken.len() / num_bytes,
            Pace::Fast => 0,
        };
        let due = self.accepted() + service.pace.due(chunk);
        self.last_taken().unwrap_or_default().max(due)
    }

    fn write_began(&self, service: &PoemService) -> Result<(), String> {
        let (from, timeout) = (self.waits_from(service), self.plan.limits.write_timeout);
        self.within("closed", self.closed, from + timeout, from + timeout)
    }

    /// Whatever it waited for in the end, it did not wait longer than it may (S7, S18).
    fn poem_in_time(&self, service: &PoemService) -> Result<(), String> {
        let limits = &self.plan.limits;
        if let Some(fin) = self.log.first(|step| *step == Step::Fin) {
            return self.not_after("the end of its input", fin + limits.linger_timeout);
        }
        let length = service.poem.as_bytes().len();
        if self.taken.len() < length {
            let until = self.waits_from(service) + limits.write_timeout;
            return self.not_after("room", until);
        }
        let due = self.accepted() + service.pace.due(service.pace.chunks(length));
        self.not_after("the time of FIN", due.max(self.last_progress()))
    }
}
