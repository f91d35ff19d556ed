//! Client commands with many slow poems: every byte of their output is compared.

use std::num::NonZeroUsize;
use std::time::Duration;

use measure::poems::{self, ADDRESSES, Options, Outcome};
use measure::{Subject, report};
use poetry::{Pace, Poem};

use crate::child::subject;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("poems::a_client_is_timed_relative_to_the_ideal", is_timed),
    ("poems::s11_a_client_that_fails_voids_its_row", fails),
    ("poems::a_client_with_wrong_output_voids_its_row", prints),
];

fn measure(subject: Subject) -> Outcome {
    let options = Options {
        poems: 3,
        poem: Poem::from("a slow\npoem\n"),
        pace: Pace::Slow {
            num_bytes: NonZeroUsize::new(4).unwrap(),
            delay: Duration::from_millis(10),
        },
        rounds: 1,
        ..Options::new(vec![subject])
    };
    assert_eq!(options.ideal(), Duration::from_millis(30));
    poems::run(&options, &mut |_| {}).unwrap()
}

fn client(role: &str) -> Subject {
    subject(role, &[role, ADDRESSES])
}

fn is_timed() {
    let outcome = measure(client("fetches"));
    let row = &outcome.rows[0];
    assert_eq!(row.void, None);
    // The server is never early.
    assert!(row.fetching_to_ideal >= Some(1.0) && row.to_ideal > row.fetching_to_ideal);
    assert!(row.accepted_seconds > Some(0.0) && row.cpu_seconds.is_some());
    let table = report::poems(&outcome);
    assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
    let text = table.to_string();
    assert!(text.contains("3 slow poems at once"), "{text}");
}

fn fails() {
    let void = measure(client("fails")).rows[0].void.clone();
    assert_eq!(void.as_deref(), Some("it ended with exit status: 1"));
}

fn prints() {
    let void = measure(client("shouts")).rows[0].void.clone();
    assert_eq!(void.as_deref(), Some("poem 0 is wrong"));
    let void = measure(client("is-mute")).rows[0].void.clone();
    let expected = "it printed 0 bytes, not the 36 of the poems";
    assert_eq!(void.as_deref(), Some(expected));
}
