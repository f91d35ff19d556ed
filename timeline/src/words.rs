//! Times, counts and events in words.

use std::time::Duration;

use poetry::CloseReason;
use poetry::event::{Kind, Role, Wait};

use crate::sheet::{Mark, Program, Sheet, Task};

/// Returns the name of a program as readers know it.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::PoemServer => "poem server",
        Role::TransformServer => "transform server",
        Role::LibraryServer => "library server",
        Role::Proxy => "proxy",
        Role::PoemClient => "poem client",
        Role::TransformClient => "transform client",
    }
}

/// Returns what the tasks of a program are.
pub(crate) fn task(role: Role) -> &'static str {
    match role {
        Role::PoemClient => "poem",
        Role::TransformClient => "transform",
        _ => "connection",
    }
}

/// Returns what a task is called: `poem 2`.
pub(crate) fn task_name(program: &Program, task: &Task) -> String {
    format!("{} {}", self::task(program.role), task.number)
}

/// Returns what a task waits for.
pub fn wait(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "waits for its connection",
        Wait::Read => "waits for bytes",
        Wait::Write => "waits for room to write",
        Wait::Pace => "waits for the time of its next piece",
        Wait::Turn => "is ready, and waits for its turn",
        Wait::Permit => "waits for room below a limit",
        Wait::Task => "waits for another task",
    }
}

/// Returns an event in a few words, if it is one that is worth a mark.
pub(crate) fn event(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Connecting => "connects".to_owned(),
        Kind::Connected => "connected".to_owned(),
        Kind::Accepted => "accepted".to_owned(),
        Kind::Read { bytes } => format!("read {}", counted(*bytes, "byte")),
        Kind::Wrote { bytes } => format!("wrote {}", counted(*bytes, "byte")),
        Kind::Answered { requests } => format!("answered {}", counted(*requests, "request")),
        Kind::Refused(refusal) => format!("refused: {refusal}"),
        Kind::Panicked(message) => format!("panicked: {message}"),
        Kind::Finished { bytes } => format!("finished, {}", counted(*bytes, "byte")),
        Kind::Failed(failure) => format!("failed: {failure}"),
        Kind::Closed(reason) => format!("closed: {reason:?}").to_lowercase(),
        Kind::AcceptFailed(cause) => format!("cannot accept: {cause}"),
        Kind::ShortOfThreads(cause) => cause.clone(),
        Kind::Running | Kind::Waiting(_) => return None,
    })
}

/// How a fetch, a transform, a connection or a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All that was wanted has arrived or was delivered.
    Good,
    /// The cause, in a word or two.
    Bad(String),
}

/// Returns how something ended, if this mark is an end.
pub(crate) fn end(mark: &Mark) -> Option<End> {
    let cause = match &mark.kind {
        Kind::Finished { .. } | Kind::Closed(CloseReason::Done) => return Some(End::Good),
        Kind::Failed(failure) => failure.status().replace('_', " "),
        Kind::Refused(_) => "refused".to_owned(),
        Kind::Panicked(_) => "panicked".to_owned(),
        Kind::Closed(reason) => closed(*reason).to_owned(),
        _ => return None,
    };
    Some(End::Bad(match mark.role {
        Role::TransformClient => format!("transform {cause}"),
        _ => cause,
    }))
}

/// Returns why a server closed a connection.
fn closed(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Done => "done",
        CloseReason::Refused => "refused",
        CloseReason::Reset => "reset by its peer",
        CloseReason::Idle => "idle for too long",
        CloseReason::Deadline => "over its deadline",
        CloseReason::Write => "write timeout",
        CloseReason::Cut => "cut",
        CloseReason::Panic => "panicked",
        CloseReason::Left => "its peer left",
        CloseReason::Upstream => "its fetch failed",
    }
}

/// Returns a time with three digits and its unit: `1.25 s`, `340 µs`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        _ if seconds == 0.0 => return "0 s".to_owned(),
        _ if seconds >= 0.9995 => (seconds, "s"),
        _ if seconds >= 0.000_999_5 => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "µs"),
    };
    let decimals = match value {
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// Returns a share in percent: `0.31 %`, `12 %`.
pub(crate) fn share(part: Duration, whole: Duration) -> String {
    if whole.is_zero() {
        return "0 %".to_owned();
    }
    let percent = part.as_secs_f64() * 100.0 / whole.as_secs_f64();
    match percent {
        _ if percent >= 9.95 => format!("{percent:.0} %"),
        _ if percent >= 0.995 => format!("{percent:.1} %"),
        _ if percent >= 0.01 => format!("{percent:.2} %"),
        _ => "less than 0.01 %".to_owned(),
    }
}

/// Returns a count and its noun: `1 task`, `3 tasks`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Turns as long as this are worth a sentence: a hundred of them are a delay that a person feels.
const LONG_TURN: Duration = Duration::from_millis(5);

/// Returns what a sheet shows of a program, in one line or two, computed from its spans.
pub(crate) fn finding(sheet: &Sheet, program: &Program) -> Vec<String> {
    let threads = program.threads.len() as u64;
    let (tasks, noun) = (program.tasks() as u64, task(program.role));
    let most = program.most_at_once();
    let at_once = match tasks {
        1 => String::new(),
        _ => format!(", up to {most} at once"),
    };
    let mut words = format!(
        "{} ran {}{at_once}",
        counted(threads, "thread"),
        counted(tasks, noun)
    );
    let Some((thread, task, turn)) = program.longest_turn() else {
        return vec![words + "."];
    };
    let whole = sheet.length * u32::try_from(threads).unwrap_or(u32::MAX);
    let worked = share(program.busy(), whole);
    let (they, their) = match threads {
        1 => ("It", "its"),
        _ => ("They", "their"),
    };
    words += &format!(". {they} worked {worked} of {their} time");
    let length = turn.length();
    if length < LONG_TURN || thread.tasks.len() == 1 {
        return vec![format!("{words}; the longest turn took {}.", time(length))];
    }
    let (name, worker) = (capital(&task_name(program, task)), thread.worker);
    let kept = format!(
        "{name} kept thread {worker} for {} in one turn",
        time(length)
    );
    vec![
        words + ".",
        kept + ", and the other tasks of that thread had to wait.",
    ]
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let words = |micros| time(Duration::from_micros(micros));
        assert_eq!(words(0), "0 s");
        assert_eq!(words(7), "7.00 µs");
        assert_eq!(words(999), "999 µs");
        assert_eq!(words(1_000), "1.00 ms");
        assert_eq!(words(52_340), "52.3 ms");
        assert_eq!(words(4_200_000), "4.20 s");
    }

    #[test]
    fn shares_say_when_they_are_small() {
        let of = |micros| share(Duration::from_micros(micros), Duration::from_secs(1));
        assert_eq!(of(1), "less than 0.01 %");
        assert_eq!(of(3_100), "0.31 %");
        assert_eq!(of(120_000), "12 %");
    }
}
