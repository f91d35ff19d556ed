//! The workspace, kept as ARCHITECTURE.md and CONTRIBUTING.md say it is: the four models in step, dependencies one
//! way, sockets and clocks each in one place, files of a readable size, rules with tests that carry their number.

mod manifests;
mod models_in_step;
mod rules;
mod tree;

use tree::{ROOT, documents, sources};

/// Files that may allow unsafe code, each with the measurement that asked for it.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[];

/// Lines of code a file may have: comments, blank lines and its tests do not count.
const LINES_MAX: usize = 400;
/// Lines a file of tests may have, which is looked up more than read.
const TEST_LINES_MAX: usize = 600;

/// What a reader must find at the root.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "MEASURING.md",
    "README.md",
    "SEMANTICS.md",
    "poems/README.md",
];

#[test]
fn every_module_opens_by_saying_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .collect();
    assert!(
        silent.is_empty(),
        "these files do not open with //!: {silent:?}"
    );
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    for file in sources() {
        let lines = file.code().lines().filter(|line| is_code(line)).count();
        if lines
            > if file.is_test() {
                TEST_LINES_MAX
            } else {
                LINES_MAX
            }
        {
            long.push((lines, file));
        }
    }
    assert!(
        long.is_empty(),
        "more than {LINES_MAX} lines of code: {long:?}"
    );
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

#[test]
fn unsafe_code_is_allowed_only_where_it_was_measured() {
    for file in sources() {
        let allows = ["allow(unsafe_code)", "expect(unsafe_code)"]
            .iter()
            .any(|allow| {
                // This very file must say the words.
                file.text.contains(allow) && !file.path.starts_with("tests/tests/tidy")
            });
        let listed = UNSAFE_ALLOWED.iter().any(|(path, _)| *path == file.path);
        assert_eq!(
            allows, listed,
            "{} allows unsafe code, or is listed and does not",
            file.path
        );
    }
}

#[test]
fn the_documents_are_there() {
    for document in DOCUMENTS {
        let path = format!("{ROOT}/{document}");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text.len() > 200, "{document} is missing, or says nothing");
    }
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let mut files = sources();
    files.retain(|file| !file.path.starts_with("tests/tests/tidy"));
    files.extend(documents());
    for file in files {
        for word in ["/home/", "/root/", "/Users/"] {
            assert!(!file.text.contains(word), "{} names {word}", file.path);
        }
    }
}
