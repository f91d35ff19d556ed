//! The tutorial's ladder: each step is run as a program, and prints what it says it does.

use std::env::consts::EXE_SUFFIX;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

/// Runs a step and gives what it prints on stdout; it must print nothing else, and succeed.
fn run(step: &str) -> String {
    static BUILT: Once = Once::new();
    BUILT.call_once(build);
    let program = target()
        .join("examples")
        .join(format!("{step}{EXE_SUFFIX}"));
    let output = Command::new(program).output().expect("the step can be run");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{step}: {complaints}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// `cargo test` has built the examples already, unless it was asked for this test alone.
fn build() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--offline",
        "--examples",
        "--manifest-path",
    ]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if target().ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success());
}

/// Where cargo puts what it builds: this test is in `deps` there.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    test.ancestors()
        .nth(2)
        .expect("a folder above `deps`")
        .to_owned()
}

const POEM: &str = "THIS IS JUST A POEM\nOF TWO LINES\n";

#[test]
fn step00_a_loop_by_hand_gathers_the_poem() {
    assert_eq!(run("step00_raw_loop"), POEM);
}

#[test]
fn step01_hello_is_called_back_and_stops() {
    let printed = "Starting the reactor.\nHello from the reactor loop!\nLately I feel like I'm stuck in a rut.\nReactor stopped.\n";
    assert_eq!(run("step01_hello"), printed);
}

#[test]
fn step02_countdown_counts_down() {
    assert_eq!(
        run("step02_countdown"),
        "Start!\n5 ...\n4 ...\n3 ...\n2 ...\n1 ...\nStop!\n"
    );
}

#[test]
fn step03_a_raising_hook_does_not_end_the_loop() {
    let printed =
        "Starting the reactor.\nLogged: a callback panicked: I fall down.\nBut I get up again.\n";
    assert_eq!(run("step03_raising_hook"), printed);
}

#[test]
fn step04_a_protocol_gathers_the_poem() {
    assert_eq!(run("step04_protocol"), POEM);
}

#[test]
fn step05_one_of_callback_and_errback_is_called_for_each_poem() {
    let printed = run("step05_callback_errback");
    assert!(
        printed.contains(POEM) && printed.contains("Poem download failed: connection refused\n"),
        "{printed}"
    );
}

#[test]
fn step06_a_deferred_brings_the_poem() {
    assert_eq!(run("step06_deferred"), POEM);
}

#[test]
fn step07_the_chain_waits_for_the_transform() {
    assert_eq!(run("step07_transform"), POEM.to_lowercase());
}

#[test]
fn step08_the_coroutine_is_the_same_program() {
    assert_eq!(run("step08_coroutine"), POEM.to_lowercase());
}

#[test]
fn step09_a_list_has_its_results_in_the_order_of_its_members() {
    assert_eq!(
        run("step09_deferred_list"),
        "Task 0: 33 bytes\nTask 1: failed\nTask 2: 33 bytes\n"
    );
}

#[test]
fn step10_cancelled_and_timed_out_are_told_apart() {
    let printed = "The poem: cancelled\nThe canceller was asked.\nThe other: timed out (timeout)\n";
    assert_eq!(run("step10_cancel"), printed);
}
