//! The programs in `peers/`, which do in other languages what the models do: each server runs the cases of its role, and each
//! client fetches from our servers. A language that is not set up here is skipped, and says why. `peers/README.md` has the words
//! that their launchers take.

#[allow(dead_code)] // Not every helper is needed here.
#[path = "../command/support.rs"]
mod support;

mod haskell;

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use support::{Ended, LANTERN, Process, Server, closed_port, quatrain};

const POEMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../poems");
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers");

const LANGUAGES: &[Language] = &[
    Language {
        name: "twisted",
        servers: &["poem", "transform", "library", "proxy"],
        placeholders: &["{mode}", "{limits}", "{stats}", "{grace}"],
        steps: &[],
    },
    Language {
        name: "erlang",
        servers: &["poem", "transform", "library"],
        placeholders: &["{mode}", "{limits}", "{threads}", "{stats}", "{grace}"],
        steps: &[],
    },
    Language {
        name: "haskell",
        servers: &["poem", "transform", "library", "proxy"],
        placeholders: &["{mode}", "{limits}", "{threads}", "{stats}", "{grace}"],
        steps: haskell::STEPS,
    },
];

/// The programs in one language, started by `peers/NAME/quatrain-NAME`: servers, and a client.
struct Language {
    name: &'static str,
    /// The roles of its servers.
    servers: &'static [&'static str],
    /// The placeholders that `serve` takes.
    placeholders: &'static [&'static str],
    /// The tests of the steps of its ladder, by name.
    steps: &'static [(&'static str, fn())],
}

fn main() -> ExitCode {
    /// Most cases mostly wait.
    const THREADS: usize = 4;
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let trials = LANGUAGES.iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns the tests of `language`.
fn trials(language: &'static Language) -> Vec<Trial> {
    let server = |role| {
        let name = format!("{role}_server_keeps_the_rules");
        trial(language, &name, move || keeps_the_rules(language, role))
    };
    let others: [(_, fn(&Language)); 5] = [
        ("client_fetches_many_poems", fetches_many_poems),
        ("client_has_poems_transformed", has_poems_transformed),
        ("client_keeps_the_original_poem", keeps_the_original_poem),
        ("client_reports_what_failed", reports_what_failed),
        ("wrong_arguments_end_with_status_2", refuses_wrong_arguments),
    ];
    let others = others.map(|(name, test)| trial(language, name, move || test(language)));
    let servers = language.servers.iter().copied().map(server);
    let steps = language.steps.iter();
    let steps = steps.map(|&(name, test)| trial(language, name, test));
    servers.chain(others).chain(steps).collect()
}

/// Returns a test of its own name for `language`, skipped where the language is not set up.
fn trial(language: &'static Language, name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(format!("{}::{name}", language.name), move || {
        let version = language.run(&["--version"]);
        if version.status != Some(0) {
            let why = version.stderr.trim();
            return Ok(Completion::ignored_with(format!("skipped: {why}")));
        }
        test();
        Ok::<_, Failed>(Completion::Completed)
    })
}

impl Language {
    fn launcher(&self) -> String {
        format!("{PEERS}/{name}/quatrain-{name}", name = self.name)
    }

    /// Runs the launcher to its end.
    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(self.launcher());
        command.args(arguments).stdin(Stdio::null());
        Process::start(command).end()
    }
}

/// The server fails no case.
fn keeps_the_rules(language: &Language, role: &str) {
    let mut command = quatrain(["check", role, "--json", "--"]);
    command.args([&language.launcher(), "serve"]);
    command.args(language.placeholders);
    let checked = Process::start(command).end();
    let mut failed = Vec::new();
    let mut passed = 0;
    for line in checked.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match (line["case"].as_str(), line["verdict"].as_str()) {
            (Some(case), Some("failed")) => failed.push(format!("{case}: {}", line["why"])),
            (Some(_), Some("passed")) => passed += 1,
            _ => {}
        }
    }
    assert!(failed.is_empty(), "{failed:#?}\n{}", checked.stderr);
    assert!(passed > 10, "{passed} passed; {}", checked.stderr);
}

fn fetches_many_poems(language: &Language) {
    let (slow, fast) = two_poems();
    let fetched = language.run(&["fetch", &port(&slow), &port(&fast)]);
    assert_eq!(fetched.status, Some(0), "{fetched:?}");
    assert_eq!(fetched.stdout, poem("lantern") + &poem("harbour"));
}

fn has_poems_transformed(language: &Language) {
    let (slow, fast) = two_poems();
    let transform = Server::start(&["transform"]);
    let via = ["--transform", "reverse", "--via", &port(&transform)];
    let fetched = language.run(&[&["fetch", &port(&slow), &port(&fast)][..], &via].concat());
    assert_eq!(fetched.status, Some(0), "{fetched:?}");
    let reversed = |name: &str| {
        poem(name)
            .lines()
            .rev()
            .fold(String::new(), |all, line| all + line + "\n")
    };
    assert_eq!(fetched.stdout, reversed("lantern") + &reversed("harbour"));
}

/// A transform server that refuses, and one that is not there, cost the transform and not the poem (S13).
fn keeps_the_original_poem(language: &Language) {
    let (_slow, fast) = two_poems();
    let transform = Server::start(&["transform"]);
    for (name, via) in [("gibberish", port(&transform)), ("reverse", closed_port())] {
        let fetched = language.run(&["fetch", &port(&fast), "--transform", name, "--via", &via]);
        assert_eq!(fetched.status, Some(0), "{fetched:?}");
        assert_eq!(fetched.stdout, poem("harbour"));
        assert!(fetched.stderr.contains(&via), "{fetched:?}");
    }
}

/// A failed fetch costs its own poem only, and the status (S11).
fn reports_what_failed(language: &Language) {
    let (_slow, fast) = two_poems();
    let nowhere = closed_port();
    let fetched = language.run(&["fetch", &nowhere, &port(&fast)]);
    assert_eq!(fetched.status, Some(1), "{fetched:?}");
    assert_eq!(fetched.stdout, poem("harbour"));
    assert!(fetched.stderr.contains(&nowhere), "{fetched:?}");
}

fn refuses_wrong_arguments(language: &Language) {
    for arguments in [
        &["serve", "poem", "no-such-file.txt"][..],
        &["serve", "transform", "--port", "many"],
        &["serve", "nonsense"],
        &["fetch", "nowhere:port"],
        &["fetch"],
    ] {
        let ended = language.run(arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {ended:?}");
        let lines = ended.stderr.lines().count();
        assert!((1..10).contains(&lines), "{arguments:?}: {ended:?}");
    }
}

/// Starts a slow server of one poem and a fast one of another.
fn two_poems() -> (Server, Server) {
    let slow = ["poem", LANTERN, "--num-bytes", "100", "--delay", "0.01"];
    let fast = ["poem", &format!("{POEMS}/harbour.txt"), "--fast"];
    (Server::start(&slow), Server::start(&fast))
}

fn port(server: &Server) -> String {
    server.address.port().to_string()
}

fn poem(name: &str) -> String {
    fs::read_to_string(format!("{POEMS}/{name}.txt")).unwrap()
}
