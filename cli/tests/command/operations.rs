//! What operators look at: `stats`, `--metrics` and `--log-format`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use super::support::{
    DEADLINE, Folder, MODELS, Process, Server, connect, netstring, quatrain, read_all, run,
};

/// Starts a server with metrics, and returns their address.
fn with_metrics(arguments: &[&str]) -> (Process, SocketAddr, SocketAddr) {
    let all = [&["serve"], arguments, &["--metrics", "0"]].concat();
    let mut server = Process::start(quatrain(all));
    let (_, address) = server.wait_until_serving();
    let line = server.wait_for("metrics on http://");
    let (_, metrics) = line.split_once("http://").unwrap();
    let (metrics, _) = metrics.split_once('/').unwrap();
    (server, address, metrics.parse().unwrap())
}

/// Waits until the server has closed all connections, which it may do after their clients have seen the end.
fn wait_for_closes(metrics: SocketAddr) {
    let begin = Instant::now();
    while !get(metrics, "/counts").contains("\"open\":0,") {
        assert!(begin.elapsed() < DEADLINE, "a connection stays open");
    }
}

/// Makes requests on a connection, and reads the replies to the end.
fn ask(address: SocketAddr, requests: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(requests).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    read_all(stream)
}

fn get(metrics: SocketAddr, path: &str) -> String {
    let mut stream = connect(metrics);
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    String::from_utf8(read_all(stream)).unwrap()
}

