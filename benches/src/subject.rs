//! What is measured: a name, and the command that starts it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::Launch;

/// In an argument: the file that the server is to leave its counts in.
const STATS: &str = "{stats}";

/// A server that can be started by a command.
///
/// The command prints `Serving … on HOST:PORT with …` when it accepts connections, and ends on SIGTERM. Where one of
/// its arguments contains `{stats}`, the name of a file stands in its place when it is started, and its last counts
/// (S23) are expected there; a subject without is measured by the client's ledger only (MEASURING 12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What reports call it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Subject {
    /// A subject called `name`.
    pub fn new<A: Into<String>>(
        name: impl Into<String>,
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether it leaves its counts.
    pub fn counts(&self) -> bool {
        self.args.iter().any(|arg| arg.contains(STATS))
    }

    /// How to start it on `core`, with its counts in `stats` if it leaves them.
    pub fn launch(&self, core: Option<usize>, stats: &Path) -> Launch {
        let file = stats.display().to_string();
        let args = self.args.iter().map(|arg| arg.replace(STATS, &file));
        Launch {
            core,
            stats: self.counts().then(|| stats.to_owned()),
            ..Launch::new(&self.program, args)
        }
    }
}

/// What `subjects` are called, in order.
pub(crate) fn names(subjects: &[Subject]) -> Vec<String> {
    subjects
        .iter()
        .map(|subject| subject.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_for_counts_stands_where_it_was_asked_for() {
        let subject = Subject::new("x", "serve", ["--stats={stats}", "transform"]);
        let launch = subject.launch(Some(1), Path::new("/tmp/counts"));
        assert_eq!(launch.args, ["--stats=/tmp/counts", "transform"]);
        assert_eq!(launch.stats.as_deref(), Some(Path::new("/tmp/counts")));
    }

    #[test]
    fn a_subject_that_leaves_no_counts_is_not_asked_for_them() {
        let subject = Subject::new("x", "serve", ["transform"]);
        assert!(!subject.counts());
        assert_eq!(subject.launch(None, Path::new("/tmp/counts")).stats, None);
    }
}
