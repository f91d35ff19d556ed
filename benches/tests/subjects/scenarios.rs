//! Closed loops, idle connections and clients on small subjects: values where all is right, and the reason of a void row where it
//! is not. The tests of the command run the other scenarios, on its own servers.

use measure::Subject;
use measure::pinning::Pinning;
use measure::scenario::{self, Extent, Reading, Scenario, Setting};

use crate::child::subject;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "scenarios::a_closed_loop_has_costs_and_latencies",
        closed_loop,
    ),
    (
        "scenarios::another_program_is_told_its_port",
        another_program,
    ),
    (
        "scenarios::s23_counts_that_differ_from_the_ledger_void_the_row",
        counts_that_differ,
    ),
    ("scenarios::s5_a_server_that_closes_voids_its_row", closes),
    (
        "scenarios::a_proxy_that_fetches_more_than_once_voids_its_row",
        fetches_for_each,
    ),
    ("scenarios::an_idle_connection_costs_memory", idle),
    (
        "scenarios::a_client_is_timed_relative_to_the_ideal",
        client_is_timed,
    ),
    (
        "scenarios::a_client_that_does_not_transform_voids_its_row",
        does_not_transform,
    ),
    ("scenarios::s11_a_client_that_fails_voids_its_row", fails),
    (
        "scenarios::a_client_with_wrong_output_voids_its_row",
        prints,
    ),
];

fn find(name: &str) -> Box<dyn Scenario> {
    let mut all = scenario::all().into_iter();
    let found = all.find(|scenario| scenario.about(Extent::Quick).name == name);
    found.unwrap()
}

/// Measures `subject` once at a small point.
fn measure(name: &str, subject: &Subject, point: f64) -> Result<Reading, String> {
    let scenario = find(name);
    assert!(scenario.applies(subject), "{name}");
    let setting = Setting::new(Extent::Quick, Pinning::apart(), 1, 7).unwrap();
    let reading = scenario.measure(subject, point, &setting)?;
    // What a row has is what the scenario declares.
    let metrics = scenario.metrics();
    for value in reading.values.keys() {
        assert!(
            metrics.iter().any(|metric| metric.name == *value),
            "{name}: {value}"
        );
    }
    Ok(reading)
}

fn void(name: &str, role: &str) -> String {
    measure(name, &subject("subject", role), 3.0).unwrap_err()
}

fn closed_loop() {
    let counting = subject("counting", "counting {mode} {threads} {stats}");
    for name in [
        "transform-keepalive",
        "transform-oneshot",
        "pipelined",
        "two-cores",
    ] {
        let reading = measure(name, &counting, 4.0).unwrap();
        assert!(reading.values["rate"] > 0.0 && reading.values["first_reply"] > 0.0);
        assert_eq!(reading.values["connect_errors"], 0.0);
        let is_fair = |share: &f64| *share > 0.0 && *share <= 100.0;
        let fairness = reading.values.get("fairness");
        assert_eq!(fairness.is_some_and(is_fair), name == "transform-keepalive");
        assert!(reading.values["p50"] <= reading.values["p99"] && reading.histogram.is_some());
        if cfg!(target_os = "linux") {
            assert!(reading.values["cpu_us"] > 0.0 && reading.values["threads"] >= 2.0);
        }
    }
}

fn another_program() {
    let other = subject("other", "on-port {port} {mode}");
    let reading = measure("transform-keepalive", &other, 4.0).unwrap();
    assert!(reading.values["rate"] > 0.0);
}

fn counts_that_differ() {
    for name in ["transform-keepalive", "idle"] {
        let void = void(name, "counting-wrongly {mode} {stats}");
        assert!(void.starts_with("requests: the client has"), "{void}");
    }
}

fn closes() {
    let void = void("idle", "one-shot {mode}");
    assert!(
        void.starts_with("the server closed the connection"),
        "{void}"
    );
}

fn fetches_for_each() {
    let void = void("proxy-miss", "fetches-for-each {mode}");
    assert_eq!(void, "it fetched the poem 3 times, not once");
    let told = subject("told", "on-port {port} {mode}");
    assert!(
        !find("proxy-miss").applies(&told),
        "waiting for it costs it a fetch"
    );
}

fn idle() {
    let counting = subject("counting", "counting {mode} {stats}");
    let memory = |point| measure("idle", &counting, point).unwrap().values;
    let (few, many) = (memory(10.0), memory(60.0));
    if cfg!(target_os = "linux") {
        // A thread, and a buffer of 64 KiB of which one request touches a page.
        assert!(many["own_memory"] > few["own_memory"] + 50.0 * 1_000.0);
        assert!(many["threads"] >= 60.0);
    }
}

fn client_is_timed() {
    for (name, role) in [
        ("slow-poems", "fetches {fetch}"),
        ("fan-out", "transforms {fetch}"),
    ] {
        let client = subject("client", role);
        let values = measure(name, &client, 3.0).unwrap().values;
        // The server is never early.
        assert!(values["to_ideal"] >= 1.0);
        assert!(values["command_to_ideal"] > values["to_ideal"]);
        assert!(values["accepted_ms"] > 0.0);
    }
}

fn does_not_transform() {
    let role = "fetches-behind-options {fetch}";
    assert_eq!(void("fan-out", role), "poem 0 is wrong");
}

fn fails() {
    assert_eq!(
        void("slow-poems", "fails {fetch}"),
        "it ended with exit status: 1: the reason"
    );
}

fn prints() {
    assert_eq!(void("slow-poems", "shouts {fetch}"), "poem 0 is wrong");
    let expected = "it printed 0 bytes, not the 1800 of the poems";
    assert_eq!(void("slow-poems", "is-mute {fetch}"), expected);
}
