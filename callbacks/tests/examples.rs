//! The tutorial's ladder: each step runs as a program, without arguments and with them, and prints what it should.

use std::env::consts::EXE_SUFFIX;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Once};

use callbacks::{Callbacks, Pace, Poem, PoemService, TransformService};
use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, Server, Service};

/// Runs a step without arguments; it starts the servers it needs. See [`run_with`].
fn run(step: &str) -> String {
    run_with(step, &[])
}

/// Runs a step and returns its stdout. The step must succeed and print nothing on stderr.
fn run_with(step: &str, arguments: &[String]) -> String {
    let output = output(step, arguments);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{step}: {complaints}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn output(step: &str, arguments: &[String]) -> Output {
    let mut command = program(step);
    command.args(arguments).output().expect("the step runs")
}

fn program(step: &str) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(build);
    let examples = target().join("examples");
    Command::new(examples.join(format!("callbacks_{step}{EXE_SUFFIX}")))
}

/// A step that serves, until this is dropped.
struct Serving {
    step: Child,
    port: u16,
}

impl Serving {
    /// Starts a step on a port that the system chooses.
    fn start(step: &str) -> Self {
        let mut command = program(step);
        command.arg("0").stdout(Stdio::piped());
        let mut step = command.spawn().expect("the step runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(step.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("a line");
        let port = line.trim().rsplit(':').next().map(str::parse);
        let port = port.expect("an address").expect("a port");
        Self { step, port }
    }

    /// Sends the pieces of a request one after another, and returns all that comes back.
    fn ask(&self, pieces: &[&str]) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        for piece in pieces {
            socket.write_all(piece.as_bytes()).expect("sent");
        }
        socket.shutdown(Shutdown::Write).expect("FIN is sent");
        let mut reply = String::new();
        socket.read_to_string(&mut reply).expect("UTF-8");
        reply
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.step.kill();
        let _ = self.step.wait();
    }
}

/// An address where no server listens.
fn refusing_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Serves until it is dropped; also returns the port, as users write it.
fn serve(service: Service) -> (Box<dyn Server>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options::new(Clock::stopped());
    let server = Callbacks
        .serve(listener, service, &options, Arc::new(Unobserved))
        .unwrap();
    let port = server.address().port().to_string();
    (server, port)
}

fn serve_poem(poem: &str) -> (Box<dyn Server>, String) {
    serve(Service::Poem(PoemService {
        poem: Poem::from(poem),
        pace: Pace::Fast,
    }))
}

/// `cargo test` has built the examples already, unless it builds this test alone.
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

/// The folder that cargo builds into; this test is in its `deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    test.ancestors()
        .nth(2)
        .expect("a folder above `deps`")
        .to_owned()
}

const POEM: &str = "THIS IS JUST A POEM\nOF TWO LINES\n";

#[test]
fn steps_00_and_00b_a_loop_by_hand_collects_all_poems() {
    for step in ["00_raw_loop", "00b_readers"] {
        let printed = run(step);
        assert_eq!(printed.matches(POEM).count(), 2, "{step}: {printed}");
        assert!(printed.contains("Task 1: connection refused\n"), "{step}");
    }
}

#[test]
fn step_01_the_hook_runs_and_stops_the_reactor() {
    let printed = "Starting the reactor.\nHello from the reactor loop!\nLately I feel like I'm stuck in a rut.\nReactor stopped.\n";
    assert_eq!(run("01_hello"), printed);
}

#[test]
fn step_02_counts_down() {
    assert_eq!(
        run("02_countdown"),
        "Start!\n5 ...\n4 ...\n3 ...\n2 ...\n1 ...\nStop!\n"
    );
}

#[test]
fn step_03_a_panic_does_not_end_the_loop() {
    let printed =
        "Starting the reactor.\nLogged: a callback panicked: I fall down.\nBut I get up again.\n";
    assert_eq!(run("03_raising_hook"), printed);
}

#[test]
fn step_04_the_protocol_collects_the_poem() {
    assert_eq!(run("04_protocol"), POEM);
}

