//! `check`, on the command itself, on servers that run already, and on a server in Python.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::support::{LANTERN, PYTHON, Process, Server, closed_port, has_python, quatrain, run};

const POEMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../poems");
const QUATRAIN: &str = env!("CARGO_BIN_EXE_quatrain");

/// Returns the lines of JSON, the last of which has the counts.
fn lines(stdout: &str) -> (Vec<Value>, Value) {
    let parse = |line| serde_json::from_str(line).unwrap();
    let mut lines: Vec<Value> = stdout.lines().map(parse).collect();
    let counts = lines.pop().unwrap();
    (lines, counts)
}

#[test]
fn the_command_passes_the_smoke_cases_of_every_role() {
    for program in ["poem", "transform", "library", "proxy"] {
        let serve = ["--", QUATRAIN, "serve", "{mode}", "--log", "off"];
        let checked = run(&[&["check", program, "--smoke", "--json"], &serve[..]].concat());
        assert_eq!((checked.status, checked.stderr.as_str()), (Some(0), ""));
        let (cases, counts) = lines(&checked.stdout);
        assert!(counts["passed"].as_u64() > Some(4), "{counts}");
        assert_eq!(counts["rules_violated"], Value::Array(Vec::new()));
        let all = ["passed", "skipped", "failed"].map(|verdict| counts[verdict].as_u64().unwrap());
        assert_eq!(all.iter().sum::<u64>(), cases.len() as u64);
    }
}

#[test]
fn a_server_in_python_passes_the_smoke_cases() {
    if !has_python("a_server_in_python_passes_the_smoke_cases") {
        return;
    }
    let command = ["--", "python3", PYTHON, "{port}", "{mode}"];
    let checked = run(&[&["check", "transform", "--smoke"], &command[..]].concat());
    assert_eq!(checked.status, Some(0), "{checked:?}");
    assert!(checked.stdout.contains(" 0 failed, 0 skipped, in "));
    let tested = "\nRules tested: S2 S3 S4 S5 S6 S7 S19\n";
    assert!(checked.stdout.contains(tested), "{}", checked.stdout);
}

#[test]
fn an_unknown_placeholder_is_refused_by_name() {
    let command = ["--", "python3", PYTHON, "{prt}", "{mode}"];
    let refused = run(&[&["check", "transform"], &command[..]].concat());
    assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""));
    let words = "cannot check python3: {prt} is no placeholder; these are: {port} {mode}";
    assert!(refused.only_line().contains(words), "{refused:?}");
}

#[test]
fn the_readme_counts_every_case_of_the_server_in_python() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let counts = readme
        .lines()
        .find(|line| line.contains(" passed, 0 failed, "))
        .expect("the README shows a check");
    // The time and the seed are no whole words of digits.
    let numbers = counts.split_whitespace().map(str::parse::<usize>);
    let counted: usize = numbers.flatten().sum();
    let listed = run(&["check", "transform", "--list"]).stdout;
    assert_eq!(counted, listed.lines().count(), "{counts}");
}

#[test]
fn a_wrong_server_in_python_fails_with_the_rule_that_it_breaks() {
    if !has_python("a_wrong_server_in_python_fails_with_the_rule_that_it_breaks") {
        return;
    }
    let command = ["--", "python3", PYTHON, "{port}", "{mode}", "--wrong"];
    let filters = ["--case", "leading_zero", "--case", "without_a_dot"];
    let checked = run(&[&["check", "transform"], &filters[..], &command].concat());
    assert_eq!((checked.status, checked.stderr.as_str()), (Some(1), ""));
    let stdout = checked.stdout;
    let failed = "FAILED   S2 S4    closes_on_a_leading_zero: the bytes before FIN: expected 0 bytes, got 7; ";
    assert!(stdout.contains(failed), "{stdout}");
    let passed = "passed   S4       refuses_a_request_without_a_dot\n";
    assert!(stdout.contains(passed), "{stdout}");
    let end = "Rules tested: S2 S4\nRules violated: S2 S4\n";
    assert!(
        stdout.contains("\n1 passed, 1 failed, 0 skipped, in ") && stdout.ends_with(end),
        "{stdout}"
    );
}

