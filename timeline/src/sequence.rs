//! Records as a sequence diagram in Mermaid's language: tasks of clients and servers, and what they sent each other. The two ends of
//! a socket are joined by its addresses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use poetry::event::{Event, Kind, Role};

use crate::record::Record;
use crate::words::{self, counted};

/// Messages of a diagram; more cannot be followed, and the rest is counted.
pub const MESSAGES_MAX: usize = 200;
/// Participants of a diagram; the messages of further ones are counted with the rest.
pub const PARTICIPANTS_MAX: usize = 16;

/// Renders records as a sequence diagram.
pub fn diagram(records: &[Record]) -> String {
    let mut diagram = Diagram::default();
    let mut events: Vec<(Duration, &Event)> = Vec::new();
    for record in records {
        let at = |event: &Event| record.header.origin + event.at;
        events.extend(record.events.iter().map(|event| (at(event), event)));
    }
    events.sort_by_key(|(at, _)| *at);
    let ends = Ends::of(events.iter().map(|(_, event)| *event));
    for (_, event) in events {
        diagram.add(event, &ends);
    }
    diagram.finish()
}

/// The two addresses of a socket, as one end sees them.
type Socket = (SocketAddr, SocketAddr);

/// Who is at which end of a socket.
#[derive(Default)]
struct Ends(HashMap<Socket, String>);

impl Ends {
    fn of<'e>(events: impl Iterator<Item = &'e Event>) -> Self {
        let ends = events.filter_map(|event| Some((socket(event)?, participant(event))));
        Self(ends.collect())
    }

    /// Returns who is at the other end of the socket of an event, and whether that end is recorded too.
    fn other(&self, event: &Event) -> Option<(String, bool)> {
        let peer = event.scene.peer?;
        let known = socket(event).and_then(|(local, peer)| self.0.get(&(peer, local)));
        Some(match known {
            Some(known) => (known.clone(), true),
            None => (peer.to_string(), false),
        })
    }
}

fn socket(event: &Event) -> Option<Socket> {
    Some((event.scene.local?, event.scene.peer?))
}

/// Returns who an event is of: each task of a client, and each server as a whole.
fn participant(event: &Event) -> String {
    match (event.role, event.scene.parent, event.scene.local) {
        (Role::TransformClient, Some(fetch), _) => format!("poem {fetch}"),
        (Role::PoemClient, ..) => format!("poem {}", event.scene.task),
        (role, _, Some(local)) => format!("{} {local}", words::role(role)),
        (role, ..) => words::role(role).to_owned(),
    }
}

#[derive(Default)]
struct Diagram {
    participants: Vec<String>,
    lines: Vec<Line>,
    left_out: usize,
}

enum Line {
    /// Bytes from one to another, in one or more pieces.
    Bytes {
        from: usize,
        to: usize,
        bytes: u64,
        pieces: u64,
    },
    Connects {
        from: usize,
        to: usize,
    },
    Note {
        over: usize,
        words: String,
    },
}

impl Diagram {
    fn add(&mut self, event: &Event, ends: &Ends) {
        let other = ends.other(event);
        match (&event.kind, other) {
            (Kind::Connected, Some((server, _))) => {
                if let Some((from, to)) = self.pair(&participant(event), &server) {
                    self.push(Line::Connects { from, to });
                }
            }
            (Kind::Read { bytes }, Some((sender, _))) => {
                self.bytes(&sender, &participant(event), *bytes)
            }
            // The reader's record shows it, if there is one.
            (Kind::Wrote { bytes }, Some((reader, false))) => {
                self.bytes(&participant(event), &reader, *bytes)
            }
            (Kind::Finished { .. } | Kind::Failed(_) | Kind::Refused(_) | Kind::Panicked(_), _) => {
                self.note(event)
            }
            _ => {}
        }
    }

    fn bytes(&mut self, from: &str, to: &str, bytes: u64) {
        let Some((from, to)) = self.pair(from, to) else {
            return;
        };
        if let Some(Line::Bytes {
            from: last_from,
            to: last_to,
            bytes: sum,
            pieces,
        }) = self.lines.last_mut()
            && (*last_from, *last_to) == (from, to)
        {
            *sum += bytes;
            *pieces += 1;
            return;
        }
        self.push(Line::Bytes {
            from,
            to,
            bytes,
            pieces: 1,
        });
    }

    fn note(&mut self, event: &Event) {
        let words = words::event(&event.kind).unwrap_or_default();
        let words = match event.role {
            Role::TransformClient => format!("transform {words}"),
            _ => words,
        };
        match self.participant(&participant(event)) {
            Some(over) => self.push(Line::Note { over, words }),
            None => self.left_out += 1,
        }
    }

    fn push(&mut self, line: Line) {
        match self.lines.len() < MESSAGES_MAX {
            true => self.lines.push(line),
            false => self.left_out += 1,
        }
    }

    fn pair(&mut self, from: &str, to: &str) -> Option<(usize, usize)> {
        let pair = self.participant(from).zip(self.participant(to));
        if pair.is_none() {
            self.left_out += 1;
        }
        pair
    }

    fn participant(&mut self, name: &str) -> Option<usize> {
        let known = self.participants.iter().position(|known| known == name);
        known.or_else(|| {
            (self.participants.len() < PARTICIPANTS_MAX).then(|| {
                self.participants.push(name.to_owned());
                self.participants.len() - 1
            })
        })
    }

    fn finish(self) -> String {
        let mut text = "sequenceDiagram\n".to_owned();
        for (index, name) in self.participants.iter().enumerate() {
            text += &format!("    participant p{index} as {}\n", escaped(name));
        }
        for line in &self.lines {
            text += &match line {
                Line::Connects { from, to } => format!("    p{from}->>p{to}: connects\n"),
                Line::Bytes {
                    from,
                    to,
                    bytes,
                    pieces,
                } => {
                    let pieces = match pieces {
                        1 => String::new(),
                        _ => format!(" in {pieces} pieces"),
                    };
                    format!(
                        "    p{from}-->>p{to}: {}{pieces}\n",
                        counted(*bytes, "byte")
                    )
                }
                Line::Note { over, words } => {
                    format!("    Note over p{over}: {}\n", escaped(words))
                }
            };
        }
        if self.left_out > 0 {
            text += &format!(
                "    %% {} left out\n",
                counted(self.left_out as u64, "further message")
            );
        }
        text
    }
}

/// Escapes text for Mermaid, in which a semicolon ends a line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '#' => escaped += "#35;",
            ';' => escaped += "#59;",
            control if control.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

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
}
