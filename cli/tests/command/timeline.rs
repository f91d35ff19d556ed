//! `--record`, `quatrain timeline` and `quatrain show`: records that become sheets, and errors that name the file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use poetry::Kind;
use poetry::event::Wait;
use timeline::Record;

use super::support::{DEADLINE, Folder, LANTERN, MODELS, Process, Server, netstring, run};

/// The records of a server and of a client that fetched from it.
fn records(folder: &Folder, model: &str) -> [String; 2] {
    let [client, server] = ["client.jsonl", "server.jsonl"].map(|name| folder.path(name));
    let serving = Server::start(&[
        "poem",
        LANTERN,
        "--delay",
        "1ms",
        "--num-bytes",
        "100",
        "--model",
        model,
        "--record",
        &server,
    ]);
    let address = serving.address.to_string();
    let fetched = run(&[
        "fetch", &address, &address, "--model", model, "--record", &client,
    ]);
    assert_eq!(fetched.status, Some(0), "{fetched:?}");
    assert_eq!(serving.stop().status, Some(0));
    [client, server]
}

/// Records a proxy whose only client leaves while it waits, which cancels the fetch.
fn record_cancelled_fetch(model: &str, record: &str) {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = upstream.local_addr().unwrap().to_string();
    let proxy = Server::start(&["proxy", &address, "--model", model, "--record", record]);
    let client = TcpStream::connect(proxy.address).unwrap();
    let (mut fetch, _) = upstream.accept().unwrap();
    fetch.set_read_timeout(Some(DEADLINE)).unwrap();
    fetch.write_all(b"Ah").unwrap();
    drop(client);
    let hung_up = fetch.read(&mut [0]);
    assert!(!matches!(hung_up, Ok(1..)), "{model}");
    assert_eq!(proxy.stop().status, Some(0));
}

/// Returns what the tasks in a record waited for. Each must have run between two waits, and come to an end that no turn follows.
fn waits(record: &str) -> Vec<Wait> {
    let read = Record::read(BufReader::new(File::open(record).unwrap()));
    let (mut tasks, mut waits) = (HashMap::new(), Vec::new());
    for event in read.unwrap().events {
        let task = (event.role, event.scene.task);
        let last: Option<&Kind> = tasks.get(&task);
        match (&event.kind, last) {
            (Kind::Running, None | Some(Kind::Waiting(_))) => {}
            (Kind::Waiting(wait), Some(Kind::Running)) => waits.push(*wait),
            (Kind::Running | Kind::Waiting(_), _) => panic!("{event:?} after {last:?}"),
            (Kind::Closed(_) | Kind::Finished { .. } | Kind::Failed(_), _) => {}
            _ => continue,
        }
        tasks.insert(task, event.kind);
    }
    let goes_on = |last: &&Kind| matches!(last, Kind::Running | Kind::Waiting(_));
    assert_eq!(tasks.values().find(goes_on), None, "{record}");
    waits
}

#[test]
fn a_task_runs_between_two_waits_and_not_after_its_end() {
    for model in MODELS {
        let folder = Folder::with(&[]);
        let [client, server] = records(&folder, model);
        assert!(waits(&client).contains(&Wait::Read), "{model}");
        assert!(waits(&server).contains(&Wait::Pace), "{model}");
        let proxy = folder.path("proxy.jsonl");
        record_cancelled_fetch(model, &proxy);
        assert!(waits(&proxy).contains(&Wait::Task), "{model}");
    }
}

#[test]
fn records_of_a_server_and_a_client_become_one_sheet() {
    for model in MODELS {
        let folder = Folder::with(&[]);
        let [client, server] = records(&folder, model);
        let out = folder.path("both.html");
        let drawn = run(&["timeline", &client, &server, "-o", &out]);
        assert_eq!((drawn.status, drawn.stderr.as_str()), (Some(0), ""));
        assert_eq!(drawn.stdout, format!("Timeline: {out}\n"));
        let page = fs::read_to_string(&out).unwrap();
        for words in [
            "poem client",
            "poem server",
            "poem 1",
            "connection 1",
            model,
        ] {
            assert!(page.contains(words), "{model}: no {words}");
        }
        assert!(!page.contains("<script"));
    }
}

#[test]
fn the_name_of_the_file_decides_what_is_written() {
    let folder = Folder::with(&[]);
    let [client, server] = records(&folder, "callbacks");
    for (name, begin) in [
        ("a.svg", "<?xml"),
        ("a.json", "{\"displayTimeUnit\""),
        ("a.mmd", "sequenceDiagram\n"),
    ] {
        let out = folder.path(name);
        assert_eq!(run(&["timeline", &client, "-o", &out]).status, Some(0));
        assert!(
            fs::read_to_string(&out).unwrap().starts_with(begin),
            "{name}"
        );
    }
    let drawn = run(&["timeline", &client, &server, "--sequence"]);
    assert!(
        drawn.stdout.contains("participant p0 as poem 0"),
        "{drawn:?}"
    );
    assert!(drawn.stdout.contains("p0->>p1: connects"), "{drawn:?}");
    let out = folder.path("sequence.svg");
    let drawn = run(&["timeline", &client, &server, "--sequence", "-o", &out]);
    assert_eq!(drawn.status, Some(0), "{drawn:?}");
    let drawn = fs::read_to_string(&out).unwrap();
    assert!(
        drawn.starts_with("<?xml") && drawn.contains("connects"),
        "{drawn}"
    );
    let failed = run(&["timeline", &client, "--sequence", "-o", "sequence.html"]);
    assert_eq!(failed.status, Some(2));
    assert!(
        failed.only_line().contains("ends in .svg or .mmd"),
        "{failed:?}"
    );
}

