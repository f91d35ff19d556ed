//! Reads the workspace's members, models and files.

use std::fmt;
use std::fs;
use std::path::Path;

/// The workspace's root.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns the members that the root's manifest lists.
pub(crate) fn members() -> Vec<String> {
    let manifest = fs::read_to_string(format!("{ROOT}/Cargo.toml")).expect("the root's manifest");
    let list = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.expect("a list of members");
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Returns the names of the models in `models::ALL`, which are also the names of their folders.
pub(crate) fn models() -> Vec<&'static str> {
    models::ALL.iter().map(|model| model.name()).collect()
}

/// One source file.
pub(crate) struct File {
    /// The path from the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// Returns whether it contains only tests and their helpers.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/').skip(1);
        let folders = ["tests", "testing", "simulation"];
        parts.any(|part| folders.contains(&part.trim_end_matches(".rs")))
    }

    /// Returns the text before its module of tests.
    pub(crate) fn code(&self) -> &str {
        let end = self
            .text
            .find("#[cfg(test)]\nmod ")
            .unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// Returns the lines before its module of tests that are not comments, with their numbers.
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

/// Returns every source file of every member, ordered by path.
pub(crate) fn sources() -> Vec<File> {
    let mut files = Vec::new();
    for member in members() {
        collect(&member, ".rs", &mut files);
    }
    assert!(files.len() > 50, "fewer sources than the workspace has");
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// Returns every source file of one member, with its tests and examples.
pub(crate) fn sources_below(member: &str) -> Vec<File> {
    let mut files = Vec::new();
    collect(member, ".rs", &mut files);
    files
}

/// Returns the source files of one member's library or program.
pub(crate) fn sources_of(member: &str) -> Vec<File> {
    let mut files = Vec::new();
    collect(&format!("{member}/src"), ".rs", &mut files);
    files
}

/// Returns every document of the workspace.
pub(crate) fn documents() -> Vec<File> {
    let mut files = Vec::new();
    collect(".", ".md", &mut files);
    assert!(files.len() > 5, "fewer documents than the workspace has");
    files
}

fn collect(folder: &str, ending: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder of the workspace");
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder == "." {
            name
        } else {
            format!("{folder}/{name}")
        };
        if entry.path().is_dir() {
            if !is_skipped(&path) {
                collect(&path, ending, files);
            }
        } else if path.ends_with(ending) {
            let text = fs::read_to_string(entry.path()).expect("a file of text");
            files.push(File { path, text });
        }
    }
}

/// Returns whether a folder holds build output or is hidden.
fn is_skipped(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "target" || name.starts_with('.')
}
