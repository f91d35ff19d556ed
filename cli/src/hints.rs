//! What to try when a fetch or a load fails: one line for the commonest mistakes.

use std::io;

use measure::load::LoadError;
use nix::errno::Errno;
use poetry::error::Timeout;
use poetry::{FetchFailure, Outcome};

use crate::args::Address;
use crate::fetch::Task;
use crate::load::Role;

/// Returns what to try after the first of `outcomes` for which there is advice.
pub(crate) fn after_fetch(tasks: &[Task], outcomes: &[Outcome]) -> Option<String> {
    tasks.iter().zip(outcomes).find_map(|(task, outcome)| {
        let errors = outcome.poem.as_ref().err().into_iter();
        let mut errors = errors.chain(&outcome.transform_failure);
        let advice = errors.find_map(|error| match task.is_transform(error) {
            true => after_transform(&error.peer, &error.failure),
            false => after_poem(task, &error.failure, outcome.bytes),
        });
        advice.or_else(|| after_empty_poem(task, outcome))
    })
}

fn after_transform(peer: &str, failure: &FetchFailure) -> Option<String> {
    let start = format!("quatrain serve transform --port {}", port(peer));
    match failure {
        FetchFailure::ConnectionFailed { cause } if nothing_listens(cause) => {
            Some(to_start_a_server(peer, &start))
        }
        FetchFailure::Garbled(_) => Some(format!(
            "{peer} does not seem to be a transform server. To start one: {start}"
        )),
        _ => None,
    }
}

fn after_poem(task: &Task, failure: &FetchFailure, bytes: u64) -> Option<String> {
    let peer = &task.address.to_string();
    match (failure, &task.name) {
        (FetchFailure::ConnectionFailed { cause }, name) if nothing_listens(cause) => {
            let what = name.as_ref().map_or("poem FILE", |_| "library DIR");
            let start = format!("quatrain serve {what} --port {}", port(peer));
            Some(to_start_a_server(peer, &start))
        }
        (FetchFailure::Refused, Some(name)) => Some(format!(
            "{peer} has no poem called {name}, or is not a library. A library's log has the reason."
        )),
        (FetchFailure::Garbled(_), Some(_)) => Some(format!(
            "{peer} does not seem to be a library. To fetch the poem of a poem server, leave --poem out."
        )),
        (FetchFailure::TimedOut(Timeout::Idle), None) if bytes == 0 => Some(format!(
            "{peer} sent nothing. If it is a library, name a poem with --poem NAME; if it is slow, give it more time \
             with --idle-timeout S."
        )),
        (FetchFailure::ConnectionLost { .. }, None) if bytes == 0 => {
            Some(format!("If {peer} is a proxy, its log has the reason."))
        }
        _ => None,
    }
}

/// A library that is not asked for a poem closes the connection after a while, which is an empty poem.
fn after_empty_poem(task: &Task, outcome: &Outcome) -> Option<String> {
    let is_empty = outcome.poem.as_ref().is_ok_and(String::is_empty);
    (is_empty && task.name.is_none()).then(|| {
        format!(
            "{} sent an empty poem. If it is a library, name a poem with --poem NAME.",
            task.address
        )
    })
}

/// Returns what to try after a proxy's fetch from `upstream` failed.
pub(crate) fn after_upstream(upstream: &str, failure: &FetchFailure) -> Option<String> {
    match failure {
        FetchFailure::ConnectionFailed { cause } if nothing_listens(cause) => Some(format!(
            "nothing listens there; to start a server: quatrain serve poem FILE --port {}",
            port(upstream)
        )),
        _ => None,
    }
}

fn to_start_a_server(peer: &str, start: &str) -> String {
    format!("Nothing listens on {peer}. To start a server there: {start}")
}

/// Returns whether a connection failed because no server listens.
fn nothing_listens(cause: &str) -> bool {
    let itself = FetchFailure::self_connected();
    let to_itself =
        matches!(&itself, FetchFailure::ConnectionFailed { cause: own } if own == cause);
    to_itself || cause.contains(Errno::ECONNREFUSED.desc())
}

fn port(peer: &str) -> &str {
    peer.rsplit(':').next().unwrap_or(peer)
}

/// Returns what to try after a load on `address`, a server of `role`, failed.
pub(crate) fn after_load(address: &Address, error: &LoadError, role: Role) -> Option<String> {
    let (what, argument, one_shot) = match role {
        Role::Transform { one_shot, .. } => ("transform", "", one_shot),
        Role::Library { one_shot } => ("library", " DIR", one_shot),
        Role::Poem => ("poem", " FILE", true),
    };
    let is_lab = matches!(role, Role::Transform { lab: true, .. });
    let lab = if is_lab { " --lab" } else { "" };
    let keep_alive = if one_shot { "" } else { " --keep-alive" };
    let start = format!(
        "quatrain serve {what}{argument}{lab}{keep_alive} --port {}",
        address.port
    );
    match error {
        LoadError::NoConnection(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Some(format!("nothing listens there; to start a server: {start}"))
        }
        LoadError::WrongByte { .. } if role == Role::Poem => {
            Some("is it the poem of --file?".to_owned())
        }
        LoadError::WrongByte { reply: 0, .. } | LoadError::Stalled { .. } => {
            Some(format!("is it a {what} server? to start one: {start}"))
        }
        LoadError::ClosedEarly { .. } | LoadError::Lost(_) if !one_shot => {
            let options = match is_lab {
                true => "--keep-alive and --lab",
                false => "--keep-alive",
            };
            Some(format!(
                "was it started with {options}? without --keep-alive, add --one-shot; to start one: {start}"
            ))
        }
        LoadError::ClosedEarly { .. } if is_lab => {
            Some(format!("was it started with --lab? to start one: {start}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn task(name: Option<&str>) -> Task {
        Task {
            address: Arc::new("localhost:7".parse().unwrap()),
            name: name.map(|name| name.parse().unwrap()),
            via: None,
        }
    }

    fn hint(name: Option<&str>, failure: &FetchFailure) -> Option<String> {
        after_poem(&task(name), failure, 0)
    }

    #[test]
    fn a_connection_to_itself_is_a_port_without_a_server() {
        let itself = FetchFailure::self_connected();
        let hint = |name| hint(name, &itself).unwrap();
        assert!(hint(None).ends_with("quatrain serve poem FILE --port 7"));
        assert!(hint(Some("star")).ends_with("quatrain serve library DIR --port 7"));
    }

    #[test]
    fn a_timeout_needs_no_hint_unless_a_library_may_wait_for_a_name() {
        assert_eq!(hint(None, &FetchFailure::connect_timed_out()), None);
        let idle = FetchFailure::TimedOut(Timeout::Idle);
        assert!(hint(None, &idle).is_some_and(|hint| hint.contains("--poem NAME")));
        assert_eq!(hint(Some("star"), &idle), None);
        assert_eq!(after_poem(&task(None), &idle, 1), None);
    }

    #[test]
    fn a_reset_before_the_first_byte_may_be_that_of_a_proxy() {
        let lost = FetchFailure::ConnectionLost {
            cause: "Connection reset by peer".to_owned(),
        };
        assert!(hint(None, &lost).is_some_and(|hint| hint.contains("a proxy, its log")));
        assert_eq!(hint(Some("star"), &lost), None);
        assert_eq!(after_poem(&task(None), &lost, 1), None);
    }
}
