//! The program under test: the templates of its two commands, and how long a case waits for it.

use std::time::Duration;

use crate::WAIT_MAX;

/// A program, run as a command.
///
/// Both templates are lists of words, some of which are placeholders.
///
/// | placeholder | is replaced by |
/// |---|---|
/// | `{mode}` | `poem FILE --fast`, `transform --keep-alive`, `library FOLDER --keep-alive`, `proxy HOST:PORT`, … |
/// | `{listen}` | `--port N` if the case chooses the port; else nothing |
/// | `{limits}` | `--idle-timeout S` and so on, for the limits that differ from the defaults |
/// | `{threads}` | `--threads N` if the case sets it; else nothing |
/// | `{stats}` | `--stats FILE`; SIGUSR1 appends a line of counts to it |
/// | `{grace}` | `--grace S` |
/// | `{log}` | `--log LEVEL` if the case sets it; else nothing |
/// | `{fetch}` | of the client: its options and the addresses |
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) name: String,
    pub(super) serve: Vec<String>,
    pub(super) fetch: Vec<String>,
    pub(super) patience: Duration,
}

impl Program {
    /// Creates a program called `name` whose servers are started by `serve`, and which has no client.
    pub fn new(name: &str, serve: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            serve,
            fetch: Vec::new(),
            patience: WAIT_MAX,
        }
    }

    /// Adds the client that `fetch` starts.
    #[must_use]
    pub fn with_client(self, fetch: Vec<String>) -> Self {
        Self { fetch, ..self }
    }

    /// Changes how long a case waits for an event, for programs that are expected to fail.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Returns the name for reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how long a case waits for an event before it fails.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Returns whether SIGTERM stops its servers in order, rather than at once.
    pub(super) fn stops_in_order(&self) -> bool {
        self.serve.iter().any(|word| word == "{grace}")
    }

    pub(super) fn counts(&self) -> bool {
        self.serve.iter().any(|word| word == "{stats}")
    }
}