#[test]
fn step_04b_nothing_is_called_for_the_poem_that_is_missing() {
    let printed = run("04b_callback");
    assert_eq!(printed, [POEM, POEM, "2 of 3 poems arrived\n"].concat());
}

#[test]
fn step_05_either_callback_or_errback_is_called_for_each_poem() {
    let printed = run("05_callback_errback");
    assert!(
        printed.contains(POEM) && printed.contains("Poem download failed: connection refused\n"),
        "{printed}"
    );
}

#[test]
fn step_05b_the_trigger_fires_either_side() {
    let printed = run("05b_own_deferred");
    assert_eq!(printed.matches(POEM).count(), 2, "{printed}");
    assert!(
        printed.contains("Poem download failed: connection refused\n"),
        "{printed}"
    );
}

#[test]
fn step_06_the_deferred_fires_with_the_poem() {
    assert_eq!(run("06_deferred"), POEM);
}

#[test]
fn step_06b_a_failure_in_the_chain_loses_the_poem() {
    let printed = run("06b_chain");
    assert_eq!(printed.matches(&POEM.to_lowercase()).count(), 1);
    assert!(printed.contains("No poem: the engine made gibberish of it\n"));
    assert!(printed.contains("No poem: connection failed"), "{printed}");
}

#[test]
fn step_06c_an_errback_takes_one_kind_of_failure_and_keeps_the_poem() {
    let printed = run("06c_errors");
    assert_eq!(printed.matches(&POEM.to_lowercase()).count(), 1);
    assert_eq!(printed.matches(POEM).count(), 1);
    assert_eq!(printed.matches("No poem: ").count(), 1, "{printed}");
    assert!(printed.contains("No poem: connection failed"), "{printed}");
}

#[test]
fn step_07_the_chain_waits_for_the_transform() {
    assert_eq!(run("07_transform"), POEM.to_lowercase());
}

#[test]
fn step_08_the_coroutine_is_the_same_program() {
    assert_eq!(run("08_coroutine"), POEM.to_lowercase());
}

#[test]
fn step_09_the_results_are_in_the_order_of_the_members() {
    assert_eq!(
        run("09_deferred_list"),
        "Task 0: 33 bytes\nTask 1: failed\nTask 2: 33 bytes\n"
    );
}

#[test]
fn step_10_cancels_and_timeouts_are_distinguished() {
    let printed = "The poem: cancelled\nThe canceller is called.\nThe other: timed out (timeout)\n";
    assert_eq!(run("10_cancel"), printed);
}

#[test]
fn step_11_a_library_serves_the_poem_that_replaced_another() {
    let printed = "lantern: A NEW LANTERN\nmoon: refused: closed without a reply\n";
    assert_eq!(run("11_library"), printed);
}

#[test]
fn step_12_the_clients_of_a_proxy_share_a_fetch_and_may_leave() {
    let waited = "Client 0: 33 bytes\nClient 1: cancelled\nClient 2: 33 bytes\n";
    assert_eq!(run("12_proxy"), format!("{waited}From the cache:\n{POEM}"));
}

#[test]
fn steps_13_and_14_serve_a_poem() {
    for step in ["13_fast_server", "14_slow_server"] {
        let printed = run(step);
        let (first, poem) = printed.split_once('\n').expect("two lines");
        assert!(first.starts_with("Serving on 127.0.0.1:"), "{printed}");
        assert_eq!(poem, POEM, "{step}");
        let serving = Serving::start(step);
        for _ in 0..2 {
            let port = serving.port.to_string();
            assert_eq!(run_with("06_deferred", &[port]), POEM, "{step}");
        }
    }
}

#[test]
fn step_15_answers_requests_and_closes_on_bad_ones() {
    let printed = run("15_transform_server");
    assert!(printed.ends_with(&format!("\n{}", POEM.to_lowercase())));
    let serving = Serving::start("15_transform_server");
    assert_eq!(serving.ask(&["10:shout.ahoy,"]), "4:AHOY,");
    assert_eq!(serving.ask(&["1", "6:cummings", "ify.AHOY,"]), "4:ahoy,");
    for bad in ["", "ahoy", "4:ahoy,", "9:sing.ahoy,", "10:shout.ah"] {
        assert_eq!(serving.ask(&[bad]), "", "{bad}");
    }
}

