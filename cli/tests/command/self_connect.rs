//! A TCP connection to itself (S11): the only ephemeral port is the one that is fetched, and no server listens on it. The
//! kernel then connects the socket to itself. The tests run in a network namespace of their own.

use std::process::Command;

use super::support::{LANTERN, MODELS, Process, Scratch};

/// The only ephemeral port, and the one that is fetched.
const PORT: &str = "40000";

/// Runs `script` with a loopback interface whose only ephemeral port is [`PORT`]; `None` where that is not permitted.
fn run_in_namespace(script: &str, arguments: &[&str]) -> Option<super::support::Ended> {
    const SET_UP: &str = r#"ip link set lo up && printf '%s %s\n' "$PORT" "$PORT" > /proc/sys/net/ipv4/ip_local_port_range"#;
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", script]);
        command
            .arg(env!("CARGO_BIN_EXE_quatrain"))
            .env("PORT", PORT);
        command
    };
    let permitted = namespace(SET_UP).output();
    if !permitted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs network namespaces");
        return None;
    }
    let mut command = namespace(&format!("{SET_UP} && {script}"));
    command.args(arguments);
    Some(Process::start(command).end())
}

#[test]
fn s11_a_fetch_that_connects_to_itself_is_a_failed_connection() {
    for model in MODELS {
        let script = r#"exec "$0" fetch "$PORT" --idle-timeout 5s --model "$1""#;
        let Some(fetched) = run_in_namespace(script, &[model]) else {
            return;
        };
        assert_eq!((fetched.status, fetched.stdout.as_str()), (Some(1), ""));
        let failed = format!("Task 1 failed: 127.0.0.1:{PORT}: connection failed: ");
        let stderr = fetched.stderr;
        assert!(stderr.contains(&failed), "{model}: {stderr}");
        assert!(stderr.contains("Nothing listens on"), "{model}: {stderr}");
    }
}

#[test]
fn s11_a_transform_that_connects_to_itself_keeps_the_original() {
    for model in MODELS {
        let serving = Scratch::fifo(&format!("serving-{model}"));
        let script = r#"
            "$0" serve poem "$2" --fast --port 10001 --end-with-parent $$ --log off > "$3" 2> /dev/null &
            read -r line < "$3"
            "$0" fetch 10001 --transform shout --via "$PORT" --idle-timeout 5s --model "$1""#;
        let script = format!("{{ {script}\n }}");
        let Some(fetched) = run_in_namespace(&script, &[model, LANTERN, serving.as_str()]) else {
            return;
        };
        let poem = std::fs::read_to_string(LANTERN).unwrap();
        assert_eq!((fetched.status, fetched.stdout), (Some(0), poem), "{model}");
        let kept = format!("the original is kept: 127.0.0.1:{PORT}: connection failed: ");
        let stderr = fetched.stderr;
        assert!(stderr.contains(&kept), "{model}: {stderr}");
    }
}
