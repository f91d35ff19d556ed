//! The environment printed with every figure (MEASURING 9).

use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::pinning::Pinning;
use crate::process::raise_descriptor_limit;

/// The share of all cores that other programs may use before there is a warning. Models often differ by less than a tenth, so a
/// program that takes more than that may turn a comparison round.
pub const BUSY_SHARE_MAX: f64 = 0.1;

/// The machine, build and time of a measurement. Facts that the system does not provide are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The processor's name.
    pub processor: Option<String>,
    /// Cores available to this process.
    pub cores: Option<usize>,
    /// The system and its kernel's version.
    pub kernel: Option<String>,
    /// The CPU frequency governor.
    pub governor: Option<String>,
    /// The hard limit on a process's descriptors (`nofile`).
    pub descriptors: Option<u64>,
    /// The limit on a listener's backlog (`somaxconn`).
    pub backlog: Option<u64>,
    /// The load average of the last minute. If it exceeds [`BUSY_SHARE_MAX`] of the cores, every figure is partly noise.
    pub busy: Option<String>,
    /// The compiler that built this.
    pub compiler: Option<String>,
    /// The profile it was built with.
    pub profile: Option<String>,
    /// The commit it was built from.
    pub commit: Option<String>,
    /// The time at the start, in UTC.
    pub date: String,
    /// The core of each side.
    pub pinning: Pinning,
    /// The seed that shuffled the order of the rounds.
    pub seed: u64,
}

impl Environment {
    /// Returns the environment of a measurement that begins now, of a build of `commit` if that is known.
    pub fn now(commit: Option<String>, pinning: Pinning, seed: u64) -> Self {
        Self {
            processor: processor(),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            kernel: line("/proc/sys/kernel/osrelease")
                .map(|version| format!("{} {version}", std::env::consts::OS)),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            descriptors: raise_descriptor_limit().ok(),
            backlog: line("/proc/sys/net/core/somaxconn").and_then(|number| number.parse().ok()),
            busy: line("/proc/loadavg").and_then(|averages| {
                let minute = averages.split_ascii_whitespace().next()?;
                Some(minute.to_owned())
            }),
            compiler: option_env!("MEASURE_COMPILER").map(str::to_owned),
            profile: option_env!("MEASURE_PROFILE").map(str::to_owned),
            commit,
            date: utc(SystemTime::now()),
            pinning,
            seed,
        }
    }
}

impl Environment {
    /// Returns every fact with its name, in the order of tables.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Date", self.date.clone()),
            ("Processor", text(&self.processor)),
            ("Cores", text(&self.cores)),
            ("Kernel", text(&self.kernel)),
            ("Governor", text(&self.governor)),
            ("Descriptors (nofile)", text(&self.descriptors)),
            ("Backlog (somaxconn)", text(&self.backlog)),
            ("Load average at the start", text(&self.busy)),
            ("Compiler", text(&self.compiler)),
            ("Profile", text(&self.profile)),
            ("Commit", text(&self.commit)),
            ("Pinning", Pin(self.pinning).to_string()),
            ("Seed", self.seed.to_string()),
        ]
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = Pin(self.pinning);
        writeln!(
            out,
            "{}, {} cores; {}; governor {}; nofile {}; somaxconn {}; load average {} at the start",
            text(&self.processor),
            text(&self.cores),
            text(&self.kernel),
            text(&self.governor),
            text(&self.descriptors),
            text(&self.backlog),
            text(&self.busy),
        )?;
        writeln!(
            out,
            "{}; profile {}; commit {}",
            text(&self.compiler),
            text(&self.profile),
            text(&self.commit)
        )?;
        write!(out, "{}; {cores}; seed {}", self.date, self.seed)
    }
}

/// A pinning in words.
struct Pin(Pinning);

impl fmt::Display for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.server, self.0.client) {
            (Some(server), Some(client)) => {
                write!(
                    out,
                    "server pinned to core {server}, client to core {client}"
                )
            }
            (Some(core), None) => write!(out, "server pinned to core {core}"),
            (None, Some(core)) => write!(out, "client pinned to core {core}"),
            (None, None) => out.write_str("neither side pinned"),
        }
    }
}

fn text(value: &Option<impl ToString>) -> String {
    match value {
        Some(value) => value.to_string(),
        None => "not available".to_owned(),
    }
}

fn line(file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// `2026-11-23 01:30:00 UTC`.
fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let (day, hour, minute, second) = (days + 1, rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn days_in_year(year: u64) -> u64 {
    (1..=12).map(|month| days_in_month(year, month)).sum()
}

fn days_in_month(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_formatted_across_leap_years() {
        let date = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59:59 UTC");
    }

    #[test]
    fn an_unknown_fact_is_shown_as_not_available() {
        let environment = Environment::now(None, Pinning::NONE, 7);
        assert!(environment.to_string().contains("commit not available"));
        assert!(
            environment
                .to_string()
                .contains("neither side pinned; seed 7")
        );
        assert!(environment.compiler.is_some() && environment.profile.is_some());
    }
}
