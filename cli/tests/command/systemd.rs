//! What systemd passes to the command and hears from it (S26): sockets, readiness, reloading, stopping, the watchdog; and its units.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::close;

use super::services::service;
use super::support::{
    DEADLINE, Folder, LANTERN, MODELS, Process, Scratch, connect, netstring, quatrain, read_all,
};

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    path: Scratch,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = Scratch::path(name);
        let socket = UnixDatagram::bind(path.as_str()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, path }
    }

    /// Waits for the next message.
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}

/// Starts the command with `arguments`, and passes `listeners` by their names as systemd does: as descriptors from 3 on, announced to
/// one process only.
fn start_with(
    arguments: &[&str],
    listeners: &[(&str, &TcpListener)],
    variables: &[(&str, &str)],
) -> Process {
    let names: Vec<&str> = listeners.iter().map(|(name, _)| *name).collect();
    // The shell becomes the command, so it knows the process id.
    let mut script = format!(
        "LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={} exec \"$0\" \"$@\"",
        listeners.len(),
        names.join(":")
    );
    // Copies that are inherited, with numbers above those that they get.
    let copies: Vec<_> = listeners
        .iter()
        .map(|(_, listener)| fcntl(listener, FcntlArg::F_DUPFD(50)).unwrap())
        .collect();
    for (place, copy) in (3..).zip(&copies) {
        script += &format!(" {place}<&{copy} {copy}<&-");
    }
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quatrain")]);
    command.args(arguments).stdin(Stdio::null());
    command.envs(variables.iter().copied());
    let process = Process::start(command);
    copies.into_iter().for_each(|copy| close(copy).unwrap());
    process
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut command = quatrain(arguments);
    command.envs(variables.iter().copied());
    Process::start(command)
}

#[test]
fn s26_the_manager_hears_of_readiness_reloading_and_stopping() {
    let manager = Manager::new("notify");
    let file = Scratch::file("notify.toml", service("a", "transform", "").as_bytes());
    let arguments = ["serve", "--config", file.as_str()];
    let mut process = start(&arguments, &[("NOTIFY_SOCKET", manager.path.as_str())]);
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving 1 service\n");
    // Ready means that it serves.
    let (_, address) = process.wait_until_serving();
    drop(connect(address));
    process.signal(Signal::SIGHUP);
    let reloading = manager.next();
    let since = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(since.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving 1 service\n");
    std::fs::write(file.as_str(), "flawed").unwrap();
    process.signal(Signal::SIGHUP);
    assert!(manager.next().starts_with("RELOADING=1\n"));
    assert_eq!(manager.next(), "READY=1\nSTATUS=serving 1 service\n");
    process.signal(Signal::SIGTERM);
    assert_eq!(manager.next(), "STOPPING=1\nSTATUS=stopping\n");
    assert_eq!(process.end().status, Some(0));
}

#[test]
fn s26_a_single_server_tells_the_manager_too() {
    let manager = Manager::new("single");
    let process = start(
        &["serve", "poem", LANTERN],
        &[("NOTIFY_SOCKET", manager.path.as_str())],
    );
    assert!(
        manager
            .next()
            .starts_with("READY=1\nSTATUS=serving on 127.0.0.1:")
    );
    process.signal(Signal::SIGTERM);
    assert!(manager.next().starts_with("STOPPING=1\n"));
    assert_eq!(process.end().status, Some(0));
}

#[test]
fn s26_the_watchdog_is_notified_again_and_again_in_every_model() {
    for model in MODELS {
        let manager = Manager::new(&format!("watchdog-{model}"));
        let keys = format!("threads = 2\nmodel = \"{model}\"");
        let file = [
            service("a", "transform", &keys),
            service("b", "transform", &keys),
        ];
        let name = format!("watchdog-{model}.toml");
        let file = Scratch::file(&name, file.concat().as_bytes());
        let variables = [
            ("NOTIFY_SOCKET", manager.path.as_str()),
            ("WATCHDOG_USEC", "200000"),
        ];
        let process = start(&["serve", "--config", file.as_str()], &variables);
        assert!(manager.next().starts_with("READY=1"));
        for _ in 0..3 {
            assert_eq!(manager.next(), "WATCHDOG=1\n", "{model}");
        }
        assert_eq!(process.stop().status, Some(0));
    }
}

#[test]
fn s26_services_and_single_servers_serve_on_sockets_by_their_names() {
    let (poems, words) = (listener(), listener());
    let on = |socket: &str| format!("socket = \"{socket}\"");
    let file = [
        service("w", "transform", "").replace("listen = 0", &on("words")),
        service("p", "poem", &format!("file = \"{LANTERN}\"\nfast = true"))
            .replace("listen = 0", &on("poems")),
    ];
    let file = Scratch::file("sockets.toml", file.concat().as_bytes());
    let sockets = [("poems", &poems), ("words", &words), ("spare", &listener())];
    let mut process = start_with(&["serve", "--config", file.as_str()], &sockets, &[]);
    process.wait_for("the socket spare was passed, but nothing serves on it");
    for expected in [&words, &poems] {
        let (_, address) = process.wait_until_serving();
        assert_eq!(address, expected.local_addr().unwrap());
    }
    let lantern = std::fs::read(LANTERN).unwrap();
    assert_eq!(read_all(connect(poems.local_addr().unwrap())), lantern);
    let mut stream = connect(words.local_addr().unwrap());
    stream.write_all(&netstring("shout.a")).unwrap();
    assert_eq!(read_all(stream), netstring("A"));
    assert_eq!(process.stop().status, Some(0));
    // The sockets are still the manager's.
    let arguments = ["serve", "poem", LANTERN, "--fast", "--socket", "poems"];
    let mut process = start_with(&arguments, &[("poems", &poems)], &[]);
    process.wait_until_serving();
    assert_eq!(read_all(connect(poems.local_addr().unwrap())), lantern);
    assert_eq!(process.stop().status, Some(0));
}

#[test]
fn s26_a_socket_of_one_name_with_several_addresses_has_a_server_for_each() {
    let (one, two) = (listener(), listener());
    let file = service("w", "transform", "").replace("listen = 0", "socket = \"s\"");
    let file = Scratch::file("several.toml", file.as_bytes());
    let sockets = [("s", &one), ("s", &two)];
    let mut process = start_with(&["serve", "--config", file.as_str()], &sockets, &[]);
    for expected in [&one, &two] {
        assert_eq!(
            process.wait_until_serving().1,
            expected.local_addr().unwrap()
        );
    }
    assert_eq!(process.stop().status, Some(0));
    let ended = start_with(&["serve", "transform", "--socket", "s"], &sockets, &[]).end();
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.only_line().contains("2 sockets are called s"),
        "{ended:?}"
    );
}

