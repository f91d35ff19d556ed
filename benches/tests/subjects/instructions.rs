//! Instructions per request; without valgrind, the error that they are not available.

use measure::instructions::{self, Options};
use measure::{Plan, Subject};

use crate::child::subject;

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

fn options(few: u64, many: u64) -> Options {
    let address = ([127, 0, 0, 1], 0).into();
    Options {
        few,
        many,
        plan: Plan {
            connections: 4,
            ..Plan::new(address).unwrap()
        },
    }
}

fn count(subject: &Subject) -> Result<instructions::Instructions, String> {
    instructions::count(subject, &options(20, 60))
}

fn counted() {
    match count(&subject("floor", &["floor", "keep-alive"])) {
        Ok(counted) => assert!(counted.per_request() > 600.0, "{counted:?}"),
        Err(error) => assert!(error.starts_with("cannot start valgrind"), "{error}"),
    }
}

fn flat() {
    let floor = subject("floor", &["floor", "keep-alive"]);
    assert!(instructions::count(&floor, &options(5, 5)).is_err());
}

/// MEASURING 2: keep-alive, 600 bytes, 64 connections.
fn the_floor() {
    let floor = subject("floor", &["floor", "keep-alive"]);
    let plan = Plan::new(([127, 0, 0, 1], 0).into()).unwrap();
    match instructions::count(&floor, &Options::new(plan)) {
        Ok(counted) => assert!(counted.per_request() <= 1_150.0, "{counted:?}"),
        Err(error) => assert!(error.starts_with("cannot start valgrind"), "{error}"),
    }
}