#[test]
fn a_server_that_runs_already_is_checked_with_what_it_serves() {
    let poem = Server::start(&["poem", LANTERN, "--fast"]);
    let proxy = Server::start(&["proxy", &poem.address.to_string()]);
    let transform = Server::start(&["transform", "--keep-alive"]);
    let library = Server::start(&["library", POEMS]);
    for (program, server, options) in [
        ("poem", &poem, &["--poem", LANTERN][..]),
        ("proxy", &proxy, &["--poem", LANTERN]),
        ("transform", &transform, &["--keep-alive"]),
        ("library", &library, &["--library", POEMS]),
    ] {
        let address = server.address.to_string();
        let checked = run(&[&["check", program, &address, "--json", "--smoke"], options].concat());
        assert_eq!(checked.status, Some(0), "{checked:?}");
        let (_, counts) = lines(&checked.stdout);
        assert!(counts["passed"].as_u64() > Some(2), "{program}: {counts}");
    }
}

#[test]
fn a_server_with_another_poem_violates_the_rule_of_its_program() {
    let poem = Server::start(&["poem", LANTERN, "--fast"]);
    let harbour = format!("{POEMS}/harbour.txt");
    let address = poem.address.to_string();
    let checked = run(&["check", "poem", &address, "--poem", &harbour, "--smoke"]);
    assert_eq!((checked.status, checked.stderr.as_str()), (Some(1), ""));
    assert!(checked.stdout.contains("\nRules violated: S1 "));
}

#[test]
fn what_cannot_be_checked_is_said_once_in_one_line() {
    let nowhere = closed_port();
    let poem = Server::start(&["poem", LANTERN, "--fast"]);
    let address = poem.address.to_string();
    let rows: [(&[&str], &str); 8] = [
        (&["transform"], "give the address of a server, or after --"),
        (
            &["transform", &nowhere],
            "connecting: Connection refused; start the server first",
        ),
        (&["poem", &address], "say what it serves with --poem FILE"),
        (
            &["transform", &address, "--poem", LANTERN],
            "--poem is not about a transform server",
        ),
        (
            &["poem", "--", "./no/such/program", "{mode}"],
            "No such file or directory",
        ),
        (
            &["poem", "--", QUATRAIN, "serve", "{mode}", "--oops"],
            "(exit status: 2): quatrain: unexpected argument",
        ),
        (
            &["library", "--", QUATRAIN, "serve", "transform"],
            "without {mode} it cannot be told to be a library server",
        ),
        (
            &["poem", "--case", "nonesuch", "--", QUATRAIN],
            "no case of a poem server contains 'nonesuch'",
        ),
    ];
    for (arguments, words) in rows {
        let checked = run(&[&["check"], arguments].concat());
        assert_eq!(checked.status, Some(2), "{checked:?}");
        let line = checked.only_line();
        assert!(
            line.starts_with("quatrain: ") && line.contains(words),
            "{line}"
        );
    }
}

#[test]
fn the_list_names_each_case_with_its_rules_and_needs() {
    let listed = run(&["check", "transform", "--list", "--case", "smaller_limit"]);
    assert_eq!((listed.status, listed.stderr.as_str()), (Some(0), ""));
    let expected = "\
S2 S4           a_request_exactly_at_a_smaller_limit_is_answered (needs limits)
S2 S4           closes_on_a_length_over_a_smaller_limit (needs limits)
";
    assert_eq!(listed.stdout, expected);
}

#[test]
fn an_interrupt_ends_the_check_with_its_status() {
    let serve = [
        "--", QUATRAIN, "serve", "{mode}", "{limits}", "--log", "off",
    ];
    let mut check = Process::start(quatrain([&["check", "library"], &serve[..]].concat()));
    check.wait_for_output("passed ");
    check.signal(Signal::SIGINT);
    let ended = check.end();
    assert_eq!(ended.status, Some(130), "{ended:?}");
    assert!(ended.stdout.contains(" passed, 0 failed, "), "{ended:?}");
}
