//! Several services in one process (S26).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use nix::sys::signal::Signal;
use poetry::Counts;

use super::support::{
    Folder, LANTERN, MODELS, Process, Scratch, connect, counts, netstring, quatrain, read_all, run,
};

/// A `[[service]]` on a free port.
pub(crate) fn service(name: &str, role: &str, keys: &str) -> String {
    format!("[[service]]\nname = \"{name}\"\nrole = \"{role}\"\nlisten = 0\n{keys}\n")
}

/// A process that runs the services of a file.
pub(crate) struct Services {
    pub(crate) process: Process,
    pub(crate) addresses: Vec<SocketAddr>,
    /// The `Serving` lines.
    pub(crate) lines: Vec<String>,
}

impl Services {
    /// Starts the services of `file`, and waits until `servers` servers listen.
    pub(crate) fn start(file: &str, servers: usize, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--config", file], arguments].concat();
        let mut process = Process::start(quatrain(arguments));
        let (lines, addresses) = (0..servers).map(|_| process.wait_until_serving()).unzip();
        Self {
            process,
            addresses,
            lines,
        }
    }

    fn ask(&self, server: usize, request: &str) -> Vec<u8> {
        let mut stream = connect(self.addresses[server]);
        stream.write_all(&netstring(request)).unwrap();
        read_all(stream)
    }
}

fn lantern() -> Vec<u8> {
    std::fs::read(LANTERN).unwrap()
}

