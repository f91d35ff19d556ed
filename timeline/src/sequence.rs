//! Records as a sequence diagram: tasks of clients and servers, and what they sent each other. The two ends of a socket are joined
//! by its addresses. It is written in Mermaid's language, or drawn.

mod drawing;

use std::borrow::Cow;
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

/// Renders records as a sequence diagram in Mermaid's language.
pub fn diagram(records: &[Record]) -> String {
    Diagram::of(records).finish()
}

/// Draws records as a sequence diagram, in a file of its own.
pub fn svg(records: &[Record], title: &str) -> String {
    drawing::draw(&Diagram::of(records), title)
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
    /// With the time since the first event.
    lines: Vec<(Duration, Line)>,
    left_out: usize,
    /// The time of the event that is being added.
    now: Duration,
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
    fn of(records: &[Record]) -> Self {
        let mut diagram = Self::default();
        let mut events: Vec<(Duration, &Event)> = Vec::new();
        for record in records {
            let at = |event: &Event| record.header.origin + event.at;
            events.extend(record.events.iter().map(|event| (at(event), event)));
        }
        events.sort_by_key(|(at, _)| *at);
        let first = events.first().map_or(Duration::ZERO, |(at, _)| *at);
        let ends = Ends::of(events.iter().map(|(_, event)| *event));
        for (at, event) in events {
            diagram.now = at - first;
            diagram.add(event, &ends);
        }
        diagram
    }

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
        if let Some((
            _,
            Line::Bytes {
                from: last_from,
                to: last_to,
                bytes: sum,
                pieces,
            },
        )) = self.lines.last_mut()
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
            true => self.lines.push((self.now, line)),
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
        for (_, line) in &self.lines {
            let words = escaped(&line.words());
            text += &match line {
                Line::Connects { from, to } => format!("    p{from}->>p{to}: {words}\n"),
                Line::Bytes { from, to, .. } => format!("    p{from}-->>p{to}: {words}\n"),
                Line::Note { over, .. } => format!("    Note over p{over}: {words}\n"),
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

impl Line {
    fn words(&self) -> Cow<'_, str> {
        match self {
            Self::Connects { .. } => "connects".into(),
            Self::Bytes { bytes, pieces, .. } => {
                let pieces = match pieces {
                    1 => String::new(),
                    _ => format!(" in {pieces} pieces"),
                };
                (counted(*bytes, "byte") + &pieces).into()
            }
            Self::Note { words, .. } => words.into(),
        }
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
mod tests;
