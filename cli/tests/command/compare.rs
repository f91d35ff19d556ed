//! `compare`, and the floor behind its instruments.

use std::process::Stdio;

use nix::sys::signal::Signal;

use super::support::{Process, quatrain, run};

#[test]
fn a_comparison_prints_one_row_for_each_chosen_model_and_how_it_was_measured() {
    let models = "blocking,callbacks,blocking";
    let compared = run(&[
        "compare", "--rounds", "3", "--seed", "7", "--models", models,
    ]);
    assert_eq!(compared.status, Some(0), "{compared:?}");
    let mut lines = compared.stdout.lines();
    let head = lines.next().unwrap();
    for column in [
        "model",
        "elapsed",
        "requests/s",
        "CPU µs",
        "threads",
        "peak memory",
    ] {
        assert!(head.contains(column), "{column} is missing: {head}");
    }
    let rows: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let [callbacks, blocking, again] = rows[..] else {
        panic!("{rows:?}")
    };
    assert!(
        callbacks.starts_with("callbacks ")
            && blocking.starts_with("blocking ")
            && again.starts_with("callbacks again "),
        "{rows:?}"
    );
    for words in [
        "CPU per request",
        "callbacks again, the same model, differ by",
        "would be ideal",
        "3 rounds in an order shuffled by seed 7",
        "was verified",
        "agree on",
        "MEASURING.md",
    ] {
        assert!(
            compared.stdout.contains(words),
            "{words} is missing: {}",
            compared.stdout
        );
    }
    assert!(
        compared
            .stderr
            .contains("blocking: fetching 3 poems at once")
            && compared.stderr.contains("round 3 of 3: loading blocking"),
        "{}",
        compared.stderr
    );
}

/// Returns the servers that `parent` has started.
#[cfg(target_os = "linux")]
fn servers_of(parent: &Process) -> Vec<u32> {
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    let children = std::fs::read_to_string(children).unwrap();
    children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}

/// Waits until none of `pids` runs. They are not children of the test, so there is no event to wait for.
#[cfg(target_os = "linux")]
fn wait_until_gone(pids: &[u32]) {
    use std::time::Instant;
    let start = Instant::now();
    let runs = |pid: &u32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        command.is_ok_and(|command| command.contains("--end-with-parent"))
    };
    while pids.iter().any(runs) {
        assert!(
            start.elapsed() < super::support::DEADLINE,
            "{pids:?} still run"
        );
        std::thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_comparison_leaves_no_server_behind() {
    for (signal, status) in [
        (Signal::SIGINT, Some(130)),
        (Signal::SIGTERM, Some(143)),
        (Signal::SIGKILL, None),
    ] {
        let mut compare = Process::start(quatrain(["compare", "--models", "blocking"]));
        compare.wait_for("fetching");
        let servers = loop {
            let servers = servers_of(&compare);
            if servers.len() == 4 {
                break servers;
            }
            assert!(compare.is_running(), "it ended by itself");
            std::thread::yield_now();
        };
        compare.signal(signal);
        let ended = compare.end();
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (status, ""),
            "{signal}: {ended:?}"
        );
        wait_until_gone(&servers);
    }
}

#[test]
fn s22_a_comparison_into_a_closed_stdout_ends_quietly_with_status_1() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = quatrain(["compare", "--rounds", "1", "--models", "blocking"]);
    let ended = Process::start_as(command.stdout(writer).stderr(Stdio::piped())).end();
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stderr.lines().all(|line| [
            "blocking: ",
            "round 1 of 1: ",
            "warning: the machine is busy"
        ]
        .iter()
        .any(|words| line.starts_with(words))),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_floor_prints_a_serving_line_as_every_server_does() {
    let mut floor = Process::start(quatrain(["floor", "--keep-alive"]));
    let (line, address) = floor.wait_until_serving();
    assert_eq!(
        line,
        format!("Serving transforms on {address} with floor\n")
    );
    assert_eq!(
        run(&[
            "load",
            "transform",
            &address.to_string(),
            "--requests",
            "64"
        ])
        .status,
        Some(0)
    );
}