#[test]
fn s26_a_socket_that_was_not_passed_or_cannot_be_served_is_one_line_and_status_2() {
    let one = listener();
    let serve = ["serve", "transform", "--socket", "words"];
    let could_not = |process: Process, words: &str| {
        let ended = process.end();
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.only_line().contains(words), "{ended:?}");
    };
    could_not(
        start(&serve, &[]),
        "no socket called words was passed; start it by a socket unit",
    );
    could_not(
        start_with(&serve, &[("poems", &one)], &[]),
        "no socket called words was passed; passed were: poems",
    );
    // Announced to another process.
    could_not(
        start(&serve, &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]),
        "no socket called words",
    );
    let file = service("w", "transform", "").replace("listen = 0", "socket = \"words\"");
    let file = Scratch::file("absent.toml", file.as_bytes());
    could_not(
        start(&["serve", "--config", file.as_str()], &[]),
        "absent.toml:4:1: service w: no socket called words was passed",
    );
    let announced = "LISTEN_PID=$$ LISTEN_FDNAMES=words exec \"$0\" \"$@\"";
    for (how, words) in [
        (
            "LISTEN_FDS=1 ",
            "cannot use the sockets that were passed: Bad file descriptor",
        ),
        (
            "LISTEN_FDS=4000000000 ",
            "cannot use the sockets that were passed",
        ),
        (
            "LISTEN_FDS=-1 ",
            "cannot use the sockets that were passed: invalid LISTEN_FDS",
        ),
        ("LISTEN_FDS=2 ", "cannot use the sockets that were passed"),
    ] {
        let mut command = Command::new("bash");
        command.args([
            "-c",
            &format!("{how}{announced}"),
            env!("CARGO_BIN_EXE_quatrain"),
        ]);
        command.args(serve).stdin(Stdio::null());
        could_not(Process::start(command), words);
    }
    // A file instead of a socket.
    let mut command = Command::new("bash");
    let script = format!("LISTEN_FDS=1 {announced} 3</dev/null");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_quatrain")]);
    command.args(serve).stdin(Stdio::null());
    could_not(Process::start(command), "fd 3 is not a socket");
}

