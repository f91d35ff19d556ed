//! Help, version, and wrong usage.

use super::support::{LANTERN, Scratch, closed_port, listener, quatrain, run};

#[test]
fn the_help_names_the_subcommands_and_gives_examples() {
    let help = run(&["--help"]);
    assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""));
    for word in [
        "serve",
        "fetch",
        "compare",
        "measure",
        "  load",
        "Examples:",
        "Exit status:",
    ] {
        assert!(help.stdout.contains(word), "{word} is missing");
    }
    for hidden in ["  floor", "  bare"] {
        assert!(!help.stdout.contains(hidden), "{hidden} is not hidden");
    }
}

#[test]
fn the_help_of_a_subcommand_gives_examples_and_defaults() {
    let help = run(&["serve", "poem", "--help"]).stdout;
    for words in [
        "Examples:",
        "[default: 10]",
        "[default: 0.7]",
        "[default: callbacks]",
        "SIGTERM",
        "supervision tree",
    ] {
        assert!(help.contains(words), "{words} is missing");
    }
    let help = run(&["fetch", "--help"]).stdout;
    assert!(
        help.contains("Examples:") && help.contains("[host:]port") && help.contains("Exit status")
    );
}

#[test]
fn the_version_is_that_of_the_package_with_its_commit() {
    let version = run(&["--version"]);
    // The tests are built with the same variables as the command.
    let expected = match option_env!("QUATRAIN_COMMIT") {
        Some(commit) => format!("quatrain {} ({commit})\n", env!("CARGO_PKG_VERSION")),
        None => format!("quatrain {}\n", env!("CARGO_PKG_VERSION")),
    };
    assert_eq!(version.stdout, expected);
    assert_eq!(version.status, Some(0));
}

#[test]
fn without_arguments_the_help_is_shown_on_stderr_and_the_status_is_2() {
    for arguments in [&[][..], &["serve"]] {
        let shown = run(arguments);
        assert_eq!((shown.status, shown.stdout.as_str()), (Some(2), ""));
        assert!(shown.stderr.contains("Usage:"));
    }
}

#[test]
fn s22_help_into_a_closed_stdout_does_not_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = quatrain(["--help"]).stdout(writer).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(1), &b""[..])
    );
}

#[test]
fn s11_wrong_usage_is_one_line_that_names_the_culprit_and_status_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["recite"], "recite"),
        (&["fetch"], "<ADDR>"),
        (&["fetch", "0"], "'0'"),
        (&["fetch", "poems"], "'poems'"),
        (&["fetch", "::1:7"], "[::1]:7"),
        (&["fetch", "7", "--model", "fibers"], "fibers"),
        (&["fetch", "7", "--transform", "shout"], "--via"),
        (&["fetch", "7", "--via", "8"], "--transform"),
        (&["fetch", "7", "--strict-transform"], "--transform"),
        (
            &["fetch", "7", "--transform", "sing", "--via", "8"],
            "cummingsify, shout, reverse, gibberish",
        ),
        (&["fetch", "7", "--deadline", "soon"], "--deadline"),
        (&["fetch", "7", "--idle-timeout", "-1"], "--idle-timeout"),
        (
            &["fetch", "7", "--connect-timeout", "0"],
            "--connect-timeout",
        ),
        (&["fetch", "7", "--deadline", "NaN"], "--deadline"),
        (&["fetch", "7", "--deadline", "1e300"], "--deadline"),
        (&["fetch", "7", "--threads", "257"], "--threads"),
        (&["fetch", "7", "--progress", "loud"], "--progress"),
        (&["fetch", "7", "--poem", "../x"], "--poem"),
        (&["fetch", "7", "--poem", ""], "--poem"),
        (
            &["fetch", "7", "--poem", "poems/lantern.txt"],
            "the poem in the file poems/lantern.txt is called lantern",
        ),
        (&["serve", "library"], "<DIR>"),
        (&["serve", "proxy"], "<UPSTREAM>"),
        (&["serve", "proxy", "0"], "'0'"),
        (&["serve", "proxy", "::1:7"], "[::1]:7"),
        (&["serve", "proxy", "7", "--cache-ttl", "-1"], "--cache-ttl"),
        (&["serve", "poem"], "<FILE>"),
        (&["serve", "poem", "x", "--num-bytes", "0"], "--num-bytes"),
        (
            &["serve", "poem", "x", "--delay", "99999999999999999999"],
            "--delay",
        ),
        (&["serve", "poem", "x", "--fast", "--delay", "1"], "--delay"),
        (&["serve", "transform", "--port", "65536"], "--port"),
        (&["serve", "transform", "--threads", "0"], "--threads"),
        (
            &["serve", "transform", "--connections-max", "0"],
            "--connections-max",
        ),
        (
            &["serve", "transform", "--frame-bytes-max", "-5"],
            "--frame-bytes-max",
        ),
        (
            &["serve", "transform", "--pool", "4"],
            "--pool 4 is not for --model callbacks; add --model blocking",
        ),
        (
            &["serve", "poem", LANTERN, "--pool", "1", "--model", "actors"],
            "--pool",
        ),
        (
            &["serve", "transform", "--pool", "0", "--model", "blocking"],
            "--pool",
        ),
        (&["serve", "transform", "--prot", "1"], "--port"),
        (&["serve", "transform", "--log", "loud"], "--log"),
        (&["compare", "--models", "callbacks,fibers"], "fibers"),
    ];
    for (arguments, culprit) in cases {
        let ended = run(arguments);
        let line = ended.only_line();
        assert!(
            line.starts_with("quatrain: ") && line.contains(culprit),
            "{arguments:?}: {line}"
        );
        assert_eq!(
            (ended.status, ended.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
    }
}

fn could_not_start(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(2), ""),
        "{ended:?}"
    );
    ended.only_line().to_owned()
}

