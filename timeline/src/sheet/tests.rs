//! Spans, threads and programs of small records.

use std::borrow::Cow;

use poetry::event::{Event, Scene};

use super::*;
use crate::record::Header;

fn event(millis: u64, role: Role, worker: u32, task: u64, kind: Kind) -> Event {
    Event {
        at: Duration::from_millis(millis),
        model: Cow::Borrowed("callbacks"),
        role,
        scene: Scene {
            worker,
            task,
            ..Scene::default()
        },
        kind,
    }
}

fn fetch(millis: u64, task: u64, kind: Kind) -> Event {
    event(millis, Role::PoemClient, 0, task, kind)
}

fn record(events: Vec<Event>) -> Record {
    Record {
        header: Header {
            record: 1,
            program: "a test".to_owned(),
            pid: 1,
            origin: Duration::from_secs(100),
        },
        events,
        dropped: Some(0),
    }
}

fn millis(spans: &[Span]) -> Vec<(u128, u128, bool)> {
    let of = |span: &Span| (span.from.as_millis(), span.to.as_millis(), span.is_work());
    spans.iter().map(of).collect()
}

#[test]
fn work_and_waits_follow_each_other_up_to_the_end_of_the_task() {
    let sheet = Sheet::of(&[record(vec![
        fetch(10, 0, Kind::Running),
        fetch(12, 0, Kind::Waiting(Wait::Read)),
        fetch(30, 0, Kind::Running),
        fetch(31, 0, Kind::Finished { bytes: 1 }),
        fetch(40, 0, Kind::Connecting),
    ])]);
    assert_eq!(sheet.length, Duration::from_millis(30));
    let task = &sheet.programs[0].threads[0].tasks[0];
    assert_eq!(
        millis(&task.spans),
        [(0, 2, true), (2, 20, false), (20, 21, true)]
    );
    assert_eq!(task.marks.len(), 2);
}

#[test]
fn two_tasks_of_one_thread_are_two_rows_and_its_work_is_added() {
    let sheet = Sheet::of(&[record(vec![
        fetch(0, 0, Kind::Running),
        fetch(2, 0, Kind::Waiting(Wait::Read)),
        fetch(2, 1, Kind::Running),
        fetch(5, 1, Kind::Waiting(Wait::Read)),
        fetch(9, 0, Kind::Failed(poetry::FetchFailure::Cancelled)),
        fetch(9, 1, Kind::Finished { bytes: 0 }),
    ])]);
    let program = &sheet.programs[0];
    assert_eq!((program.threads.len(), program.tasks()), (1, 2));
    assert_eq!(program.busy(), Duration::from_millis(5));
    assert_eq!(program.most_at_once(), 2);
    let (task, turn) = program.threads[0].longest_turn().unwrap();
    assert_eq!((task.number, turn.length()), (1, Duration::from_millis(3)));
}

#[test]
fn a_task_that_another_thread_goes_on_with_has_a_row_in_both() {
    let sheet = Sheet::of(&[record(vec![
        event(0, Role::Proxy, 0, 4, Kind::Running),
        event(3, Role::Proxy, 0, 4, Kind::Waiting(Wait::Task)),
        event(8, Role::Proxy, 1, 4, Kind::Running),
        event(9, Role::Proxy, 1, 4, Kind::Waiting(Wait::Write)),
        event(20, Role::Proxy, 1, 4, Kind::Finished { bytes: 0 }),
    ])]);
    let threads = &sheet.programs[0].threads;
    assert_eq!(
        millis(&threads[0].tasks[0].spans),
        [(0, 3, true), (3, 8, false)]
    );
    assert_eq!(
        millis(&threads[1].tasks[0].spans),
        [(8, 9, true), (9, 20, false)]
    );
    assert_eq!(sheet.programs[0].tasks(), 1);
}

#[test]
fn a_transform_is_shown_in_the_task_of_its_fetch() {
    let transform = Event {
        scene: Scene {
            task: 0,
            parent: Some(7),
            ..Scene::default()
        },
        ..event(5, Role::TransformClient, 0, 0, Kind::Connected)
    };
    let sheet = Sheet::of(&[record(vec![fetch(1, 7, Kind::Connecting), transform])]);
    assert_eq!(sheet.programs.len(), 1);
    let task = &sheet.programs[0].threads[0].tasks[0];
    assert_eq!((task.number, task.marks.len()), (7, 2));
}

#[test]
fn records_of_two_processes_share_the_axis_of_the_wall_clock() {
    let client = record(vec![fetch(0, 0, Kind::Connecting)]);
    let mut server = record(vec![event(1, Role::PoemServer, 0, 0, Kind::Accepted)]);
    server.header.origin += Duration::from_millis(20);
    server.dropped = None;
    let sheet = Sheet::of(&[server, client]);
    assert_eq!(sheet.origin, Duration::from_secs(100));
    assert_eq!(sheet.length, Duration::from_millis(21));
    assert_eq!(
        sheet.programs[0].threads[0].tasks[0].marks[0].at,
        Duration::from_millis(21)
    );
    assert_eq!((sheet.dropped, sheet.cut), (0, true));
}

#[test]
fn an_empty_record_is_an_empty_sheet() {
    let sheet = Sheet::of(&[record(Vec::new())]);
    assert!(sheet.programs.is_empty());
    assert_eq!(sheet.length, Duration::ZERO);
}

#[test]
fn a_record_without_events_still_says_what_it_lacks() {
    let (mut full, mut cut) = (record(Vec::new()), record(Vec::new()));
    (full.dropped, cut.dropped) = (Some(3), None);
    let sheet = Sheet::of(&[full, cut]);
    assert_eq!((sheet.dropped, sheet.cut), (3, true));
}
