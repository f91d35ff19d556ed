//! Child processes are found by their line, sampled and stopped; each kind of misbehaviour has its own error.

use std::time::Duration;

use measure::load::{self, Extent, Plan};
use measure::process::{Process, ProcessError, free_port};

use crate::child::launch;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("process::a_server_is_found_by_its_line", a_server_is_found),
    (
        "process::the_cost_of_a_server_grows_with_its_work",
        its_cost_grows,
    ),
    (
        "process::s23_the_final_counts_agree_with_the_ledger",
        its_counts_agree,
    ),
    ("process::s23_missing_counts_are_an_error", counts_not_left),
    ("process::a_server_that_ends_is_an_error", server_that_ends),
    ("process::another_line_is_an_error", another_line),
    ("process::a_server_is_told_its_port", told_its_port),
    ("process::a_silent_server_is_late", silent_server),
    (
        "process::a_server_that_ignores_sigterm_is_killed",
        server_that_ignores_sigterm,
    ),
    ("process::a_missing_program_is_an_error", not_started),
];

const SOON: Duration = Duration::from_millis(200);

fn start(role: &[&str]) -> Result<Process, ProcessError> {
    Process::start(&launch(role))
}

fn a_server_is_found() {
    let process = start(&["floor", "--keep-alive"]).unwrap();
    assert_eq!(process.serving().unwrap().with, "floor");
    assert_ne!(process.address().port(), 0);
    let ending = process.stop().unwrap();
    assert!(!ending.status.success(), "the floor ends by the signal");
    assert_eq!(ending.counts, None);
}

fn load(process: &Process, keep_alive: bool) -> load::Report {
    let plan = Plan {
        connections: 4,
        keep_alive,
        extent: Extent::Requests(500),
        ..Plan::new(process.address()).unwrap()
    };
    load::run(&plan).unwrap()
}

fn its_cost_grows() {
    let process = start(&["floor", "--keep-alive"]).unwrap();
    let before = process.usage();
    load(&process, true);
    let after = process.usage();
    if cfg!(target_os = "linux") {
        assert!(after.cpu > before.cpu && process.cpu() >= after.cpu);
        assert!(after.voluntary_switches > Some(0) && after.threads == Some(1));
        assert!(after.peak_memory > Some(0));
    }
}

/// Returns the name of a file for this test alone.
fn scratch(name: &str) -> String {
    let name = format!("quatrain-{}-{name}", std::process::id());
    std::env::temp_dir().join(name).display().to_string()
}

fn its_counts_agree() {
    for mode in ["--keep-alive", "--one-shot"] {
        let stats = scratch(mode);
        let mut launch = launch(&["counting", mode, "--stats", &stats]);
        launch.stats = Some(stats.clone().into());
        let process = Process::start(&launch).unwrap();
        let ledger = load(&process, mode == "--keep-alive").ledger;
        let ending = process.stop().unwrap();
        assert_eq!(ledger.check(&ending.counts.unwrap()), Ok(()));
        std::fs::remove_file(stats).unwrap();
    }
}

fn counts_not_left() {
    let mut launch = launch(&["floor", "--keep-alive"]);
    launch.stats = Some(scratch("never-written").into());
    let error = Process::start(&launch).unwrap().stop().unwrap_err();
    assert!(matches!(error, ProcessError::Stats { .. }), "{error}");
}

fn server_that_ends() {
    let error = start(&["ends"]).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("ended before it served: exit status: 3"),
        "{error}"
    );
}

fn another_line() {
    let error = start(&["prints-another-line"]).unwrap_err();
    assert!(
        matches!(&error, ProcessError::Line { line, .. } if line == "Hello on this fine day"),
        "{error}"
    );
}

fn told_its_port() {
    let port = free_port().unwrap();
    let mut launch = launch(&["on-port", &port.to_string(), "--keep-alive"]);
    launch.port = Some(port);
    let process = Process::start(&launch).unwrap();
    assert_eq!(process.address().port(), port);
    assert_eq!(process.serving(), None);
    load(&process, true);
    // Its line came, and is not taken for its end.
    process.stop().unwrap();

    launch.args = launch.args[..1].to_vec();
    launch.args.push("ends".into());
    let error = Process::start(&launch).unwrap_err();
    assert!(matches!(error, ProcessError::Ended { .. }), "{error}");
}

fn silent_server() {
    let mut launch = launch(&["is-silent"]);
    launch.timeout = SOON;
    let error = Process::start(&launch).unwrap_err();
    assert!(
        matches!(error, ProcessError::Late { what: "serve", .. }),
        "{error}"
    );
}

fn server_that_ignores_sigterm() {
    let mut process = start(&["ignores-sigterm"]).unwrap();
    process.set_timeout(SOON);
    let id = process.id();
    let error = process.stop().unwrap_err();
    assert!(
        matches!(error, ProcessError::Late { what: "end", .. }),
        "{error}"
    );
    let gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id as i32), None);
    assert_eq!(gone, Err(nix::errno::Errno::ESRCH));
}

fn not_started() {
    let error =
        Process::start(&measure::process::Launch::new("/no/such/program", [""])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot start /no/such/program"),
        "{error}"
    );
}
