//! Sequence diagrams of few events.

use std::borrow::Cow;

use poetry::FetchFailure;
use poetry::event::Scene;

use super::*;
use crate::record::Header;

const SERVER: u16 = 10_001;
const CLIENT: u16 = 40_000;

fn event(millis: u64, role: Role, ports: (u16, u16), kind: Kind) -> Event {
    let address = |port| Some(([127, 0, 0, 1], port).into());
    Event {
        at: Duration::from_millis(millis),
        model: Cow::Borrowed("streams"),
        role,
        scene: Scene {
            local: address(ports.0),
            peer: address(ports.1),
            ..Scene::default()
        },
        kind,
    }
}

fn client(millis: u64, kind: Kind) -> Event {
    event(millis, Role::PoemClient, (CLIENT, SERVER), kind)
}

fn server(millis: u64, kind: Kind) -> Event {
    event(millis, Role::PoemServer, (SERVER, CLIENT), kind)
}

fn record(events: Vec<Event>) -> Record {
    Record {
        header: Header {
            origin: Duration::ZERO,
            ..Header::new("a test")
        },
        events,
        dropped: Some(0),
    }
}

#[test]
fn the_two_ends_of_a_socket_are_joined() {
    let clients = record(vec![
        client(1, Kind::Connected),
        client(4, Kind::Read { bytes: 10 }),
        client(6, Kind::Read { bytes: 4 }),
        client(7, Kind::Finished { bytes: 14 }),
    ]);
    let servers = record(vec![
        server(2, Kind::Accepted),
        server(3, Kind::Wrote { bytes: 10 }),
        server(5, Kind::Wrote { bytes: 4 }),
    ]);
    assert_eq!(
        diagram(&[clients, servers]),
        "sequenceDiagram\n    \
         participant p0 as poem 0\n    \
         participant p1 as poem server 127.0.0.1:10001\n    \
         p0->>p1: connects\n    \
         p1-->>p0: 14 bytes in 2 pieces\n    \
         Note over p0: finished, 14 bytes\n"
    );
}

#[test]
fn a_server_alone_shows_what_it_wrote() {
    let text = diagram(&[record(vec![server(3, Kind::Wrote { bytes: 10 })])]);
    assert!(text.contains("p0-->>p1: 10 bytes"), "{text}");
    assert!(text.contains("participant p1 as 127.0.0.1:40000"), "{text}");
}

#[test]
fn messages_beyond_the_bound_are_counted() {
    let events = (0..=MESSAGES_MAX as u64).map(|at| client(at, Kind::Connected));
    let text = diagram(&[record(events.collect())]);
    assert!(text.ends_with("%% 1 further message left out\n"), "{text}");
}

#[test]
fn messages_of_participants_beyond_the_bound_are_counted() {
    let finished = |task| {
        let mut event = client(task, Kind::Finished { bytes: 1 });
        event.scene.task = task;
        event
    };
    let events = (0..PARTICIPANTS_MAX as u64 + 2).map(finished);
    let text = diagram(&[record(events.collect())]);
    assert_eq!(text.matches("participant ").count(), PARTICIPANTS_MAX);
    assert!(text.ends_with("%% 2 further messages left out\n"), "{text}");
}

#[test]
fn text_cannot_end_a_line() {
    assert_eq!(escaped("a; b\n#"), "a#59; b #35;");
}

#[test]
fn a_drawing_has_a_column_for_each_participant_and_a_line_for_each_message() {
    let cause = "<the network>".to_owned();
    let clients = record(vec![
        client(1, Kind::Connected),
        client(4, Kind::Read { bytes: 10 }),
        client(6, Kind::Read { bytes: 4 }),
        client(7, Kind::Failed(FetchFailure::ConnectionLost { cause })),
    ]);
    let drawn = svg(&[clients], "a < b");
    let count = |what: &str| drawn.matches(what).count();
    assert_eq!(count("class=\"life\""), 2, "{drawn}");
    assert_eq!(count("url(#connects)"), 1, "{drawn}");
    assert_eq!(count("url(#bytes)"), 1, "{drawn}");
    assert!(drawn.contains("14 bytes in 2 pieces"), "{drawn}");
    // The times are those since the first event, and the note's words are in two lines.
    assert!(
        drawn.contains(">3.00 ms<") && drawn.contains(">6.00 ms<"),
        "{drawn}"
    );
    assert!(drawn.contains(">failed: connection lost:<"), "{drawn}");
    assert!(drawn.contains(">&lt;the network&gt;<"), "{drawn}");
    assert!(drawn.contains("a &lt; b"), "{drawn}");
}

#[test]
fn a_drawing_of_many_participants_is_wider_and_says_what_it_leaves_out() {
    let finished = |task| {
        let mut event = client(task, Kind::Finished { bytes: 1 });
        event.scene.task = task;
        event
    };
    let drawn = svg(&[record((0..3).map(finished).collect())], "x");
    assert!(drawn.contains("viewBox=\"0 0 960 "), "{drawn}");
    let events = (0..PARTICIPANTS_MAX as u64 + 2).map(finished);
    let drawn = svg(&[record(events.collect())], "x");
    assert!(drawn.contains("viewBox=\"0 0 2624 "), "{drawn}");
    assert!(drawn.contains("and 2 further messages"), "{drawn}");
}
