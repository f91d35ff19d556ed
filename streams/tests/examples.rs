//! The steps of the examples: each runs as a program, without arguments and with them, and prints what it should.

use std::env::consts::EXE_SUFFIX;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Once;
use std::time::Duration;

use poetry::{Pace, PoemService, TransformService};
use streams::{FramedPoem, Library, LibraryService, RunningServer};
use streams::{serve_library, serve_poem, serve_transforms};

const ONE: &str = "One,\nand the end of ONE.\n";
const TWO: &str = "Two,\nand the end of TWO.\n";
/// The poems of the servers that a step starts.
const OWN_ONE: &str = "The First Poem\nis read\nline by line.\n";
const OWN_TWO: &str = "The Second Poem\nwaits its turn,\nor does not.\n";

fn start_poem(text: &str) -> RunningServer {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(7).unwrap(),
        delay: Duration::from_millis(2),
    };
    let poem = text.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    serve_poem(listener, PoemService { poem, pace }).unwrap()
}

fn output(step: &str, arguments: &[String]) -> Output {
    static BUILT: Once = Once::new();
    BUILT.call_once(build);
    let program = format!("streams_{step}{EXE_SUFFIX}");
    let mut command = Command::new(target().join("examples").join(program));
    command.args(arguments).output().expect("the step runs")
}

/// `cargo test` has built the examples already, unless it builds this test alone.
fn build() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline", "--examples"]);
    cargo.args([
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    if target().ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success());
}

/// The folder that cargo builds into; this test is in its `deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let folder = test.ancestors().nth(2).expect("a folder above `deps`");
    folder.to_owned()
}

/// Runs a step that must succeed, and returns its output.
fn shown(step: &str, arguments: &[String]) -> String {
    let output = output(step, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{step}: {errors}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a step without arguments, and then with `poems` servers and perhaps a transform server, by their ports.
fn shown_both_ways(step: &str, poems: usize, transforms: bool) -> [String; 2] {
    let mut servers: Vec<_> = [ONE, TWO].into_iter().take(poems).map(start_poem).collect();
    servers.extend(transforms.then(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        serve_transforms(listener, TransformService::default()).unwrap()
    }));
    let ports = servers.iter().map(|server| server.address().port());
    let ports: Vec<_> = ports.map(|port| port.to_string()).collect();
    [shown(step, &[]), shown(step, &ports)]
}

fn assert_same_lines(shown: &str, expected: &str) {
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(shown), sorted(expected));
}

#[test]
fn steps_1_and_2_show_a_poem() {
    for step in ["01_whole", "02_lines"] {
        assert_eq!(shown_both_ways(step, 1, false), [OWN_ONE, ONE]);
    }
}

#[test]
fn step_3_shows_the_first_line() {
    let titles = shown_both_ways("03_title", 1, false);
    assert_eq!(titles, ["The First Poem\n", "One,\n"]);
}

#[test]
fn step_4_shows_one_poem_after_another() {
    let [own, given] = shown_both_ways("04_one_after_another", 2, false);
    assert_eq!(own, [OWN_ONE, OWN_TWO].concat());
    assert_eq!(given, [ONE, TWO].concat());
}

#[test]
fn steps_5_and_6_show_every_line_of_all_poems() {
    for step in ["05_as_they_come", "06_read_aloud"] {
        let [own, given] = shown_both_ways(step, 2, false);
        assert_same_lines(&own, &[OWN_ONE, OWN_TWO].concat());
        assert_same_lines(&given, &[ONE, TWO].concat());
    }
}

#[test]
fn step_7_shows_poems_transformed() {
    let [own, given] = shown_both_ways("07_transformed", 2, true);
    assert_same_lines(&own, &[OWN_ONE, OWN_TWO].concat().to_lowercase());
    assert_same_lines(&given, &[ONE, TWO].concat().to_lowercase());
}

#[test]
fn step_8_asks_itself() {
    assert_eq!(shown("08_codec_server", &[]), "i asked myself.\n");
}

#[test]
fn step_9_shows_named_poems_one_after_another() {
    assert_eq!(shown("09_library", &[]), [OWN_TWO, OWN_ONE].concat());
    let poem = FramedPoem::from(&ONE.into());
    let service = LibraryService {
        library: Library::new([("one".parse().unwrap(), poem)].into()),
        keep_alive: false,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let library = serve_library(listener, service).unwrap();
    let port = library.address().port().to_string();
    let named = |name: &str| [port.clone(), name.to_owned()];
    assert_eq!(shown("09_library", &named("one")), ONE);
    let unknown = output("09_library", &named("none"));
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn step_10_fetches_once_for_all_readers() {
    let counted = "3 readers, 1 fetch; 3 readers, 1 shared future\n";
    let [own, given] = shown_both_ways("10_proxy", 1, false);
    assert_eq!(own, [OWN_ONE, counted].concat());
    assert_eq!(given, [ONE, counted].concat());
}

#[test]
fn wrong_arguments_end_a_step_with_status_2_and_a_message() {
    for step in [
        "01_whole",
        "02_lines",
        "03_title",
        "04_one_after_another",
        "05_as_they_come",
        "06_read_aloud",
        "07_transformed",
        "08_codec_server",
        "09_library",
        "10_proxy",
    ] {
        let wrong = match step {
            "09_library" => [&["no port", "star"][..], &["1"], &["1", "no/name"]],
            _ => [&["no port"][..], &["0"], &["1", "no port"]],
        };
        for arguments in wrong {
            let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
            let output = output(step, &arguments);
            assert_eq!(output.status.code(), Some(2), "{step} {arguments:?}");
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(message.contains("usage: "), "{step}: {message}");
        }
    }
}

#[test]
fn a_step_that_fails_ends_with_status_1_and_the_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port().to_string();
    drop(closed);
    let output = output("01_whole", &[port]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("connection failed"), "{message}");
}