/// Connects again and again, and reads the poem, until `done`, and counts in `served`.
fn fetch_until(done: &AtomicBool, served: &AtomicUsize, address: SocketAddr, poem: &[u8]) {
    while !done.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| {
            panic!("refused after {served:?} poems: {error}");
        });
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(read_all(stream), poem, "after {served:?} poems");
        served.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the clients also when a test fails.
struct SetOnDrop<'f>(&'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A small activator: it keeps the listening socket and starts the server again whenever it has ended. QUATRAIN_RESTARTS=1000 is a long
/// run.
#[test]
fn s26_no_client_is_refused_or_unserved_while_the_server_is_restarted_on_a_kept_socket() {
    const CLIENTS: usize = 1_000;
    let wanted = std::env::var("QUATRAIN_RESTARTS").map_or(5, |number| number.parse().unwrap());
    let poem = std::fs::read(LANTERN).unwrap();
    for model in MODELS {
        let kept = listener();
        let address = kept.local_addr().unwrap();
        let arguments = [
            "serve", "poem", LANTERN, "--fast", "--socket", "s", "--model", model,
        ];
        let done = AtomicBool::new(false);
        let served = AtomicUsize::new(0);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| fetch_until(&done, &served, address, &poem)))
                .collect();
            let end = SetOnDrop(&done);
            let mut restarts = 0;
            while restarts < wanted || served.load(Ordering::Relaxed) < CLIENTS {
                let mut process = start_with(&arguments, &[("s", &kept)], &[]);
                process.wait_until_serving();
                let before = served.load(Ordering::Relaxed);
                while served.load(Ordering::Relaxed) < before + 1.max(CLIENTS / wanted) {
                    assert!(
                        clients.iter().all(|client| !client.is_finished()),
                        "{model}"
                    );
                    thread::yield_now();
                }
                let ended = process.stop();
                assert_eq!(ended.status, Some(0), "{ended:?}");
                restarts += 1;
            }
            // Who waits in the backlog is served by the last server.
            let last = start_with(&arguments, &[("s", &kept)], &[]);
            drop(end);
            clients
                .into_iter()
                .for_each(|client| client.join().unwrap());
            println!(
                "{model}: {} clients, {restarts} restarts",
                served.load(Ordering::Relaxed)
            );
            assert_eq!(last.stop().status, Some(0));
        });
    }
}

/// Runs systemd-analyze on the units, as copies whose command exists. `None` if it is not installed.
fn analyze(test: &str, arguments: &[&str], units: &[&str]) -> Option<(bool, String)> {
    let installed = Command::new("systemd-analyze").arg("--version").output();
    if !installed.is_ok_and(|output| output.status.success()) {
        eprintln!("{test} is skipped: there is no systemd-analyze");
        return None;
    }
    let folder = Folder::with(&[]);
    for unit in ["quatrain.service", "quatrain.socket"] {
        let text = std::fs::read_to_string(format!("{PACKAGING}/systemd/{unit}")).unwrap();
        let text = text.replace("/usr/bin/quatrain", env!("CARGO_BIN_EXE_quatrain"));
        folder.write(unit, text.as_bytes());
    }
    let paths = units.iter().map(|unit| folder.path(unit));
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .args(paths)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8(text).unwrap()))
}

#[test]
fn s26_systemd_finds_no_flaw_in_the_units() {
    let arguments = ["verify", "--man=no", "--recursive-errors=no"];
    let units = ["quatrain.service", "quatrain.socket"];
    if let Some((verified, text)) = analyze("the check of the units", &arguments, &units) {
        assert!(verified && text.is_empty(), "{text}");
    }
}

#[test]
fn s26_systemd_finds_the_service_hardly_exposed() {
    // In tenths: up to 2.0 of 10 is \"OK\" in systemd's words, and a service without any hardening has 9.6.
    let arguments = ["security", "--offline=true", "--threshold=15"];
    let exposed = analyze(
        "the hardening of the unit",
        &arguments,
        &["quatrain.service"],
    );
    if let Some((is_below, text)) = exposed {
        assert!(is_below, "{text}");
    }
}