#[test]
fn s26_services_of_every_role_and_model_run_in_one_process() {
    let folder = Folder::with(&[("a.txt", b"Ahoy")]);
    for (index, model) in MODELS.iter().enumerate() {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = upstream.local_addr().unwrap().port();
        let model = format!("model = \"{model}\"\n");
        let file = Scratch::file(
            &format!("roles-{index}.toml"),
            [
                service(
                    "poem",
                    "poem",
                    &format!("{model}file = \"{LANTERN}\"\nfast = true"),
                ),
                service("words", "transform", &model),
                service(
                    "library",
                    "library",
                    &format!("{model}directory = \"{}\"", folder.as_str()),
                ),
                service("cache", "proxy", &format!("{model}upstream = {port}")),
            ]
            .concat()
            .as_bytes(),
        );
        let services = Services::start(file.as_str(), 4, &[]);
        assert_eq!(read_all(connect(services.addresses[0])), lantern());
        assert_eq!(services.ask(1, "shout.a"), netstring("A"));
        assert_eq!(services.ask(2, "a"), netstring("Ahoy"));
        let client = connect(services.addresses[3]);
        upstream.accept().unwrap().0.write_all(b"cached").unwrap();
        assert_eq!(read_all(client), b"cached");
        for (line, name) in services
            .lines
            .iter()
            .zip(["poem", "words", "library", "cache"])
        {
            assert!(line.starts_with(&format!("Serving {name}: ")), "{line}");
        }
        let ended = services.process.stop();
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
}

#[test]
fn s26_services_start_in_order_and_stop_in_reverse() {
    let names = ["first", "second", "third"];
    let file: String = names
        .iter()
        .map(|name| service(name, "transform", ""))
        .collect();
    let file = Scratch::file("order.toml", file.as_bytes());
    let ended = Services::start(file.as_str(), 3, &[]).process.stop();
    let places = |text: &str, before: &str| {
        let place = |name: &&str| text.find(&format!("{before}{name}")).unwrap();
        names.iter().map(place).collect::<Vec<_>>()
    };
    assert!(places(&ended.stdout, "Serving ").is_sorted(), "{ended:?}");
    let mut stopping = places(&ended.stderr, "stopping ");
    let mut stopped = places(&ended.stderr, "stopped ");
    assert!(
        stopping[1] > stopped[2] && stopping[0] > stopped[1],
        "{ended:?}"
    );
    stopping.reverse();
    stopped.reverse();
    assert!(stopping.is_sorted() && stopped.is_sorted(), "{ended:?}");
    assert_eq!(ended.status, Some(0));
}

#[test]
fn s26_a_service_runs_until_those_after_it_have_finished() {
    for model in MODELS {
        let model = format!("model = \"{model}\"\n");
        let file = [
            service("words", "transform", &model),
            service("slow", "transform", &format!("{model}grace = 30\n")),
        ];
        let file = Scratch::file(
            &format!("chain-{}.toml", &model[9..12]),
            file.concat().as_bytes(),
        );
        let mut services = Services::start(file.as_str(), 2, &["--log", "trace"]);
        let mut late = connect(services.addresses[1]);
        late.write_all(b"6:shout").unwrap();
        services.process.wait_for("Read { bytes: 7 }");
        services.process.signal(Signal::SIGTERM);
        services.process.wait_for("stopping slow");
        assert_eq!(services.ask(0, "shout.a"), netstring("A"), "{model}");
        late.write_all(b".,").unwrap();
        assert_eq!(read_all(late), netstring(""), "{model}");
        assert_eq!(services.process.end().status, Some(0), "{model}");
    }
}

#[test]
fn s26_what_is_cut_is_said_by_the_status_and_the_line_of_its_service() {
    let keys = format!("file = \"{LANTERN}\"\ngrace = 0\ndelay = 1000");
    let file = [
        service("slow", "poem", &keys),
        service("idle", "transform", ""),
    ];
    let file = Scratch::file("cut.toml", file.concat().as_bytes());
    let services = Services::start(file.as_str(), 2, &[]);
    let mut client = connect(services.addresses[0]);
    client.read_exact(&mut [0; 1]).unwrap();
    let ended = services.process.stop();
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stderr.contains("stopped slow: 0 finished, 1 cut"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("stopped idle: 0 finished"),
        "{ended:?}"
    );
}

#[test]
fn s26_s21_a_second_signal_ends_all_services_at_once() {
    let stats = Scratch::path("second.stats");
    let keys = format!("file = \"{LANTERN}\"\ngrace = 1000\ndelay = 1000");
    let file = [
        service("idle", "transform", ""),
        service("slow", "poem", &keys),
    ];
    let file = Scratch::file("second.toml", file.concat().as_bytes());
    let mut services = Services::start(file.as_str(), 2, &["--stats", stats.as_str()]);
    let mut client = connect(services.addresses[1]);
    client.read_exact(&mut [0; 1]).unwrap();
    services.process.signal(Signal::SIGTERM);
    services.process.wait_for("stopping slow");
    services.process.signal(Signal::SIGTERM);
    assert_eq!(services.process.end().status, Some(1));
    let stats = stats.read();
    let lines: Vec<_> = stats.lines().collect();
    assert_eq!(lines.len(), 2, "{stats}");
    assert_eq!((counts(lines[0]).open, counts(lines[1]).open), (0, 1));
}

#[test]
fn s26_s23_the_counts_of_each_server_name_its_service_and_address() {
    let stats = Scratch::path("services.stats");
    let file = [
        service("a", "transform", "").replace("listen = 0", "listen = [0, \"[::1]:0\"]"),
        service("b", "transform", "model = \"actors\""),
    ];
    let file = Scratch::file("counts.toml", file.concat().as_bytes());
    let mut services = Services::start(
        file.as_str(),
        3,
        &["--stats", stats.as_str(), "--log", "debug"],
    );
    assert_eq!(services.ask(2, "shout.a"), netstring("A"));
    assert_eq!(services.ask(1, "shout.a"), netstring("A"));
    services.process.signal(Signal::SIGUSR1);
    // The counts are written before them, by another thread. The details of actors are its supervision tree.
    services
        .process
        .wait_for(&format!("b on {}:", services.addresses[2]));
    let addresses = services.addresses.clone();
    assert_eq!(services.process.stop().status, Some(0));
    let stats = stats.read();
    assert_eq!(stats.lines().count(), 6, "{stats}");
    for (index, line) in stats.lines().enumerate() {
        let fields: serde_json::Value = serde_json::from_str(line).unwrap();
        let server = index % 3;
        assert_eq!(fields["service"], ["a", "a", "b"][server]);
        assert_eq!(fields["address"], addresses[server].to_string());
        let counts: Counts = counts(line);
        assert_eq!(counts.answered, [0, 1, 1][server], "{line}");
    }
}

#[test]
fn s26_lines_of_the_log_name_the_service() {
    let file = [service("a", "transform", ""), service("b", "transform", "")];
    let file = Scratch::file("log.toml", file.concat().as_bytes());
    let mut services = Services::start(file.as_str(), 2, &[]);
    assert_eq!(services.ask(1, "sing.a"), b"");
    let line = services.process.wait_for("refused a request");
    assert!(
        line.contains(" b: refused a request of 127.0.0.1:"),
        "{line}"
    );
}

#[test]
fn s26_a_service_that_cannot_start_stops_the_earlier_ones_in_reverse() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let file = [
        service("first", "transform", ""),
        service("second", "transform", ""),
        service("third", "transform", "")
            .replace("listen = 0", &format!("listen = {}", taken.port())),
        service("fourth", "transform", ""),
    ];
    let file = Scratch::file("taken.toml", file.concat().as_bytes());
    let ended = run(&["serve", "--config", file.as_str()]);
    assert_eq!(ended.status, Some(2));
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
    let place = |words: &str| ended.stderr.find(words).unwrap();
    assert!(
        place("stopped second") < place("stopped first"),
        "{ended:?}"
    );
    let last = ended.stderr.lines().last().unwrap();
    let expected = format!(
        "quatrain: {}:14:1: service third: cannot listen on {taken}: Address already in use; choose another port",
        file.as_str()
    );
    assert!(last.starts_with(&expected), "{last}");
}

