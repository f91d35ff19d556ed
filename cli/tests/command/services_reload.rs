//! SIGHUP of a process that runs the services of a file (S26): what changes, without a connection that is dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use super::services::{Services, service};
use super::support::{Folder, LANTERN, MODELS, closed_port, connect, counts, netstring, read_all};

/// A service on `port`.
fn service_at(port: &str, name: &str, role: &str, keys: &str) -> String {
    service(name, role, keys).replace("listen = 0", &format!("listen = {port}"))
}

fn reload(services: &mut Services) -> String {
    services.process.signal(Signal::SIGHUP);
    services.process.wait_for("reloaded ")
}

fn ask(mut stream: &TcpStream, request: &str, reply: &str) {
    stream.write_all(&netstring(request)).unwrap();
    let reply = netstring(reply);
    let mut read = vec![0; reply.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, reply);
}

#[test]
fn s26_a_poem_that_is_served_slowly_is_whole_and_the_next_client_gets_the_new_one() {
    for model in MODELS {
        let folder = Folder::with(&[("poem.txt", b"old")]);
        let keys = format!("file = \"poem.txt\"\nnum-bytes = 1\ndelay = 0.3\nmodel = \"{model}\"");
        folder.write("f.toml", service("p", "poem", &keys).as_bytes());
        let mut services = Services::start(&folder.path("f.toml"), 1, &[]);
        let mut old = connect(services.addresses[0]);
        old.read_exact(&mut [0; 1]).unwrap();
        folder.replace("poem.txt", b"new");
        let line = reload(&mut services);
        assert!(
            line.contains("0 new, 1 changed, 0 removed, 0 as before"),
            "{line}"
        );
        let new = connect(services.addresses[0]);
        assert_eq!(read_all(old), b"ld", "{model}");
        assert_eq!(read_all(new), b"new", "{model}");
        services
            .process
            .wait_for("p: the last connection from before the reload has ended");
        // The counts are those of the service, over its reloads.
        services.process.signal(Signal::SIGUSR1);
        let counted = counts(&services.process.wait_for("\"service\":\"p\""));
        assert_eq!((counted.accepted, counted.answered), (2, 2), "{model}");
        assert_eq!(services.process.stop().status, Some(0));
    }
}

#[test]
fn s26_an_open_connection_outlives_a_change_of_every_key_and_of_the_model() {
    for (from, to) in MODELS.iter().zip(MODELS.iter().cycle().skip(1)) {
        let folder = Folder::with(&[]);
        let port = closed_port();
        let of = |model: &str, keys: &str| {
            let keys = format!("keep-alive = true\nmodel = \"{model}\"\n{keys}");
            service_at(&port, "words", "transform", &keys)
        };
        folder.write("f.toml", of(from, "").as_bytes());
        let mut services = Services::start(&folder.path("f.toml"), 1, &[]);
        let kept = connect(services.addresses[0]);
        ask(&kept, "shout.a", "A");
        folder.replace(
            "f.toml",
            of(to, "frame-bytes-max = 20\nthreads = 2\n").as_bytes(),
        );
        services.process.signal(Signal::SIGHUP);
        let line = services.process.wait_for("words is replaced");
        assert!(
            line.contains("frame-bytes-max, model, threads changed"),
            "{line}"
        );
        services.process.wait_for("reloaded ");
        let line = services.process.wait_until_serving().0;
        assert!(line.ends_with(&format!(" with {to}\n")), "{line}");
        // The earlier server has its earlier limits, the new one its own.
        let long = "x".repeat(30);
        ask(&kept, &format!("shout.{long}"), &long.to_uppercase());
        let mut new = connect(services.addresses[0]);
        new.write_all(&netstring(&format!("shout.{long}"))).unwrap();
        let refused = new.read(&mut [0; 1]);
        assert!(!matches!(refused, Ok(1)), "{from} to {to}: {refused:?}");
        services.process.signal(Signal::SIGUSR1);
        let lines = [0; 2].map(|_| counts(&services.process.wait_for("\"service\":\"words\"")));
        // An answer is counted after it has been written.
        assert_eq!((lines[0].requests, lines[1].requests), (1, 2), "{lines:?}");
        drop(kept);
        services
            .process
            .wait_for("words: the last connection from before");
        assert_eq!(services.process.stop().status, Some(0));
    }
}