#[test]
fn s21_a_poem_that_cannot_be_read_is_one_line_and_status_2() {
    let missing = Scratch::path("missing");
    let line = could_not_start(&["serve", "poem", missing.as_str()]);
    assert!(
        line.starts_with(&format!("quatrain: cannot read {}: ", missing.as_str())),
        "{line}"
    );
}

#[test]
fn s21_a_poem_that_is_not_a_regular_file_is_one_line_and_status_2() {
    let fifo = Scratch::fifo("poem");
    let socket = Scratch::path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(socket.as_str()).unwrap();
    for (path, kind) in [
        ("/dev/zero", "a device"),
        (fifo.as_str(), "a FIFO"),
        (socket.as_str(), "a socket"),
        (env!("CARGO_MANIFEST_DIR"), "a directory"),
    ] {
        let line = could_not_start(&["serve", "poem", path]);
        let expected =
            format!("quatrain: cannot read {path}: it is {kind}; give the path of a text file");
        assert_eq!(line, expected);
    }
}

#[test]
fn s15_a_poem_over_the_limit_is_one_line_and_status_2() {
    let file = Scratch::file("long", b"");
    let sparse = std::fs::File::options()
        .write(true)
        .open(file.as_str())
        .unwrap();
    sparse
        .set_len(poetry::limits::POEM_BYTES_MAX as u64 + 1)
        .unwrap();
    let line = could_not_start(&["serve", "poem", file.as_str()]);
    let expected = format!("quatrain: {} is longer than ", file.as_str());
    assert!(line.starts_with(&expected), "{line}");
}

#[test]
fn the_help_of_fetch_is_laid_out_as_that_of_serve() {
    for subcommand in [
        &["serve", "poem"][..],
        &["fetch"],
        &["load", "transform"],
        &["load", "poem"],
        &["measure"],
    ] {
        let help = run(&[&["help"], subcommand].concat()).stdout;
        let options = help.lines().filter(|line| line.starts_with("      --"));
        for option in options {
            let described = option.trim_start().contains("  ");
            assert!(described, "{subcommand:?}: {option}");
        }
    }
}

#[test]
fn a_server_offers_only_the_options_that_concern_it() {
    const OPTIONS: &[&str] = &[
        "--num-bytes",
        "--offload",
        "--keep-alive",
        "--frame-bytes-max",
        "--idle-timeout",
        "--deadline",
        "--cache-ttl",
        "--connect-timeout",
        "--poem-bytes-max",
    ];
    for (server, offered) in [
        ("poem", &OPTIONS[..1]),
        ("transform", &OPTIONS[1..6]),
        ("library", &OPTIONS[2..6]),
        ("proxy", &OPTIONS[4..]),
    ] {
        let help = run(&["serve", server, "--help"]).stdout;
        for common in [
            "--model",
            "--grace",
            "--stats",
            "--connections-max",
            "--write-timeout",
            "--lab",
        ] {
            assert!(
                help.contains(&format!("      {common}")),
                "{server}: {common}"
            );
        }
        for option in OPTIONS {
            // Before its description, not in an example.
            let is_offered = help
                .lines()
                .any(|line| line.trim_start().starts_with(option));
            assert_eq!(is_offered, offered.contains(option), "{server}: {option}");
        }
    }
    let line = could_not_start(&["serve", "proxy", "7", "--frame-bytes-max", "9"]);
    assert!(line.contains("--frame-bytes-max"), "{line}");
}

#[test]
fn s21_a_poem_that_is_not_utf8_is_one_line_and_status_2() {
    let file = Scratch::file("latin-1", b"na\xefve");
    let line = could_not_start(&["serve", "poem", file.as_str()]);
    assert!(
        line.contains(file.as_str()) && line.contains("not UTF-8 at byte 2"),
        "{line}"
    );
}

#[test]
fn s21_a_port_in_use_is_one_line_and_status_2() {
    let (_taken, port) = listener();
    let line = could_not_start(&["serve", "transform", "--port", &port]);
    assert!(
        line.starts_with(&format!("quatrain: cannot listen on 127.0.0.1:{port}: ")),
        "{line}"
    );
    assert!(line.contains("--port"), "{line}");
}

#[test]
fn s21_an_interface_of_another_machine_is_one_line_and_status_2() {
    let port = closed_port();
    let line = could_not_start(&[
        "serve",
        "transform",
        "--iface",
        "192.0.2.1",
        "--port",
        &port,
    ]);
    assert!(
        line.contains(&format!("192.0.2.1:{port}")) && line.contains("--iface"),
        "{line}"
    );
}

#[test]
fn s23_stats_that_cannot_be_written_are_one_line_and_status_2() {
    let line = could_not_start(&["serve", "transform", "--stats", env!("CARGO_MANIFEST_DIR")]);
    assert!(line.contains("--stats"), "{line}");
}