#[test]
fn a_record_that_cannot_be_read_or_drawn_is_named() {
    let folder = Folder::with(&[("poem.jsonl", b"A poem.\n"), ("empty.jsonl", b"")]);
    for (name, words) in [
        ("poem.jsonl", "line 1 is not the header of a record"),
        ("empty.jsonl", "it is empty"),
        ("none.jsonl", "No such file or directory"),
    ] {
        let failed = run(&["timeline", &folder.path(name)]);
        assert_eq!(failed.status, Some(2));
        assert!(failed.only_line().contains(words), "{failed:?}");
        assert!(failed.only_line().contains(name), "{failed:?}");
    }
    let [client, _] = records(&folder, "blocking");
    let failed = run(&["timeline", &client, "-o", "sheet.txt"]);
    assert!(
        failed
            .only_line()
            .contains("ends in .html, .svg, .json or .mmd"),
        "{failed:?}"
    );
    let failed = run(&["timeline", &client, "-o", &folder.path("none/sheet.svg")]);
    assert_eq!(failed.status, Some(1));
}

#[test]
fn a_record_that_cannot_be_written_is_wrong_usage() {
    let failed = run(&["fetch", "127.0.0.1:1", "--record", "/nowhere/record.jsonl"]);
    assert_eq!(failed.status, Some(2));
    assert!(
        failed
            .only_line()
            .contains("cannot write --record /nowhere/record.jsonl"),
        "{failed:?}"
    );
}

#[test]
fn show_draws_every_model_in_every_scene() {
    let folder = Folder::with(&[]);
    let out = folder.path("show.html");
    let shown = run(&["show", "-o", &out]);
    assert_eq!((shown.status, shown.stderr.as_str()), (Some(0), ""));
    assert_eq!(shown.stdout, format!("Timeline: {out}\n"));
    let page = fs::read_to_string(&out).unwrap();
    for model in MODELS {
        let name = format!("{model} · ");
        // Five scenes, each with a drawing and a table.
        assert_eq!(page.matches(&name).count(), 10, "{model}");
    }
    assert!(!page.contains("not recorded"), "a model reports no turns");
}

#[test]
fn an_output_that_cannot_be_written_fails_at_once_and_nothing_is_lost() {
    let folder = Folder::with(&[("kept.html", b"kept")]);
    let [missing, new, kept] =
        ["no/such.html", "new.html", "kept.html"].map(|name| folder.path(name));
    // Without descriptors no scene can run.
    for (out, words) in [
        (&missing, "cannot write"),
        (&new, "cannot show"),
        (&kept, "cannot show"),
    ] {
        let command = format!(r#"ulimit -n 5 && exec "$0" show --models blocking -o "{out}""#);
        let mut shell = Command::new("sh");
        shell.args(["-c", &command, env!("CARGO_BIN_EXE_quatrain")]);
        let failed = Process::start(shell).end();
        assert_eq!(failed.status, Some(1), "{failed:?}");
        assert!(failed.only_line().contains(words), "{failed:?}");
    }
    assert!(!Path::new(&new).exists());
    assert_eq!(fs::read(&kept).unwrap(), b"kept");
}

#[test]
fn show_takes_the_models_that_are_asked_for() {
    let folder = Folder::with(&[]);
    let out = folder.path("show.html");
    assert_eq!(
        run(&["show", "--models", "blocking", "-o", &out]).status,
        Some(0)
    );
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.contains("blocking · ") && !page.contains("callbacks · "));
}

#[test]
fn s22_a_record_that_nobody_reads_holds_up_neither_the_start_nor_the_end() {
    let folder = Folder::with(&[]);
    folder.fifo("fifo");
    let fifo = folder.path("fifo");
    let failed = run(&["fetch", "127.0.0.1:1", "--record", &fifo]);
    assert_eq!(failed.status, Some(2));
    assert!(
        failed.only_line().contains("start its reader first"),
        "{failed:?}"
    );
    // A reader that never reads: opened for both, so that opening does not wait.
    let _reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let server = Server::start(&["transform", "--keep-alive", "--record", &fifo]);
    for _ in 0..400 {
        let mut stream = server.ask(&netstring("shout.x"));
        stream.read_exact(&mut [0; 4]).unwrap();
    }
    let ended = server.stop();
    assert_eq!(ended.status, Some(0));
    assert!(
        ended.stderr.contains("its reader did not keep up"),
        "{}",
        ended.stderr
    );
}
