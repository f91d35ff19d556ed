//! A subject of measurement: a name, and the command that starts it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::Launch;

/// In an argument, stands for the file that the server writes its counts to.
const STATS: &str = "{stats}";

/// A server that can be started by a command.
///
/// The command prints `Serving … on HOST:PORT with …` when it accepts connections, and ends on SIGTERM. If an argument
/// contains `{stats}`, the name of a file replaces it, and the server must write its final counts (S23) there; without
/// one, only the client's ledger is available (MEASURING 12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name in reports.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Subject {
    /// Creates a subject called `name`.
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

    /// Whether it writes its counts.
    pub fn counts(&self) -> bool {
        self.args.iter().any(|arg| arg.contains(STATS))
    }

    /// Returns how to start it on `core`, with its counts in `stats` if it writes them.
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

/// Returns the names of `subjects`, in order.
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
    fn the_name_of_the_counts_file_replaces_its_placeholder() {
        let subject = Subject::new("x", "serve", ["--stats={stats}", "transform"]);
        let launch = subject.launch(Some(1), Path::new("/tmp/counts"));
        assert_eq!(launch.args, ["--stats=/tmp/counts", "transform"]);
        assert_eq!(launch.stats.as_deref(), Some(Path::new("/tmp/counts")));
    }

    #[test]
    fn a_subject_without_the_placeholder_has_no_counts_file() {
        let subject = Subject::new("x", "serve", ["transform"]);
        assert!(!subject.counts());
        assert_eq!(subject.launch(None, Path::new("/tmp/counts")).stats, None);
    }
}
