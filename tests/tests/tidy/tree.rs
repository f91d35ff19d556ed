//! The workspace's sources, read once a test.

use std::fmt;
use std::fs;
use std::path::Path;

/// The workspace's root.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Every member.
pub(crate) const MEMBERS: &[&str] = &[
    "poetry",
    "callbacks",
    "actors",
    "streams",
    "blocking",
    "models",
    "tests",
    "benches",
    "cli",
];

/// The four models.
pub(crate) const MODELS: &[&str] = &["callbacks", "actors", "streams", "blocking"];

/// One source file.
pub(crate) struct File {
    /// From the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// Whether it holds nothing but tests, or helps them.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/').skip(1);
        parts.any(|part| matches!(part, "tests" | "tests.rs" | "testing" | "testing.rs"))
    }

    /// The text before its tests.
    pub(crate) fn code(&self) -> &str {
        let end = self
            .text
            .find("#[cfg(test)]\nmod ")
            .unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// The lines before its tests that are no comments, with their numbers.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .code()
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.path)
    }
}

/// Every source file of every member, in the order of their paths.
pub(crate) fn sources() -> Vec<File> {
    let mut files = Vec::new();
    for member in MEMBERS {
        gather(member, &mut files);
    }
    assert!(
        files.len() > 50,
        "the sources are not where they are looked for"
    );
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// The source files of one member's library or program.
pub(crate) fn sources_of(member: &str) -> Vec<File> {
    let mut files = Vec::new();
    gather(&format!("{member}/src"), &mut files);
    files
}

fn gather(folder: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder of the workspace");
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            if !path.ends_with("/target") {
                gather(&path, files);
            }
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file");
            files.push(File { path, text });
        }
    }
}