#[test]
fn s26_a_file_with_flaws_starts_nothing_and_is_reported_by_line_and_column() {
    let file = format!(
        "{}{}",
        service("a", "transform", "thraeds = 2"),
        service("b", "poem", "fast = 1")
    );
    let file = Scratch::file("flawed.toml", file.as_bytes());
    for arguments in [&["serve", "--config"][..], &["config", "check"]] {
        let ended = run(&[arguments, &[file.as_str()]].concat());
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
        let lines: Vec<_> = ended.stderr.lines().collect();
        let at = format!("quatrain: {}:", file.as_str());
        assert!(
            lines[0].starts_with(&format!("{at}5:1: unknown key thraeds")),
            "{lines:?}"
        );
        assert_eq!(
            lines[1],
            format!("{at}6:1: a service of the role poem needs the key file")
        );
        assert_eq!(lines[2], format!("{at}10:8: fast is true or false"));
        assert_eq!(lines.len(), 3);
    }
}

#[test]
fn s26_a_check_finds_files_that_are_missing_and_pools_without_their_model() {
    let file = [
        service("a", "poem", "file = \"no/such.txt\""),
        service("b", "library", "directory = \"none\""),
        service("c", "transform", "pool = 3"),
        service("d", "proxy", "upstream = \"no.such.invalid:1\""),
    ];
    let file = Scratch::file("missing.toml", file.concat().as_bytes());
    let ended = run(&["config", "check", file.as_str()]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
    let lines: Vec<_> = ended.stderr.lines().collect();
    for (line, words) in lines.iter().zip([
        ":5:1: service a: cannot read ",
        ":10:1: service b: cannot read the library ",
        ":15:1: service c: pool 3 is not for model callbacks",
        ":20:1: service d: cannot be a proxy of no.such.invalid:1",
    ]) {
        assert!(line.contains(words), "{line}");
    }
    assert_eq!(lines.len(), 4, "{ended:?}");
}

#[test]
fn s26_a_check_prints_what_would_run_and_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let keys = format!("file = \"{LANTERN}\"\nmodel = \"blocking\"\nwrite-timeout = \"5s\"");
    let file = service("a", "poem", &keys).replace("listen = 0", &format!("listen = {port}"));
    let file = Scratch::file("checked.toml", file.as_bytes());
    let ended = run(&["config", "check", file.as_str()]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    let mut lines = ended.stdout.lines();
    let expected = format!("a: {LANTERN} on 127.0.0.1:{port} with blocking");
    assert_eq!(lines.next(), Some(expected.as_str()));
    let values = lines.next().unwrap();
    for value in [
        "num-bytes 10",
        "delay 0.7",
        "write-timeout 5s",
        "connections-max 10000",
        "grace 10",
    ] {
        assert!(values.contains(value), "{values}");
    }
    assert_eq!(lines.next(), Some("1 service, at most 10000 connections"));
}

#[test]
fn s26_the_example_passes_the_check() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/quatrain.toml");
    let ended = run(&["config", "check", example]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(
        ended
            .stdout
            .ends_with("4 services, at most 50000 connections\n"),
        "{ended:?}"
    );
}

#[test]
fn s26_what_is_not_a_file_of_services_is_one_line() {
    let fifo = Scratch::fifo("services");
    for file in [
        fifo.as_str(),
        "/dev/zero",
        "no/such.toml",
        env!("CARGO_MANIFEST_DIR"),
    ] {
        for arguments in [&["config", "check", file], &["serve", "--config", file]] {
            let ended = run(arguments);
            assert_eq!(ended.status, Some(2));
            let expected = format!("quatrain: {file} cannot be read: ");
            assert!(ended.only_line().starts_with(&expected), "{ended:?}");
        }
    }
    for arguments in [
        &["serve", "--stats", "x"][..],
        &["serve", "--config", "x", "poem", LANTERN],
        &["config", "check"],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.status, Some(2));
        assert!(ended.only_line().starts_with("quatrain: "), "{ended:?}");
    }
}

#[test]
fn s26_s8_sighup_reads_the_libraries_of_all_services_again() {
    let folders = [Folder::with(&[]), Folder::with(&[])];
    let library = |name: &str, folder: &Folder| {
        service(
            name,
            "library",
            &format!("directory = \"{}\"", folder.as_str()),
        )
    };
    let file = Scratch::file(
        "libraries.toml",
        [library("a", &folders[0]), library("b", &folders[1])]
            .concat()
            .as_bytes(),
    );
    let mut services = Services::start(file.as_str(), 2, &[]);
    folders[0].replace("star.txt", b"Star");
    folders[1].replace("moon.txt", b"Moon");
    services.process.signal(Signal::SIGHUP);
    for _ in 0..2 {
        services.process.wait_for("again: 1 poem, 1 new");
    }
    assert_eq!(services.ask(0, "star"), netstring("Star"));
    assert_eq!(services.ask(1, "moon"), netstring("Moon"));
}
