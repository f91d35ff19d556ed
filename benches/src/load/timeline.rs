//! The timing of a run: warm-up, timed window, and stall timeout.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::{Extent, Ledger, LoadError, Mark, Plan, Report};

pub(super) struct Timeline {
    extent: Extent,
    stall_timeout: Duration,
    start: Instant,
    /// The time of the last received bytes, and their total.
    progress: (Instant, u64),
    first_reply: Option<Duration>,
    begin: Option<Moment>,
    end: Option<Moment>,
}

/// One end of the timed window.
struct Moment {
    at: Instant,
    answered: u64,
    cpu: Option<Duration>,
}

impl Timeline {
    pub(super) fn new(plan: &Plan) -> Self {
        let start = Instant::now();
        Self {
            extent: plan.extent,
            stall_timeout: plan.stall_timeout,
            start,
            progress: (start, 0),
            first_reply: None,
            begin: None,
            end: None,
        }
    }

    /// Updates progress, and opens or closes the window if it is time.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        ledger: &Ledger,
        all_begun: bool,
        mark: &mut dyn FnMut(Mark),
    ) {
        let answered = ledger.answered;
        if ledger.bytes_in != self.progress.1 {
            self.progress = (now, ledger.bytes_in);
        }
        if self.first_reply.is_none() && answered > 0 {
            self.first_reply = Some(now - self.start);
        }
        let opens = match self.extent {
            Extent::For { warm_up, .. } => all_begun && now - self.start >= warm_up,
            Extent::Requests(_) => true,
        };
        if self.begin.is_none() && opens {
            mark(Mark::Begin { answered });
            self.begin = Some(Moment::now(answered));
        } else if self.window_end().is_some_and(|end| now >= end) {
            self.close(answered, mark);
        }
    }

    fn close(&mut self, answered: u64, mark: &mut dyn FnMut(Mark)) {
        self.end = Some(Moment::now(answered));
        mark(Mark::End { answered });
    }

    /// Returns when the open window closes, if it closes by time.
    fn window_end(&self) -> Option<Instant> {
        match (&self.begin, &self.end, self.extent) {
            (Some(begin), None, Extent::For { timed, .. }) => Some(begin.at + timed),
            _ => None,
        }
    }

    /// Returns whether the window has closed, after which no more requests are sent.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Returns how long to wait for events of the `open` connections.
    ///
    /// # Errors
    /// No byte has come for the stall timeout.
    pub(super) fn wait(&self, now: Instant, open: usize) -> Result<Duration, LoadError> {
        let after = self.stall_timeout;
        let until_stall = after
            .checked_sub(now - self.progress.0)
            .ok_or(LoadError::Stalled { after, open })?;
        let warm_up = match (&self.begin, self.extent) {
            (None, Extent::For { warm_up, .. }) => Some(self.start + warm_up),
            _ => None,
        };
        let next = warm_up.or_else(|| self.window_end());
        // Rounded up, since the kernel waits for whole milliseconds. If connections are still missing after the
        // warm-up, their events wake the loop.
        let until_next = next
            .map(|next| next.saturating_duration_since(now))
            .filter(|until| !until.is_zero());
        let wait = until_next.map_or(until_stall, |until| until.min(until_stall));
        Ok(wait.max(Duration::from_millis(1)))
    }

    /// Returns the report of a run that has ended with `ledger`. Closes a window that is still open.
    pub(super) fn report(mut self, ledger: Ledger, mark: &mut dyn FnMut(Mark)) -> Report {
        if self.begin.is_some() && self.end.is_none() {
            self.close(ledger.answered, mark);
        }
        let (start, nothing) = (self.start, Moment::nothing(self.start));
        let (begin, end) = match (&self.begin, &self.end) {
            (Some(begin), Some(end)) => (begin, end),
            _ => (&nothing, &nothing),
        };
        Report {
            answered: end.answered - begin.answered,
            elapsed: end.at - begin.at,
            warm_up: begin.at - start,
            first_reply: self.first_reply.unwrap_or_default(),
            connect_errors: 0,
            client_cpu: end.cpu.zip(begin.cpu).map(|(end, begin)| end - begin),
            ledger,
        }
    }
}

impl Moment {
    fn now(answered: u64) -> Self {
        Self {
            at: Instant::now(),
            answered,
            cpu: clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
                .ok()
                .map(Duration::from),
        }
    }

    fn nothing(at: Instant) -> Self {
        Self {
            at,
            answered: 0,
            cpu: None,
        }
    }
}
