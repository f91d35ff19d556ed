//! `load`: what it prints, and what it says about a server that is not the one to load.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::support::{
    Ended, Folder, LANTERN, Process, Scratch, Server, closed_port, quatrain, run,
};

/// Runs `load ROLE ADDRESS` with `options`.
fn load(role: &str, address: &str, options: &[&str]) -> Ended {
    run(&[&["load", role, address], options].concat())
}

/// Runs it with `--json`, and returns the object.
fn load_json(role: &str, address: &str, options: &[&str]) -> Value {
    let loaded = load(role, address, &[options, &["--json"]].concat());
    assert_eq!((loaded.status, loaded.stderr.as_str()), (Some(0), ""));
    assert_eq!(loaded.stdout.lines().count(), 1, "{}", loaded.stdout);
    serde_json::from_str(&loaded.stdout).unwrap()
}

#[test]
fn the_load_generator_verifies_every_reply() {
    let server = Server::start(&["transform", "--keep-alive"]);
    let address = server.address.to_string();
    let options = ["--requests", "200", "--connections", "8", "--depth", "2"];
    let loaded = load("transform", &address, &options);
    assert_eq!((loaded.status, loaded.stderr.as_str()), (Some(0), ""));
    for words in [
        "per second: 200 replies in ",
        "Closed loop over 8 connections",
        "In all 8 connections, 200 requests, 200 replies verified",
    ] {
        assert!(loaded.stdout.contains(words), "{}", loaded.stdout);
    }
    let text = loaded.stdout.replace('\n', " ");
    let counted = "from sending a request to the last byte of the reply, both in the timed window.";
    assert!(text.contains(counted), "{text}");
    let void = load("transform", &closed_port(), &[]);
    assert_eq!((void.status, void.stdout.as_str()), (Some(1), ""));
    assert!(void.only_line().contains("no connection could be made"));
}

#[test]
fn a_rate_makes_it_an_open_loop() {
    let server = Server::start(&["transform", "--keep-alive", "--lab"]);
    let address = server.address.to_string();
    let pid = server.process.id().to_string();
    let options = [
        "--rate",
        "1000",
        "--requests",
        "200",
        "--mix",
        "burn=5%",
        "--pid",
        &pid,
        "--seed",
        "3",
    ];
    let object = load_json("transform", &address, &options);
    assert_eq!(object["loop"], "open");
    assert_eq!(object["open_loop"]["due"], 200);
    assert_eq!(object["replies"], 200);
    let count = |of: &str| object[of]["count"].as_u64().unwrap();
    assert_eq!(count("latency_us") + count("mix_latency_us"), 200);
    // A burn computes for 10 ms.
    assert!(object["mix_latency_us"]["min"].as_f64().unwrap() >= 9_990.0);
    assert!(object["server"]["threads"].as_u64().unwrap() >= 1);
    let text = load(
        "transform",
        &address,
        &["--rate", "500", "--requests", "50"],
    );
    let words = "500 per second were due at equal gaps: 50 in the window, 50 sent, 0 still waiting";
    assert!(text.stdout.contains(words), "{}", text.stdout);
}

#[test]
fn libraries_and_poem_servers_are_loaded_too() {
    let poems = std::path::Path::new(LANTERN).parent().unwrap();
    let library = Server::start(&["library", poems.to_str().unwrap(), "--keep-alive"]);
    let address = library.address.to_string();
    for file in [&[][..], &["--file", LANTERN]] {
        let options = [&["--poem", "lantern", "--requests", "100"], file].concat();
        assert_eq!(load_json("library", &address, &options)["replies"], 100);
    }
    let unknown = load("library", &address, &["--poem", "nonsense"]);
    assert!(unknown.only_line().contains("it has no poem of that name"));

    let poem = Server::start(&["poem", LANTERN, "--delay", "1ms", "--num-bytes", "200"]);
    let address = poem.address.to_string();
    let options = ["--connections", "20", "--sources", "3"];
    let object = load_json("poem", &address, &options);
    assert_eq!(
        (&object["replies"], &object["role"]),
        (&20.into(), &"poem".into())
    );
    assert_eq!(object["ledger"]["connections"], 20);
    let options = ["--file", LANTERN, "--requests", "40", "--leave", "50%"];
    let object = load_json("poem", &address, &options);
    let count = |of: &str| object[of].as_u64().unwrap();
    assert!(
        count("left") > 0 && count("left") + count("replies") == 40,
        "{object}"
    );
}