/// Returns the value of the only line in `text` that begins with `name` and has all of `labels`.
fn value(text: &str, name: &str, labels: &[&str]) -> f64 {
    let of_name = text
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    let mut lines = of_name.filter(|line| labels.iter().all(|label| line.contains(label)));
    let line = lines
        .next()
        .unwrap_or_else(|| panic!("no {name} {labels:?} in {text}"));
    assert_eq!(lines.next(), None, "{name} {labels:?} is there twice");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn s23_the_counts_of_a_running_server_are_read_by_its_process_id_and_by_its_metrics() {
    for model in MODELS {
        let (server, address, metrics) =
            with_metrics(&["transform", "--keep-alive", "--model", model]);
        let requests = [netstring("shout.a"), netstring("nosuch.a")].concat();
        assert_eq!(ask(address, &requests), netstring("A"));
        wait_for_closes(metrics);
        let process = server.id().to_string();
        let shown = run(&["stats", &process]);
        assert_eq!((shown.status, shown.stderr.as_str()), (Some(0), ""));
        for row in [
            "connections accepted",
            "closed: refused",
            "refused: unknown transform",
        ] {
            let line = shown.stdout.lines().find(|line| line.contains(row));
            assert!(
                line.is_some_and(|line| line.ends_with(" 1")),
                "{row}: {}",
                shown.stdout
            );
        }
        assert!(!shown.stdout.contains("reset"), "{}", shown.stdout);
        let by_process = run(&["stats", &process, "--json"]).stdout;
        let by_address = run(&["stats", &metrics.to_string(), "--json"]).stdout;
        assert_eq!(by_process, by_address, "{model}");
        let counts: Value = serde_json::from_str(&by_process).unwrap();
        assert_eq!(counts["model"], *model);
        assert_eq!(counts["address"], address.to_string());
        let last: Value = {
            let ended = server.stop();
            serde_json::from_str(
                ended
                    .stderr
                    .lines()
                    .rfind(|line| line.starts_with('{'))
                    .unwrap(),
            )
            .unwrap()
        };
        for (key, count) in last.as_object().unwrap() {
            assert_eq!(counts[key], *count, "{model}: {key}");
        }
    }
}

#[test]
fn s23_the_metrics_are_those_counts_and_the_latencies_of_every_reply() {
    for model in MODELS {
        let (server, address, metrics) =
            with_metrics(&["transform", "--keep-alive", "--model", model]);
        let requests = netstring("shout.a").repeat(3);
        assert_eq!(ask(address, &requests), netstring("A").repeat(3));
        wait_for_closes(metrics);
        let page = get(metrics, "/metrics");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text"));
        assert!(page.ends_with("# EOF\n"));
        let of_model = format!("model=\"{model}\"");
        let of_model = of_model.as_str();
        let number =
            |name: &str, labels: &[&str]| value(&page, name, &[labels, &[of_model]].concat());
        assert_eq!(
            number("quatrain_requests_answered_total", &[]),
            3.0,
            "{model}"
        );
        assert_eq!(
            number("quatrain_connections_closed_total", &["reason=\"done\""]),
            1.0
        );
        assert_eq!(
            number("quatrain_latency_seconds_count", &[]),
            3.0,
            "{model}"
        );
        assert_eq!(
            number("quatrain_latency_seconds_bucket", &["le=\"+Inf\""]),
            3.0
        );
        assert!(get(metrics, "/").starts_with("HTTP/1.1 404 "));
        // A scraper that sends nothing holds up neither another nor the end.
        let mut silent = connect(metrics);
        silent.write_all(b"GET /met").unwrap();
        assert_eq!(server.stop().status, Some(0));
        assert!(!matches!(silent.read(&mut [0]), Ok(1..)));
    }
}

#[test]
fn poems_are_timed_from_the_start_of_their_connection() {
    let folder = Folder::with(&[("poem", b"Ah")]);
    for model in MODELS {
        let poem = folder.path("poem");
        let slow = ["--num-bytes", "1", "--delay", "20ms", "--model", model];
        let (server, address, metrics) = with_metrics(&[&["poem", &poem][..], &slow].concat());
        assert_eq!(read_all(connect(address)), b"Ah");
        wait_for_closes(metrics);
        let page = get(metrics, "/metrics");
        assert_eq!(
            value(&page, "quatrain_latency_seconds_count", &["role=\"poem\""]),
            1.0
        );
        assert!(
            value(&page, "quatrain_latency_seconds_sum", &[]) >= 0.02,
            "{model}"
        );
        drop(server);
    }
}

#[test]
fn the_services_of_a_file_are_told_apart() {
    let file = b"[[service]]\nname = \"upper\"\nrole = \"transform\"\nlisten = \"0\"\n\
                 [[service]]\nname = \"slow\"\nrole = \"poem\"\nfile = \"poem\"\nlisten = \"0\"\nmodel = \"actors\"\n";
    let folder = Folder::with(&[("services.toml", file), ("poem", b"Ah")]);
    let config = folder.path("services.toml");
    let mut server = Process::start(quatrain(["serve", "--config", &config, "--metrics", "0"]));
    let line = server.wait_for("metrics on http://");
    let (_, metrics) = line.split_once("http://").unwrap();
    let metrics: SocketAddr = metrics.split_once('/').unwrap().0.parse().unwrap();
    let shown = run(&["stats", &metrics.to_string()]).stdout;
    assert!(
        shown.contains("upper on 127.0.0.1:") && shown.contains("slow on 127.0.0.1:"),
        "{shown}"
    );
    let page = get(metrics, "/metrics");
    let labels = ["service=\"slow\"", "role=\"poem\"", "model=\"actors\""];
    assert_eq!(value(&page, "quatrain_requests_total", &labels), 0.0);
    assert_eq!(server.stop().status, Some(0));
}

#[test]
fn what_is_no_server_is_named_with_what_to_do() {
    let server = Server::start(&["transform"]);
    let cases = [
        (
            "1".to_owned(),
            1,
            "cannot ask process 1: no quatrain server has this process id",
        ),
        (
            server.address.to_string(),
            1,
            "is this the address of a server's --metrics?",
        ),
        (
            "poem".to_owned(),
            2,
            "write a process id, or HOST:PORT of the server's --metrics",
        ),
    ];
    for (target, status, words) in cases {
        let failed = run(&["stats", &target]);
        assert_eq!((failed.status, failed.stdout.as_str()), (Some(status), ""));
        assert!(failed.only_line().contains(words), "{failed:?}");
    }
    let taken = run(&[
        "serve",
        "transform",
        "--metrics",
        &server.address.to_string(),
    ]);
    assert_eq!(taken.status, Some(2));
    assert!(
        taken.only_line().contains("cannot listen on --metrics"),
        "{taken:?}"
    );
}

#[test]
fn a_log_of_json_has_an_object_for_each_line() {
    let server = Server::start(&["transform", "--log-format", "json"]);
    assert_eq!(ask(server.address, &netstring("nosuch.a")), b"");
    let log = server.stop().stderr;
    let lines = log
        .lines()
        .filter(|line| !line.starts_with("{\"accepted\""));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let refused = lines.iter().find(|line| line["level"] == "WARN").unwrap();
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .starts_with("refused a request of 127.0.0.1:")
    );
    assert!(
        lines.iter().all(|line| line["timestamp"].is_string()),
        "{log}"
    );
}
