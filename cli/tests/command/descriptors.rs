//! Few descriptors (S17), with each model. A shell sets the limits, which the command inherits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{MODELS, Process, connect, netstring};

/// Starts a transform server of `model` under `limit`, an option of `ulimit`.
fn limited(limit: &str, model: &str) -> Process {
    let script =
        format!(r#"ulimit {limit} && exec "$0" serve transform --keep-alive --model {model}"#);
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quatrain")]);
    Process::start(command)
}

fn answers(stream: &mut TcpStream) {
    stream.write_all(&netstring("shout.x")).unwrap();
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply.as_slice(), netstring("X"));
}

#[cfg(target_os = "linux")]
#[test]
fn s17_the_soft_limit_is_raised_to_the_hard_one() {
    let mut server = limited("-S -n 64", "callbacks");
    server.wait_until_serving();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{files}");
}

/// Returns the size of the kernel's table of descriptors for `process`.
#[cfg(target_os = "linux")]
fn table_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    size.unwrap().trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_table_of_descriptors_has_room_for_all_connections_from_the_start_within_a_bound() {
    let table = |connections: &str| {
        let script = format!(
            r#"ulimit -n 1000 && exec "$0" serve poem --connections-max {connections} ../poems/lantern.txt"#
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_quatrain")]);
        let mut server = Process::start(command);
        server.wait_until_serving();
        table_of(server.id())
    };
    assert!((500..=1_024).contains(&table("500")));
    assert!(table("1") < 500);
    // No more than the limit is requested.
    assert!((1_000..=1_024).contains(&table("1000000")));
}

#[test]
fn s17_a_server_says_which_limits_are_in_force_and_which_are_too_low() {
    for (limit, options, warning) in [
        ("-n 500", "--connections-max 436", None),
        (
            "-n 500",
            "--connections-max 437",
            Some(
                "500 descriptors are too few for 437 connections: start it after ulimit -n 501, or with --connections-max 436\n",
            ),
        ),
    ] {
        let mut server = limited(limit, &format!("blocking {options}"));
        server.wait_until_serving();
        let connections = options.rsplit(' ').next().unwrap();
        let line = server.wait_for("limits: ");
        let expected = format!("INFO limits: {connections} connections, 500 descriptors, backlog ");
        assert!(line.contains(&expected), "{line}");
        let log = server.stop().stderr;
        assert_eq!(
            log.contains("descriptors are too few"),
            warning.is_some(),
            "{log}"
        );
        assert!(warning.is_none_or(|warning| log.contains(warning)), "{log}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn t1_a_server_that_may_be_short_of_threads_says_what_to_do() {
    // More than the memory maps of any process.
    let mut server = limited("-n 500", "blocking --connections-max 1048576");
    server.wait_until_serving();
    let line = server.wait_for("more threads than");
    assert!(
        line.contains("the others wait; lower --connections-max, or use --pool"),
        "{line}"
    );
}

#[test]
fn s17_a_server_out_of_descriptors_logs_it_once_a_second_and_recovers() {
    for model in MODELS {
        let mut server = limited("-n 40", model);
        let start = Instant::now();
        let (_, address) = server.wait_until_serving();
        let mut streams: Vec<_> = (0..80).map(|_| connect(address)).collect();
        server.wait_for("cannot accept");
        answers(&mut streams[0]);
        streams.drain(..60);
        streams.iter_mut().for_each(answers);
        let lines = server.stop().stderr.matches("cannot accept").count() as u64;
        let seconds = start.elapsed().max(Duration::from_secs(1)).as_secs();
        assert!(
            lines <= seconds + 1,
            "{model}: {lines} lines in {seconds} s"
        );
    }
}
