//! The equation of the counters, and what each of them counts.

use super::*;
use std::thread;

#[test]
fn s23_the_equation_holds_and_each_reason_has_its_own_count() {
    let workers = [Counters::default(), Counters::default()];
    for worker in &workers {
        for _ in 0..3 {
            worker.accepted();
        }
        worker.closed(CloseReason::Deadline);
        worker.requests(4);
        worker.answered(1);
        worker.refused(&Refusal::NoDot);
        worker.failed(1);
        worker.read(10);
        worker.wrote(7);
    }
    let counts = Counts::of(workers.iter());
    assert_eq!(
        (
            counts.accepted,
            counts.open,
            counts.closed.deadline,
            counts.closed.total()
        ),
        (6, 4, 2, 2)
    );
    assert_eq!(
        (counts.requests, counts.in_flight, counts.refused.no_dot),
        (8, 2, 2)
    );
    assert_eq!((counts.bytes_in, counts.bytes_out), (20, 14));
    assert_eq!(counts.check(), Ok(()));
}

#[test]
fn s23_the_equation_holds_at_every_instant_while_workers_count() {
    const CONNECTIONS: u64 = 20_000;
    let workers = [Counters::default(), Counters::default()];
    thread::scope(|scope| {
        for worker in &workers {
            scope.spawn(|| {
                for _ in 0..CONNECTIONS {
                    worker.accepted();
                    worker.requests(2);
                    worker.answered(2);
                    worker.closed(CloseReason::Done);
                }
            });
        }
        loop {
            let counts = Counts::of(workers.iter());
            assert_eq!(counts.check(), Ok(()));
            if counts.closed.done == 2 * CONNECTIONS {
                break;
            }
        }
    });
}

#[test]
fn reports_counts_that_do_not_add_up() {
    let counts = Counts {
        accepted: 2,
        open: 1,
        ..Counts::default()
    };
    assert_eq!(
        counts.check(),
        Err("accepted 2 ≠ open 1 + closed 0".to_owned())
    );
    let counts = Counts {
        requests: 2,
        answered: 1,
        ..Counts::default()
    };
    assert!(counts.check().unwrap_err().starts_with("requests 2"));
}

#[test]
fn counts_each_refusal_under_its_reason() {
    let json = serde_json::to_value(Refused::default()).unwrap();
    let mut words: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut reasons = Refusal::REASONS.to_vec();
    words.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(words, reasons);
    let numbered = serde_json::to_value(Refused::read(|index| index as u64)).unwrap();
    for (index, reason) in Refusal::REASONS.iter().enumerate() {
        assert_eq!(numbered[reason], index, "{reason}");
    }
}

#[test]
fn counts_of_a_program_with_fewer_reasons_can_be_read() {
    let line = r#"{"accepted":1,"open":0,"closed":{"done":1},"requests":1,"answered":1,"refused":{},
        "failed":0,"in_flight":0,"bytes_in":2,"bytes_out":3}"#;
    let counts: Counts = serde_json::from_str(line).unwrap();
    assert_eq!((counts.closed.done, counts.closed.left), (1, 0));
    assert_eq!(counts.check(), Ok(()));
}
