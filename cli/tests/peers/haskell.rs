//! The steps in `peers/haskell/examples`. No other program needs them, so `peers/setup` does not build them.

use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Instant;

use super::support::{DEADLINE, Process, Server, closed_port, run};
use super::{PEERS, poem, port, two_poems};

/// The tests, by name.
pub(super) const STEPS: &[(&str, fn())] = &[
    ("step_01_prints_the_poem", || prints_the_poem("01_whole")),
    ("step_02_prints_the_poem", || prints_the_poem("02_lines")),
    ("step_03_prints_the_title", || {
        let (_slow, fast) = two_poems();
        assert_eq!(printed("03_title", &[&fast]), first_line("harbour"));
    }),
    ("step_04_prints_the_poems_in_order", || {
        let (slow, fast) = two_poems();
        let both = poem("lantern") + &poem("harbour");
        assert_eq!(printed("04_one_after_another", &[&slow, &fast]), both);
    }),
    ("step_05_prints_the_lines_of_both_poems", || {
        let (slow, fast) = two_poems();
        let lines = printed("05_as_they_come", &[&slow, &fast]);
        let both = poem("lantern") + &poem("harbour");
        assert_eq!(sorted(&lines), sorted(&both));
    }),
    ("step_06_prints_the_poem", || {
        prints_the_poem("06_read_aloud")
    }),
    ("step_07_prints_the_transformed_poems_in_order", || {
        let (slow, fast) = two_poems();
        let via = Server::start(&["transform"]);
        let both = (poem("lantern") + &poem("harbour")).to_lowercase();
        assert_eq!(printed("07_transformed", &[&slow, &fast, &via]), both);
    }),
    ("step_08_transforms_the_poem", || {
        let (_slow, fast) = two_poems();
        let via = closed_port();
        let _serving = Process::start(step("08_lazy_server", &[&via]));
        let begun = Instant::now();
        while TcpStream::connect(format!("127.0.0.1:{via}")).is_err() {
            assert!(begun.elapsed() < DEADLINE, "it does not listen");
            thread::yield_now();
        }
        let fetched = run(&["fetch", &port(&fast), "--transform", "shout", "--via", &via]);
        assert_eq!(fetched.stdout, poem("harbour").to_uppercase());
    }),
];

/// A step, not started, as the README of the folder says.
fn step(name: &str, arguments: &[&str]) -> Command {
    let folder = format!("{PEERS}/haskell");
    let mut command = Command::new("runghc");
    command.args(["src", "examples"].map(|modules| format!("-i{folder}/{modules}")));
    command.arg(format!("{folder}/examples/haskell_{name}.hs"));
    command.args(arguments);
    command
}

/// Returns what a step prints when it has the ports of `servers`.
fn printed(name: &str, servers: &[&Server]) -> String {
    let ports: Vec<String> = servers.iter().copied().map(port).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let ended = Process::start(step(name, &ports)).end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended.stdout
}

fn prints_the_poem(name: &str) {
    let (_slow, fast) = two_poems();
    assert_eq!(printed(name, &[&fast]), poem("harbour"));
}

fn first_line(name: &str) -> String {
    poem(name)
        .lines()
        .take(1)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}
