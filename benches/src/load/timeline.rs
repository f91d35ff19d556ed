//! The timing of a run: warm-up, timed window, and stall timeout.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::clock::nanos;
use super::schedule::Schedule;
use super::shared::Shared;
use super::{Arrival, Extent, LoadError, Mark, OpenLoop, Plan, Report};

/// The least wait for events.
const WAIT_MIN: Duration = Duration::from_millis(1);

pub(super) struct Timeline<'p> {
    plan: &'p Plan,
    /// The time of the last progress, and the bytes received until then.
    progress: (u64, u64),
    begin: Option<Moment>,
    end: Option<Moment>,
}

/// One end of the timed window, and all that had happened up to then.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    at: u64,
    answered: u64,
    received: u64,
    /// Of an open loop: requests sent, and requests that were due and waited.
    sent: u64,
    waiting: u64,
    cpu: Option<Duration>,
}

impl<'p> Timeline<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            progress: (0, 0),
            begin: None,
            end: None,
        }
    }

    /// Opens or closes the window if it is time. After it no more requests are sent.
    pub(super) fn advance(
        &mut self,
        shared: &mut Shared,
        schedule: Option<&Schedule>,
        all_begun: bool,
        mark: &mut dyn FnMut(Mark),
    ) {
        let now = shared.received_at;
        let opens = match self.plan.extent {
            Extent::For { warm_up, .. } => all_begun && now >= nanos(warm_up),
            Extent::Requests(_) => true,
        };
        if self.begin.is_none() && opens {
            mark(Mark::Begin {
                answered: shared.ledger.answered,
            });
            let mut begin = Moment::now(shared, schedule);
            let mut from = begin.at;
            if let Extent::Requests(_) = self.plan.extent {
                // All of them belong to the window, the one that was due before the mark too.
                (from, begin.waiting) = (0, 0);
            }
            shared.recorder.begin(from);
            self.begin = Some(begin);
        } else if self.window_end().is_some_and(|end| now >= end) {
            self.close(shared, schedule, mark);
        }
    }

    fn close(
        &mut self,
        shared: &mut Shared,
        schedule: Option<&Schedule>,
        mark: &mut dyn FnMut(Mark),
    ) {
        let end = Moment::now(shared, schedule);
        let waiting = schedule.map(|schedule| schedule.waiting(end.at, shared.left));
        shared.recorder.end(end.at, waiting.into_iter().flatten());
        shared.left = 0;
        self.end = Some(end);
        mark(Mark::End {
            answered: end.answered,
        });
    }

    /// Returns how long the window has been open at `now`, if it has opened.
    pub(super) fn timed(&self, now: u64) -> Option<Duration> {
        let begin = self.begin?.at;
        let end = self.end.map_or(now, |end| end.at);
        Some(Duration::from_nanos(end.saturating_sub(begin)))
    }

    /// Returns when the open window closes, if it closes by time.
    fn window_end(&self) -> Option<u64> {
        match (&self.begin, &self.end, self.plan.extent) {
            (Some(begin), None, Extent::For { timed, .. }) => Some(begin.at + nanos(timed)),
            _ => None,
        }
    }

    /// Returns how long to wait for events, if `owing` connections are owed replies and `received` bytes have come.
    ///
    /// # Errors
    /// No byte has come for the stall timeout, although some are owed.
    pub(super) fn wait(
        &mut self,
        now: u64,
        received: u64,
        owing: usize,
    ) -> Result<Duration, LoadError> {
        if received != self.progress.1 || owing == 0 {
            self.progress = (now, received);
        }
        let after = self.plan.stall_timeout;
        let idle = Duration::from_nanos(now - self.progress.0);
        let until_stall = after
            .checked_sub(idle)
            .ok_or(LoadError::Stalled { after, open: owing })?;
        let warm_up = match (&self.begin, self.plan.extent) {
            (None, Extent::For { warm_up, .. }) => Some(nanos(warm_up)),
            _ => None,
        };
        // If connections are still missing after the warm-up, their events wake the loop.
        let until_next = warm_up
            .or_else(|| self.window_end())
            .map(|next| Duration::from_nanos(next.saturating_sub(now)))
            .filter(|until| !until.is_zero());
        let wait = until_next.map_or(until_stall, |until| until.min(until_stall));
        Ok(wait.max(WAIT_MIN))
    }

    /// Returns the report of a run that has ended. Closes a window that is still open.
    pub(super) fn report(
        mut self,
        mut shared: Shared,
        schedule: Option<Schedule>,
        mark: &mut dyn FnMut(Mark),
    ) -> Report {
        if self.begin.is_some() && self.end.is_none() {
            self.close(&mut shared, schedule.as_ref(), mark);
        }
        let begin = self.begin.unwrap_or_default();
        let end = self.end.unwrap_or(begin);
        let recorder = shared.recorder;
        let fairness = recorder.fairness().filter(|_| self.plan.keep_alive);
        let open = match self.plan.arrival {
            Arrival::Closed => None,
            Arrival::Open { rate, gaps } => Some(OpenLoop {
                rate,
                gaps,
                due: end.sent + end.waiting - begin.sent - begin.waiting,
                sent: end.sent - begin.sent,
                waiting: end.waiting,
                lateness: recorder.lateness,
            }),
        };
        let [latency, other] = recorder.latency;
        Report {
            answered: end.answered - begin.answered,
            stopped: false,
            received: end.received - begin.received,
            left: recorder.left,
            elapsed: Duration::from_nanos(end.at - begin.at),
            warm_up: Duration::from_nanos(begin.at),
            first_reply: Duration::from_nanos(recorder.first_reply.unwrap_or_default()),
            latency,
            other_latency: self.plan.mix.is_some().then_some(other),
            open,
            fairness,
            connect_errors: 0,
            client_cpu: end.cpu.zip(begin.cpu).map(|(end, begin)| end - begin),
            ledger: shared.ledger,
        }
    }
}

impl Moment {
    fn now(shared: &Shared, schedule: Option<&Schedule>) -> Self {
        let at = shared.clock.now();
        let waiting = |schedule: &Schedule| schedule.waiting(at, shared.left).count() as u64;
        Self {
            at,
            answered: shared.ledger.answered,
            received: shared.ledger.bytes_in,
            sent: schedule.map_or(0, Schedule::taken),
            waiting: schedule.map_or(0, waiting),
            cpu: clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
                .ok()
                .map(Duration::from),
        }
    }
}
