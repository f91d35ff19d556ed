//! Dependencies: `poetry` ← the four models ← `models` ← the targets of `tests` and `benches`, and `cli`.

use std::fs;

use crate::tree::{ROOT, members, models, sources_below, sources_of};

/// The names of one member's `[dependencies]` and `[dev-dependencies]`.
struct Manifest {
    library: Vec<String>,
    targets: Vec<String>,
}

fn manifest(member: &str) -> Manifest {
    let text = fs::read_to_string(format!("{ROOT}/{member}/Cargo.toml")).expect("a manifest");
    let mut manifest = Manifest {
        library: Vec::new(),
        targets: Vec::new(),
    };
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let named = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let list = match section {
            "[dependencies]" => &mut manifest.library,
            "[dev-dependencies]" => &mut manifest.targets,
            _ => continue,
        };
        if !named.is_empty() && !named.starts_with('#') {
            assert!(
                line.contains("workspace = true"),
                "{member}: a dependency whose version is not from the root's manifest: {line}"
            );
            list.push(named.to_owned());
        }
    }
    manifest
}

/// Returns our own crates: those that the root's manifest names by path.
fn ours() -> Vec<String> {
    let root = fs::read_to_string(format!("{ROOT}/Cargo.toml")).expect("the root's manifest");
    let by_path = root.lines().filter(|line| line.contains("path = \""));
    by_path
        .filter_map(|line| Some(line.split_once(" = ")?.0.to_owned()))
        .collect()
}

/// Returns which of our crates a member's library may depend on, and which others its targets (tests, benches, examples) may.
fn allowed(member: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    match member {
        "poetry" => (vec![], vec![]),
        "models" => ([vec!["poetry"], models()].concat(), vec![]),
        "tests" | "timeline" => (vec!["poetry"], vec!["models"]),
        "benches" => (vec!["poetry"], [vec!["models", "bare"], models()].concat()),
        "cli" => (
            vec![
                "poetry",
                "models",
                "bare",
                "conformance",
                "measure",
                "timeline",
            ],
            vec!["simulation"],
        ),
        "book/solutions" => (
            vec![],
            [vec!["poetry", "models", "timeline"], models()].concat(),
        ),
        model if models().contains(&model) => (vec!["poetry"], vec!["simulation"]),
        _ => (vec!["poetry"], vec![]),
    }
}

#[test]
fn dependencies_point_in_one_direction() {
    let ours = ours();
    assert!(
        ours.len() >= models().len(),
        "the root's manifest names fewer crates by path than there are models"
    );
    for member in members() {
        let manifest = manifest(&member);
        let (library, targets) = allowed(&member);
        for name in manifest.library.iter().filter(|name| ours.contains(name)) {
            assert!(
                library.contains(&name.as_str()),
                "{member} may not depend on {name}"
            );
        }
        for name in manifest.targets.iter().filter(|name| ours.contains(name)) {
            let known = library.contains(&name.as_str()) || targets.contains(&name.as_str());
            assert!(known, "{member}'s targets may not depend on {name}");
        }
    }
}

#[test]
fn in_benches_only_the_primitives_name_a_model() {
    let names_a_model = |line: &str| {
        let names = |model: &str| line.contains(&format!("{model}::"));
        models().into_iter().any(names)
    };
    let files = sources_below("benches");
    let naming = files
        .iter()
        .filter(|file| file.statements().any(|(_, line)| names_a_model(line)));
    let paths: Vec<_> = naming.map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["benches/benches/primitives.rs"]);
}

#[test]
fn every_dependency_is_used() {
    for member in members() {
        let (manifest, files) = (manifest(&member), sources_below(&member));
        for name in manifest.library.iter().chain(&manifest.targets) {
            let named = name.replace('-', "_");
            let is_used = files.iter().any(|file| file.text.contains(&named));
            assert!(is_used, "{member} depends on {name} but never uses it");
        }
    }
}

#[test]
fn a_model_does_not_depend_on_another_s_runtime() {
    let foreign: &[(&str, &[&str])] = &[
        ("poetry", &["tokio", "mio", "actix", "futures", "socket2"]),
        ("callbacks", &["tokio", "tokio-stream", "actix", "futures"]),
        (
            "blocking",
            &["tokio", "tokio-stream", "actix", "futures", "mio"],
        ),
        ("streams", &["actix", "mio"]),
        ("actors", &["tokio-stream", "mio"]),
    ];
    for (member, foreign) in foreign {
        let manifest = manifest(member);
        for name in manifest.library.iter().chain(&manifest.targets) {
            assert!(
                !foreign.contains(&name.as_str()),
                "{member} may not depend on {name}"
            );
        }
    }
}

#[test]
fn poetry_has_no_sockets_threads_clocks_or_runtimes() {
    for file in sources_of("poetry").iter().filter(|file| !file.is_test()) {
        for (at, line) in file.statements() {
            for word in [
                "std::thread",
                "TcpStream",
                "UdpSocket",
                "Instant",
                "SystemTime",
            ] {
                assert!(!line.contains(word), "{}:{at} names {word}", file.path);
            }
        }
    }
}
