//! What to try when a fetch or a load fails: one line for the commonest mistakes.

use std::io;

use measure::load::LoadError;
use nix::errno::Errno;
use poetry::{FetchFailure, FetchRequest, Outcome};

use crate::args::Address;

/// Returns what to try after the first failure of `outcomes` for which there is advice.
pub(crate) fn after_fetch(requests: &[FetchRequest], outcomes: &[Outcome]) -> Option<String> {
    requests
        .iter()
        .zip(outcomes)
        .find_map(|(request, outcome)| {
            let errors = outcome.poem.as_ref().err().into_iter();
            let mut errors = errors.chain(&outcome.transform_failure);
            errors.find_map(|error| {
                let via = request.via.as_ref().map(|via| via.peer.name());
                let is_transform = via == Some(&error.peer) && error.peer != request.peer.name();
                hint(&error.peer, &error.failure, is_transform)
            })
        })
}

fn hint(peer: &str, failure: &FetchFailure, is_transform: bool) -> Option<String> {
    let start = match is_transform {
        true => format!("quatrain serve transform --port {}", port(peer)),
        false => format!("quatrain serve poem FILE --port {}", port(peer)),
    };
    match failure {
        FetchFailure::ConnectionFailed { cause } if nothing_listens(cause) => Some(format!(
            "Nothing listens on {peer}. To start a server there: {start}"
        )),
        FetchFailure::Garbled(_) => Some(format!(
            "{peer} does not seem to be a transform server. To start one: {start}"
        )),
        _ => None,
    }
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

/// Returns what to try after a load on `address` failed.
pub(crate) fn after_load(address: &Address, error: &LoadError, one_shot: bool) -> Option<String> {
    let keep_alive = if one_shot { "" } else { " --keep-alive" };
    let start = format!(
        "quatrain serve transform{keep_alive} --port {}",
        address.port
    );
    match error {
        LoadError::NoConnection(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Some(format!("nothing listens there; to start a server: {start}"))
        }
        LoadError::WrongByte { reply: 0, .. } | LoadError::Stalled { .. } => {
            Some(format!("is it a transform server? to start one: {start}"))
        }
        LoadError::ClosedEarly { .. } | LoadError::Lost(_) if !one_shot => Some(format!(
            "was it started with --keep-alive? if not, add --one-shot; to start one: {start}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_itself_is_a_port_without_a_server() {
        let hint = hint("localhost:7", &FetchFailure::self_connected(), false).unwrap();
        assert!(
            hint.ends_with("quatrain serve poem FILE --port 7"),
            "{hint}"
        );
    }

    #[test]
    fn a_timeout_needs_no_hint() {
        assert_eq!(
            hint("localhost:7", &FetchFailure::connect_timed_out(), false),
            None
        );
    }
}