#[test]
fn idle_connections_are_held_and_have_a_cost() {
    let server = Server::start(&["transform", "--keep-alive"]);
    let pid = server.process.id().to_string();
    let options = ["--connections", "40", "--pid", &pid];
    let object = load_json("idle", &server.address.to_string(), &options);
    assert_eq!(object["held"], 40);
    let counts = object["readings"].as_array().unwrap().iter();
    let counts: Vec<u64> = counts
        .map(|reading| reading["connections"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [10, 20, 40]);
    let text = load("idle", &server.address.to_string(), &options).stdout;
    assert!(text.contains("A connection costs "), "{text}");
}

#[test]
fn connections_that_the_server_has_closed_are_not_idle() {
    let server = Server::start(&["transform"]);
    let address = server.address.to_string();
    let closed = load("idle", &address, &["--connections", "100"]);
    assert_eq!((closed.status, closed.stdout.as_str()), (Some(1), ""));
    let words = "was it started with --keep-alive";
    assert!(closed.only_line().contains(words), "{closed:?}");
}

#[test]
fn latencies_are_kept_in_a_new_file() {
    let server = Server::start(&["transform", "--keep-alive", "--lab"]);
    let address = server.address.to_string();
    let old = Scratch::file("histogram", b"yesterday's");
    let refused = load("transform", &address, &["--histogram", old.as_str()]);
    assert_eq!(refused.status, Some(2));
    assert!(
        refused.only_line().contains("name a new file"),
        "{refused:?}"
    );
    assert_eq!(old.read(), "yesterday's");
    // Nothing listens there: the file is looked at first.
    let unwritable = load("poem", "127.0.0.1:1", &["--histogram", "/nowhere/h"]);
    assert_eq!(unwritable.status, Some(2));
    let line = unwritable.only_line();
    assert!(
        line.contains("--histogram /nowhere/h: No such file"),
        "{line}"
    );
    let failing = format!("{}.failing", old.as_str());
    let failed = load("transform", "127.0.0.1:1", &["--histogram", &failing]);
    assert_eq!(failed.status, Some(1), "{failed:?}");
    assert!(
        !std::path::Path::new(&failing).exists(),
        "an empty file is left"
    );

    let new = format!("{}.new", old.as_str());
    let options = ["--requests", "50", "--mix", "burn=20%", "--histogram", &new];
    let loaded = load("transform", &address, &options);
    let log = std::fs::read_to_string(&new).unwrap();
    std::fs::remove_file(&new).unwrap();
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    let tagged = |tag| log.lines().filter(|line| line.starts_with(tag)).count();
    assert_eq!(
        (tagged("Tag=cummingsify,"), tagged("Tag=burn,")),
        (1, 1),
        "{log}"
    );
}

#[test]
fn an_interrupt_ends_a_load_and_prints_what_it_has() {
    let mut server = Server::start(&["transform", "--keep-alive"]);
    let address = server.address.to_string();
    let options = [
        "load",
        "transform",
        &address,
        "--duration",
        "1m",
        "--rate",
        "100",
    ];
    let process = Process::start(quatrain(options));
    // The load is under way once the server has answered.
    loop {
        server.process.signal(Signal::SIGUSR1);
        let counts = super::support::counts(&server.process.wait_for("{"));
        if counts.answered > 60 {
            break;
        }
    }
    process.signal(Signal::SIGINT);
    let loaded = process.end();
    assert_eq!(loaded.status, Some(130), "{loaded:?}");
    assert!(loaded.stdout.contains("; interrupted"), "{loaded:?}");
}

#[test]
fn a_load_on_the_wrong_server_says_what_to_try() {
    let nowhere = closed_port();
    let poem = Server::start(&["poem", LANTERN, "--fast"]);
    let one_shot = Server::start(&["transform"]);
    for (address, words) in [
        (format!("127.0.0.1:{nowhere}"), "nothing listens there"),
        (poem.address.to_string(), "is it a transform server?"),
        (one_shot.address.to_string(), "add --one-shot"),
    ] {
        let options = ["--requests", "10", "--connections", "2"];
        let loaded = load("transform", &address, &options);
        assert_eq!((loaded.status, loaded.stdout.as_str()), (Some(1), ""));
        let line = loaded.only_line();
        assert!(
            line.starts_with(&format!("quatrain: cannot load {address}: ")),
            "{line}"
        );
        let port = address.rsplit(':').next().unwrap();
        let start = format!("quatrain serve transform --keep-alive --port {port}");
        assert!(line.contains(words) && line.contains(&start), "{line}");
    }
}

#[test]
fn a_load_that_cannot_be_planned_is_refused_in_one_line() {
    for (options, words) in [
        (
            &["transform", "1", "--rate", "0"][..],
            "requests per second",
        ),
        (&["transform", "1", "--mix", "burn"], "such as burn=1%"),
        (
            &["transform", "1", "--depth", "2", "--rate", "5"],
            "cannot be used",
        ),
        (&["poem", "1", "--leave", "2"], "a share such as 1%"),
        (&["transform", "[::1]:1", "--sources", "2"], "127.0.0.0/8"),
        (&["library", "1"], "--poem"),
    ] {
        let loaded = run(&[&["load"], options].concat());
        assert_eq!(loaded.status, Some(2), "{loaded:?}");
        assert!(loaded.only_line().contains(words), "{loaded:?}");
    }
}

#[test]
fn one_of_anything_is_singular() {
    let server = Server::start(&["transform", "--keep-alive"]);
    let address = server.address.to_string();
    let options = ["--requests", "1", "--connections", "1"];
    let loaded = load("transform", &address, &options);
    let words = "In all 1 connection, 1 request, 1 reply verified";
    assert!(loaded.stdout.contains(words), "{}", loaded.stdout);
    assert!(loaded.stdout.contains(": 1 reply in "), "{}", loaded.stdout);
}

#[test]
fn loads_from_several_hosts_are_merged_into_one_report() {
    let server = Server::start(&["transform", "--keep-alive"]);
    let address = server.address.to_string();
    let folder = Folder::with(&[]);
    let logs = [folder.path("a.hlog"), folder.path("b.hlog")];
    let mut replies = 0;
    for (log, connections) in logs.iter().zip(["2", "3"]) {
        let options = ["--connections", connections, "--duration", "100ms"];
        let keep = ["--warm-up", "0", "--histogram", log];
        let loaded = load_json("transform", &address, &[options, keep].concat());
        replies += loaded["latency_us"]["count"].as_u64().unwrap();
    }
    let merged_log = folder.path("merged.hlog");
    let [a, b] = &logs;
    let merged = run(&["load", "merge", a, b, "--json", "--histogram", &merged_log]);
    assert_eq!((merged.status, merged.stderr.as_str()), (Some(0), ""));
    let merged: Value = serde_json::from_str(&merged.stdout).unwrap();
    assert_eq!(merged["logs"], 2);
    let request = &merged["requests"][0];
    assert_eq!(request["replies"], replies);
    assert!(request["replies_per_second"].as_f64().unwrap() > 0.0);
    assert!(request["latency_us"]["p99"].as_f64().unwrap() > 0.0);
    // What was merged can be merged again.
    let again = run(&["load", "merge", &merged_log]);
    assert!(
        again.stdout.starts_with("1 load as one\n"),
        "{}",
        again.stdout
    );
    assert!(again.stdout.contains("per second"), "{}", again.stdout);
}

#[test]
fn what_is_no_log_of_latencies_is_not_merged() {
    let folder = Folder::with(&[("poem", LANTERN.as_bytes()), ("empty", b"")]);
    for name in ["poem", "empty", "missing"] {
        let path = folder.path(name);
        let refused = run(&["load", "merge", &path]);
        assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""));
        let line = refused.only_line().to_owned();
        assert!(
            line.starts_with(&format!("quatrain: cannot merge {path}: ")),
            "{line}"
        );
        assert!(line.contains("load --histogram"), "{line}");
    }
}
