//! What is drawn of small sheets.

use std::borrow::Cow;

use poetry::CloseReason;
use poetry::event::{Event, Role, Scene};

use super::*;
use crate::record::{Header, Record};

fn sheet(tasks: u64, turns: u64) -> Sheet {
    let mut events = Vec::new();
    let event = |micros, task, kind| Event {
        at: Duration::from_micros(micros),
        model: Cow::Borrowed("<callbacks>"),
        role: Role::PoemClient,
        scene: Scene {
            task,
            ..Scene::default()
        },
        kind,
    };
    for turn in 0..turns {
        for task in 0..tasks {
            let at = (turn * tasks + task) * 10;
            events.push(event(at, task, Kind::Running));
            events.push(event(at + 4, task, Kind::Waiting(Wait::Read)));
        }
    }
    let end = turns * tasks * 10;
    events.extend((0..tasks).map(|task| event(end, task, Kind::Finished { bytes: 1 })));
    Sheet::of(&[Record {
        header: Header::new("a test"),
        events,
        dropped: Some(0),
    }])
}

/// A sheet of a server's connections, each with how it was closed.
fn connections(reasons: &[CloseReason]) -> Sheet {
    let events = reasons.iter().zip(0..).flat_map(|(&reason, task)| {
        [
            (0, Kind::Running),
            (3, Kind::Waiting(Wait::Pace)),
            (9, Kind::Closed(reason)),
        ]
        .map(|(at, kind)| Event {
            at: Duration::from_millis(at),
            model: Cow::Borrowed("actors"),
            role: Role::PoemServer,
            scene: Scene {
                task,
                ..Scene::default()
            },
            kind,
        })
    });
    Sheet::of(&[Record {
        header: Header::new("a test"),
        events: events.collect(),
        dropped: Some(0),
    }])
}

fn count(drawn: &str, what: &str) -> usize {
    drawn.matches(what).count()
}

#[test]
fn a_thread_with_several_tasks_has_a_strip_and_a_row_for_each() {
    let drawn = svg(&sheet(3, 5), "Three tasks");
    assert_eq!(count(&drawn, "class=\"idle\""), 1);
    assert_eq!(count(&drawn, "class=\"task\""), 3);
    // Every block is drawn in the strip and in the row of its task.
    assert_eq!(count(&drawn, " height=\"12\""), 2 * 15);
    assert_eq!(ends(&drawn), (3, 0));
}

/// The dots and crosses of a drawing, without its key.
fn ends(drawn: &str) -> (usize, usize) {
    let (drawn, _) = drawn.split_once("class=\"key\"").expect("a key");
    (
        count(drawn, "class=\"end\""),
        count(drawn, "class=\"fail\""),
    )
}

#[test]
fn an_end_that_is_not_good_is_a_cross_with_its_cause() {
    use CloseReason::{Cut, Done, Reset};
    let drawn = svg(&connections(&[Done, Reset, Cut]), "x");
    assert_eq!(ends(&drawn), (1, 2));
    // There is no room to the right of an end at the edge.
    assert!(
        drawn.contains("text-anchor=\"end\">reset by its peer<"),
        "{drawn}"
    );
    assert!(drawn.contains("text-anchor=\"end\">cut<"), "{drawn}");
}

#[test]
fn the_key_has_what_occurs_and_nothing_else() {
    let words = |drawn: &str| {
        let (_, key) = drawn.split_once("class=\"key\"").expect("a key");
        [
            "waits for bytes",
            "waits for the time of its next piece",
            "ended well",
            "failed",
        ]
        .map(|words| key.contains(words))
    };
    let drawn = svg(&sheet(2, 2), "x");
    assert_eq!(words(&drawn), [true, false, true, false], "{drawn}");
    let drawn = svg(&connections(&[CloseReason::Cut]), "x");
    assert_eq!(words(&drawn), [false, true, false, true], "{drawn}");
    // A page explains its marks at its head.
    let page = crate::page(&sheet(2, 2), "x");
    assert!(!page.contains("class=\"key\""));
}

#[test]
fn a_drawing_stays_small_however_many_turns_there_are() {
    let (few, many) = (
        svg(&sheet(2, 2_000), "x").len(),
        svg(&sheet(2, 20_000), "x").len(),
    );
    assert!(many < few * 11 / 10, "{few} {many}");
}

#[test]
fn rows_beyond_the_bound_are_counted() {
    let drawn = svg(&sheet(ROWS_MAX as u64 + 5, 1), "x");
    assert_eq!(count(&drawn, "class=\"task\""), ROWS_MAX);
    assert!(drawn.contains("and 5 further poems"), "{drawn}");
}

#[test]
fn names_are_escaped() {
    let drawn = svg(&sheet(1, 1), "a < b");
    assert!(drawn.contains("&lt;callbacks&gt;") && drawn.contains("a &lt; b"));
}

#[test]
fn ticks_are_round_and_within_the_sheet() {
    let scale = Scale { length: 4.2 };
    let ticks: Vec<f64> = scale.ticks().iter().map(Duration::as_secs_f64).collect();
    assert_eq!(ticks, [0.0, 1.0, 2.0, 3.0, 4.0]);
}