#[test]
fn s26_a_file_with_flaws_changes_nothing_and_they_are_logged_with_line_and_column() {
    let folder = Folder::with(&[("poem.txt", b"old")]);
    let poem = service("p", "poem", "file = \"poem.txt\"\nfast = true");
    folder.write("f.toml", poem.as_bytes());
    let mut services = Services::start(&folder.path("f.toml"), 1, &[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap().port().to_string();
    drop(taken);
    for (flawed, expected) in [
        (poem.replace("fast", "fsat"), ":6:1: unknown key fsat"),
        (
            poem.replace("poem.txt", "none.txt"),
            ":5:1: service p: cannot read ",
        ),
        (
            poem.clone() + &service_at(&held, "q", "transform", ""),
            ":10:1: service q: cannot listen on 127.0.0.1:",
        ),
        (String::new(), ":1:1: the file has no [[service]]"),
    ] {
        folder.replace("f.toml", flawed.as_bytes());
        services.process.signal(Signal::SIGHUP);
        let line = services.process.wait_for(&format!("f.toml{expected}"));
        assert!(line.contains("ERROR"), "{line}");
        services
            .process
            .wait_for("is not reloaded: everything runs as before");
        assert_eq!(read_all(connect(services.addresses[0])), b"old");
    }
    folder.remove("f.toml");
    services.process.signal(Signal::SIGHUP);
    services
        .process
        .wait_for("f.toml cannot be read: No such file");
    assert_eq!(read_all(connect(services.addresses[0])), b"old");
    folder.write("f.toml", poem.as_bytes());
    let line = reload(&mut services);
    assert!(
        line.contains("0 new, 0 changed, 0 removed, 1 as before"),
        "{line}"
    );
    assert_eq!(services.process.stop().status, Some(0));
}

#[test]
fn s26_services_are_added_and_removed_and_an_address_goes_to_another_name() {
    let folder = Folder::with(&[]);
    let (one, two) = (closed_port(), closed_port());
    let words = |port: &str, name: &str| service_at(port, name, "transform", "keep-alive = true");
    folder.write("f.toml", words(&one, "a").as_bytes());
    let mut services = Services::start(&folder.path("f.toml"), 1, &[]);
    let kept = connect(services.addresses[0]);
    ask(&kept, "shout.a", "A");
    folder.replace(
        "f.toml",
        [words(&one, "b"), words(&two, "c")].concat().as_bytes(),
    );
    let line = reload(&mut services);
    assert!(
        line.contains("2 new, 0 changed, 1 removed, 0 as before"),
        "{line}"
    );
    let address = |port: &str| -> SocketAddr { format!("127.0.0.1:{port}").parse().unwrap() };
    // The limits in force are those of all services (S17).
    services.process.wait_for("limits: 20000 connections");
    for port in [&one, &two] {
        ask(&connect(address(port)), "shout.a", "A");
    }
    // The address of a service that is gone is free; its connection goes on.
    folder.replace("f.toml", words(&two, "c").as_bytes());
    let line = reload(&mut services);
    assert!(
        line.contains("0 new, 0 changed, 1 removed, 1 as before"),
        "{line}"
    );
    let refused = TcpStream::connect(address(&one)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    ask(&kept, "shout.b", "B");
    let ended = services.process.stop();
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn s26_no_client_is_refused_or_unserved_during_reloads() {
    const RELOADS: usize = 10;
    for model in MODELS {
        let folder = Folder::with(&[]);
        let port = closed_port();
        let of = |grace: usize| {
            let keys =
                format!("file = \"{LANTERN}\"\nfast = true\nmodel = \"{model}\"\ngrace = {grace}");
            service_at(&port, "p", "poem", &keys)
        };
        folder.write("f.toml", of(1).as_bytes());
        let mut services = Services::start(&folder.path("f.toml"), 1, &[]);
        let (address, poem) = (services.addresses[0], std::fs::read(LANTERN).unwrap());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut served = 0;
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(read_all(connect(address)), poem, "after {served}");
                    served += 1;
                }
                served
            });
            let end = EndOnDrop(&done);
            for index in 0..RELOADS {
                folder.replace("f.toml", of(2 + index).as_bytes());
                let line = reload(&mut services);
                assert!(line.contains("1 changed"), "{line}");
            }
            drop(end);
            let served = client.join().unwrap();
            println!("{model}: {served} clients during {RELOADS} reloads");
        });
        assert_eq!(services.process.stop().status, Some(0));
    }
}

/// Ends the clients also when a test fails.
struct EndOnDrop<'f>(&'f AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn s26_a_stop_gives_connections_from_before_a_reload_their_grace_too() {
    let folder = Folder::with(&[("poem.txt", b"old")]);
    let keys = "file = \"poem.txt\"\nnum-bytes = 1\ndelay = 1000\n";
    let port = closed_port();
    let of = |grace: &str| service_at(&port, "p", "poem", &format!("{keys}grace = {grace}"));
    folder.write("f.toml", of("0").as_bytes());
    let mut services = Services::start(&folder.path("f.toml"), 1, &[]);
    let mut client = connect(services.addresses[0]);
    client.read_exact(&mut [0; 1]).unwrap();
    folder.replace("f.toml", of("1").as_bytes());
    reload(&mut services);
    let ended = services.process.stop();
    assert_eq!(ended.status, Some(1), "{ended:?}");
    // The part of a poem is not taken for the whole.
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
