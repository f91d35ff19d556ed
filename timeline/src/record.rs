//! The format of a record: a header, an event a line, and a last line that says what is missing.
//!
//! ```text
//! {"record":1,"program":"quatrain fetch 10001","pid":4711,"origin":{"secs":1764316800,"nanos":0}}
//! {"at":{"secs":0,"nanos":81000},"model":"callbacks","role":"poem_client","scene":{…},"kind":"connecting"}
//! {"events":1,"dropped":0}
//! ```

use std::io::{self, BufRead};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use poetry::Event;
use serde::{Deserialize, Serialize};

/// The version of the format. Readers refuse others.
pub const VERSION: u32 = 1;

/// The first line of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format, [`VERSION`].
    pub record: u32,
    /// The program in words, such as its command line.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// The origin of its clock, since 1970 (UTC): records of one machine are put on one axis by it.
    pub origin: Duration,
}

impl Header {
    /// Describes this process. The clock that stamps its events must read zero about now.
    pub fn new(program: impl Into<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            record: VERSION,
            program: program.into(),
            pid: std::process::id(),
            origin: now.unwrap_or_default(),
        }
    }

    /// Describes this process, whose clock reads `elapsed` now.
    #[must_use]
    pub fn with_clock_at(self, elapsed: Duration) -> Self {
        Self {
            origin: self.origin.saturating_sub(elapsed),
            ..self
        }
    }
}

/// The last line of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The events in the record.
    pub events: u64,
    /// The events that are missing, because they came faster than they could be written, or beyond the bound of the file.
    pub dropped: u64,
}

/// The events of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What it is a record of.
    pub header: Header,
    /// The events, in the order in which they were recorded: by time within a worker.
    pub events: Vec<Event>,
    /// The events that are missing; `None` if the record was cut before it said so.
    pub dropped: Option<u64>,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The file is empty.
    #[error("it is empty: its program wrote nothing yet")]
    Empty,
    /// The first line is not a header of this version.
    #[error("line 1 is not the header of a record: {0}")]
    Header(serde_json::Error),
    /// The record has another version.
    #[error("it has version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// A line is neither an event nor the end.
    #[error("line {line} is not an event: {cause}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// Something follows the last line.
    #[error("line {0} follows the end of the record")]
    AfterEnd(usize),
}

impl Record {
    /// Reads a record. A last line that is cut, because the program was killed, is left out, and [`dropped`](Self::dropped) is
    /// then `None`.
    ///
    /// # Errors
    /// Returns what is wrong, with the number of the line.
    pub fn read(mut from: impl BufRead) -> Result<Self, RecordError> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(RecordError::Empty);
        }
        let header = header(&line)?;
        let (mut events, mut dropped) = (Vec::new(), None);
        for number in 2.. {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                break;
            }
            if dropped.is_some() {
                return Err(RecordError::AfterEnd(number));
            }
            match serde_json::from_str::<Event>(&line) {
                Ok(event) => events.push(event),
                Err(cause) => match serde_json::from_str::<End>(&line) {
                    Ok(end) => dropped = Some(end.dropped),
                    Err(_) if !line.ends_with('\n') => break,
                    Err(_) => {
                        return Err(RecordError::Line {
                            line: number,
                            cause,
                        });
                    }
                },
            }
        }
        Ok(Self {
            header,
            events,
            dropped,
        })
    }
}

fn header(line: &str) -> Result<Header, RecordError> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Versioned {
        record: u32,
    }
    match serde_json::from_str(line) {
        Ok(Versioned { record }) if record != VERSION => Err(RecordError::Version(record)),
        _ => serde_json::from_str(line).map_err(RecordError::Header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"{"record":1,"program":"quatrain","pid":1,"origin":{"secs":5,"nanos":0}}"#;
    const EVENT: &str = r#"{"at":{"secs":0,"nanos":7},"model":"actors","role":"proxy","scene":{"worker":0,"task":1,"parent":null,"local":null,"peer":null},"kind":{"waiting":"read"}}"#;

    fn read(lines: &[&str]) -> Result<Record, RecordError> {
        Record::read(lines.join("\n").as_bytes())
    }

    #[test]
    fn reads_a_header_events_and_an_end() {
        let record = read(&[HEADER, EVENT, r#"{"events":1,"dropped":3}"#]).unwrap();
        assert_eq!(record.header.origin, Duration::from_secs(5));
        assert_eq!((record.events.len(), record.dropped), (1, Some(3)));
        let line = serde_json::to_string(&record.events[0]).unwrap();
        assert_eq!(line, EVENT);
    }

    #[test]
    fn a_record_that_was_cut_within_a_line_keeps_the_lines_before() {
        let record = read(&[HEADER, EVENT, &EVENT[..40]]).unwrap();
        assert_eq!((record.events.len(), record.dropped), (1, None));
    }

    #[test]
    fn errors_name_the_line_and_the_version() {
        let message = |lines: &[&str]| read(lines).unwrap_err().to_string();
        assert!(message(&[HEADER, EVENT, "{}", EVENT]).starts_with("line 3 is not an event"));
        assert!(message(&["poem"]).starts_with("line 1 is not the header"));
        let later = HEADER.replace("\"record\":1", "\"record\":2");
        assert!(message(&[&later]).starts_with("it has version 2"));
        assert_eq!(
            message(&[HEADER, r#"{"events":0,"dropped":0}"#, EVENT]),
            "line 3 follows the end of the record"
        );
        assert!(matches!(read(&[]), Err(RecordError::Empty)));
    }
}
