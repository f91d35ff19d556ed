//! Instructions per request; without valgrind, the error that they are not available.

use measure::Plan;
use measure::instructions::{self, Instructions};

use crate::child::launch;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "instructions::a_request_is_counted_or_the_error_names_valgrind",
        counted,
    ),
    ("instructions::runs_of_equal_length_are_refused", flat),
];

/// Tests of optimised programs only: `cargo test --release -p quatrain-benches --test subjects`.
pub(crate) const OPTIMISED: &[(&str, fn())] = &[(
    "instructions::the_floor_takes_at_most_1150_a_request",
    the_floor,
)];

fn count(requests: (u64, u64), connections: usize) -> Result<Instructions, String> {
    let address = ([127, 0, 0, 1], 0).into();
    let plan = Plan {
        connections,
        ..Plan::new(address).unwrap()
    };
    let name = format!("quatrain-{}-{}.callgrind", std::process::id(), requests.0);
    let profile = std::env::temp_dir().join(name);
    let counted = instructions::count(
        &launch(&["floor", "--keep-alive"]),
        &plan,
        requests,
        &profile,
    );
    let _none = std::fs::remove_file(profile);
    counted
}

fn counted() {
    match count((20, 60), 4) {
        Ok(counted) => assert!(counted.per_request() > 600.0, "{counted:?}"),
        Err(error) => assert!(error.starts_with("cannot start valgrind"), "{error}"),
    }
}

fn flat() {
    assert!(count((5, 5), 4).is_err());
}

/// MEASURING 2: keep-alive, 600 bytes, 64 connections.
fn the_floor() {
    match count(instructions::REQUESTS, 64) {
        Ok(counted) => assert!(counted.per_request() <= 1_150.0, "{counted:?}"),
        Err(error) => assert!(error.starts_with("cannot start valgrind"), "{error}"),
    }
}