#[test]
fn step_16_fires_a_deferred_of_its_own() {
    assert_eq!(run("16_transform_client"), POEM.to_lowercase());
    let (_poem_server, poem) = serve_poem("ANOTHER POEM\n");
    let refused = run_with("16_transform_client", &[poem.clone(), refusing_port()]);
    assert!(refused.starts_with("No poem: "), "{refused}");
    // A poem server is none of transforms: what it sends is no netstring.
    let nonsense = run_with("16_transform_client", &[poem.clone(), poem]);
    assert!(nonsense.starts_with("No poem: byte 0: "), "{nonsense}");
}

#[test]
fn steps_17_to_19_fetch_less_and_less() {
    let steps = [
        ("17_proxy_each_time", 4),
        ("18_proxy_cached", 3),
        ("19_proxy_one_fetch", 1),
    ];
    for (step, fetches) in steps {
        let printed = run(step);
        assert_eq!(printed, format!("{POEM}Fetches for 4 clients: {fetches}\n"));
    }
    let failed = run_with("19_proxy_one_fetch", &[refusing_port()]);
    assert!(failed.starts_with("No poem: "), "{failed}");
    assert!(failed.ends_with("Fetches for 4 clients: 2\n"), "{failed}");
}

#[test]
fn the_steps_fetch_from_the_ports_they_are_given() {
    let (_poem_server, poem) = serve_poem("ANOTHER POEM\n");
    let one = [poem.clone()];
    for step in [
        "00_raw_loop",
        "00b_readers",
        "04_protocol",
        "05_callback_errback",
        "05b_own_deferred",
        "06_deferred",
    ] {
        assert_eq!(run_with(step, &one), "ANOTHER POEM\n", "{step}");
    }
    let arrived = run_with("04b_callback", &one);
    assert_eq!(arrived, "ANOTHER POEM\n1 of 1 poems arrived\n");
    for step in ["06b_chain", "06c_errors"] {
        assert_eq!(run_with(step, &one), "another poem\n", "{step}");
    }
    for step in [
        "17_proxy_each_time",
        "18_proxy_cached",
        "19_proxy_one_fetch",
    ] {
        let printed = run_with(step, &one);
        assert!(
            printed.starts_with("ANOTHER POEM\nFetches for 4 clients: "),
            "{step}"
        );
    }
    let localhost = format!("localhost:{poem}");
    let two = run_with("09_deferred_list", &[poem.clone(), localhost]);
    assert_eq!(two, "Task 0: 13 bytes\nTask 1: 13 bytes\n");
    let (_transform_server, transforms) = serve(Service::Transform(TransformService::default()));
    let both = [poem.clone(), transforms];
    for step in ["07_transform", "08_coroutine", "16_transform_client"] {
        assert_eq!(run_with(step, &both), "another poem\n", "{step}");
    }
    assert!(run_with("10_cancel", &one).starts_with("The poem: cancelled\n"));
    assert!(run_with("12_proxy", &one).ends_with("From the cache:\nANOTHER POEM\n"));
}

#[test]
fn bad_arguments_end_a_step_with_status_2_and_a_message() {
    let bad: [(&str, &[&str]); 8] = [
        ("00_raw_loop", &["no-port"]),
        ("01_hello", &["10001"]),
        ("04_protocol", &["0"]),
        ("06_deferred", &["10001", "10002"]),
        ("07_transform", &["10001"]),
        ("09_deferred_list", &["10001", "70000"]),
        ("13_fast_server", &["no-port"]),
        ("14_slow_server", &["10001", "10002"]),
    ];
    for (step, arguments) in bad {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let output = output(step, &arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{step} {arguments:?}");
        assert!(
            message.starts_with("error: ") && message.contains("usage: "),
            "{step}: {message}"
        );
    }
}
