//! Few descriptors (S17), with each model. A shell sets the limits that a process of ours inherits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{MODELS, Process, connect, netstring};

/// A transform server of `model` under `limit`, an option of `ulimit`.
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
    server.announced();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{files}");
}

/// How many descriptors the kernel's table of a process has room for.
#[cfg(target_os = "linux")]
fn table_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    size.unwrap().trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_table_of_descriptors_has_room_for_all_connections_from_the_start_and_is_bounded() {
    let table = |connections: &str| {
        let script = format!(
            r#"ulimit -n 1000 && exec "$0" serve poem --connections-max {connections} ../poems/lantern.txt"#
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_quatrain")]);
        let mut server = Process::start(command);
        server.announced();
        table_of(server.id())
    };
    assert!((500..=1_024).contains(&table("500")));
    assert!(table("1") < 500);
    // What the system does not allow is not asked for.
    assert!((1_000..=1_024).contains(&table("1000000")));
}

#[test]
fn s17_a_server_out_of_descriptors_says_so_once_a_second_and_serves_when_there_are_some_again() {
    for model in MODELS {
        let mut server = limited("-n 40", model);
        let begun = Instant::now();
        let (_, address) = server.announced();
        let mut streams: Vec<_> = (0..80).map(|_| connect(address)).collect();
        server.hear("cannot accept");
        answers(&mut streams[0]);
        streams.drain(..60);
        streams.iter_mut().for_each(answers);
        let said = server.stop().stderr.matches("cannot accept").count() as u64;
        let seconds = begun.elapsed().max(Duration::from_secs(1)).as_secs();
        assert!(said <= seconds + 1, "{model}: {said} lines in {seconds} s");
    }
}
