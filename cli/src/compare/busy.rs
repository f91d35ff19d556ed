//! How busy the machine is with other programs: they take processor time from servers and load generator, so that figures differ
//! for no reason of the models.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use measure::environment::BUSY_SHARE_MAX;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The machine at one instant. What the system does not tell is `None`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instantly {
    at: Instant,
    /// The load average of the last minute.
    load: Option<f64>,
    ticks: Option<Ticks>,
    /// Processor time of this process and of its children that have ended.
    own: Option<Duration>,
}

/// Processor time of all cores since the start of the machine, in the kernel's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ticks {
    busy: f64,
    all: f64,
    cores: f64,
}

/// What other programs used between two instants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Others {
    /// The load averages at both ends.
    load: Option<(f64, f64)>,
    /// The cores that they used on average, of how many.
    used: Option<(f64, f64)>,
}

impl Instantly {
    pub(super) fn now() -> Self {
        let times = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
            let usage = getrusage(who).ok()?;
            Some(duration(usage.user_time()) + duration(usage.system_time()))
        });
        Self {
            at: Instant::now(),
            load: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| load(&text)),
            ticks: fs::read_to_string("/proc/stat")
                .ok()
                .and_then(|text| ticks(&text)),
            own: times.into_iter().sum(),
        }
    }

    /// Warns if the machine has been busy before anything is measured.
    pub(super) fn warning(&self) -> Option<String> {
        let (load, cores) = (self.load?, self.ticks?.cores);
        (load > cores * BUSY_SHARE_MAX).then(|| {
            format!(
                "the machine is busy (load average {load:.2} on {cores} cores), so figures will be noisy; wait until other programs \
                 have ended"
            )
        })
    }

    /// Returns what others have used since `self`, once all children have ended.
    pub(super) fn since(&self) -> Others {
        let now = Self::now();
        let used = || {
            let (before, after) = (self.ticks?, now.ticks?);
            let own = (now.own? - self.own?).as_secs_f64() / (now.at - self.at).as_secs_f64();
            let busy = (after.busy - before.busy) / (after.all - before.all) * after.cores;
            Some(((busy - own).max(0.0), after.cores)).filter(|(used, _)| used.is_finite())
        };
        Others {
            load: self.load.zip(now.load),
            used: used(),
        }
    }
}

impl Others {
    /// Whether they used so much that the figures are noisy.
    pub(super) fn are_busy(&self) -> bool {
        self.used
            .is_some_and(|(used, cores)| used > cores * BUSY_SHARE_MAX)
    }
}

impl fmt::Display for Others {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((used, cores)) = self.used {
            write!(
                out,
                "Other programs used {used:.1} of {cores} cores meanwhile"
            )?;
            if let Some((before, after)) = self.load {
                write!(
                    out,
                    " (load average {before:.2} before, {after:.2} after, this included)"
                )?;
            }
            if self.are_busy() {
                return out.write_str(
                    ": the machine was busy, and the figures are noisy. Repeat it when it is idle.",
                );
            }
            return out.write_str(".");
        }
        out.write_str("How busy the machine was is not available.")
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
    Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or_default())
        + Duration::from_micros(micros)
}

/// Reads `/proc/loadavg`.
fn load(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Reads `/proc/stat`: user, nice, system, idle, iowait, irq, softirq and steal, of all cores together.
fn ticks(text: &str) -> Option<Ticks> {
    let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times = all.split_ascii_whitespace().take(8).map(str::parse);
    let times: Vec<f64> = times.collect::<Result<_, _>>().ok()?;
    let [.., idle, waiting, _, _, _] = times[..] else {
        return None;
    };
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    let sum: f64 = times.iter().sum();
    Some(Ticks {
        busy: sum - idle - waiting,
        all: sum,
        cores: text.lines().filter(is_core).count() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  10 1 20 60 5 1 2 1 0 0\ncpu0 5 0 10 30 2 0 1 0 0 0\ncpu1 5 1 10 30 3 1 1 1 0 0\nintr 1\n";

    #[test]
    fn processor_time_and_load_are_read() {
        let read = ticks(STAT).unwrap();
        assert_eq!((read.busy, read.all, read.cores), (35.0, 100.0, 2.0));
        assert_eq!(load("3.50 2.00 1.00 2/100 1234\n"), Some(3.5));
        assert_eq!((ticks("cpu  1 2\n"), load("")), (None, None));
    }

    #[test]
    fn a_busy_machine_is_a_warning_before_and_after() {
        let at = |load| Instantly {
            load: Some(load),
            ticks: ticks(STAT),
            ..Instantly::now()
        };
        assert_eq!(at(0.1).warning(), None);
        let warning = at(3.0).warning().unwrap();
        assert!(
            warning.contains("load average 3.00 on 2 cores"),
            "{warning}"
        );
        let others = |used| Others {
            load: Some((0.5, 1.25)),
            used: Some((used, 2.0)),
        };
        assert!(!others(0.1).are_busy() && others(0.9).are_busy());
        let said = others(0.9).to_string();
        assert!(
            said.starts_with("Other programs used 0.9 of 2 cores meanwhile (load average 0.50")
        );
        assert!(said.contains("are noisy"));
    }
}
