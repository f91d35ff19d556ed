//! Checks that the workspace is as ARCHITECTURE.md and CONTRIBUTING.md describe it: the four models in step, dependencies in
//! one direction, sockets and clocks in one file of each model, files of a readable size, a test for every rule.

mod examples;
mod manifests;
mod models_in_step;
mod rules;
mod tree;

use tree::{ROOT, documents, sources};

/// Files that may allow unsafe code. There is none; a file that needs it is listed with the measurement that justifies it.
const UNSAFE_ALLOWED: &[&str] = &[];

/// The maximum of lines in a file, with comments and blank lines, but without the marks of passages and a module of tests at its
/// end. Split a longer file by concept.
const LINES_MAX: usize = 350;
/// The maximum of lines in a file of tests, which readers search by name more often than they read it in order.
const TEST_LINES_MAX: usize = 600;

/// The documents that must exist.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "FAULTS.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "MEASURING.md",
    "POEMS.md",
    "README.md",
    "SEMANTICS.md",
];

#[test]
fn every_file_opens_with_a_module_comment() {
    let without: Vec<_> = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .collect();
    assert!(
        without.is_empty(),
        "these files do not open with //!: {without:?}"
    );
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for file in sources() {
        let max = if file.is_test() {
            TEST_LINES_MAX
        } else {
            LINES_MAX
        };
        let lines = file.code().lines();
        let lines = lines.filter(|line| !line.contains("ANCHOR")).count();
        if lines > max {
            long.push((lines, file));
        }
    }
    assert!(
        long.is_empty(),
        "more than {LINES_MAX} lines, or {TEST_LINES_MAX} of tests: {long:?}"
    );
}

#[test]
fn only_the_listed_files_allow_unsafe_code() {
    for file in sources() {
        let allows = ["allow(unsafe_code)", "expect(unsafe_code)"]
            .iter()
            .any(|allow| {
                // The tidy tests themselves contain these words.
                file.text.contains(allow) && !file.path.starts_with("tests/tests/tidy")
            });
        let listed = UNSAFE_ALLOWED.contains(&file.path.as_str());
        assert_eq!(
            allows, listed,
            "{}: allows unsafe code without being listed, or is listed and does not",
            file.path
        );
    }
}

#[test]
fn every_document_exists() {
    for document in DOCUMENTS {
        let path = format!("{ROOT}/{document}");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text.len() > 200, "{document} is missing or empty");
    }
}

/// A library server takes every file of the directory for a poem.
#[test]
fn every_file_of_poems_is_a_poem_that_is_described_with_its_size() {
    let document = std::fs::read_to_string(format!("{ROOT}/POEMS.md")).expect("POEMS.md");
    let poems = std::fs::read_dir(format!("{ROOT}/poems")).expect("poems/");
    let mut count = 0;
    for poem in poems {
        let poem = poem.expect("a file of poems/");
        let (name, bytes) = (poem.file_name(), std::fs::read(poem.path()).unwrap().len());
        let row = format!(
            "| `{}` | {},{:03} |",
            name.display(),
            bytes / 1000,
            bytes % 1000
        );
        let row = row.replace("| 0,", "| ");
        assert!(document.contains(&row), "POEMS.md has no row {row}");
        count += 1;
    }
    assert_eq!(document.matches(".txt` |").count(), count);
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    let mut files = sources();
    files.retain(|file| !file.path.starts_with("tests/tests/tidy"));
    files.extend(documents());
    for file in files {
        for word in ["/home/", "/root/", "/Users/"] {
            assert!(!file.text.contains(word), "{} names {word}", file.path);
        }
    }
}

#[test]
fn the_container_is_built_with_the_oldest_rust_that_works_and_without_what_git_ignores() {
    let read = |path: &str| std::fs::read_to_string(format!("{ROOT}/{path}")).expect(path);
    let (file, manifest) = (read("packaging/Containerfile"), read("Cargo.toml"));
    let version = manifest
        .split("rust-version = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let image = format!("/rust:{}-slim", version.expect("a version"));
    assert!(file.contains(&image), "the image is not {image}");
    let left_out = read(".containerignore");
    for folder in ["target", "book/.tools", "packaging/.tools"] {
        assert!(
            left_out.lines().any(|line| line == folder),
            "{folder} would be copied"
        );
        assert!(
            read(".gitignore").contains(&format!("/{folder}")),
            "{folder} is not ignored"
        );
    }
}
