//! Hosts: network namespaces, joined by a bridge to that of the test, which HAProxy and the clients are in.

use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

/// Returns what the test needs and does not have.
pub(crate) fn missing() -> Option<String> {
    if !Uid::effective().is_root() {
        return Some("needs root, for network namespaces".to_owned());
    }
    let programs = [
        ("haproxy", "-v"),
        ("ip", "-V"),
        ("nsenter", "-V"),
        ("unshare", "-V"),
    ];
    let missing = programs.iter().find(|(program, version)| {
        let mut ran = Command::new(program);
        ran.arg(version).stdout(Stdio::null()).stderr(Stdio::null());
        !ran.status().is_ok_and(|status| status.success())
    });
    missing.map(|(program, _)| format!("needs {program}"))
}

/// Moves this thread into a namespace with a bridge, which has the address that HAProxy listens on.
pub(crate) fn enter() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    ip("link add bridge type bridge");
    ip("address add 10.0.0.1/24 dev bridge");
    ip("link set bridge up");
}

/// A namespace on the bridge. It ends with the process that holds it.
pub(crate) struct Host {
    holder: Child,
    /// Its address.
    pub(crate) address: String,
}

impl Host {
    /// Creates the host of this number.
    pub(crate) fn new(number: usize) -> Self {
        let mut holder = Command::new("unshare");
        // Lives until the pipe to it is closed; says when it is in its namespace.
        holder.args(["--net", "sh", "-c", "echo here; read -r _"]);
        let mut holder = holder
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut here = [0; 5];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut here).unwrap();
        let address = format!("10.0.0.1{}", number + 1);
        let host = Self { holder, address };
        let id = host.holder.id();
        ip(&format!(
            "link add host{number} type veth peer name eth0 netns {id}"
        ));
        ip(&format!("link set host{number} master bridge up"));
        for words in [
            "link set lo up".to_owned(),
            format!("address add {}/24 dev eth0", host.address),
            "link set eth0 up".to_owned(),
        ] {
            run(host.command(&Command::new("ip")).args(words.split(' ')));
        }
        host
    }

    /// Returns a command that runs the program of `command` on this host, in place of `nsenter`.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.holder.id()));
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn ip(words: &str) {
    run(Command::new("ip").args(words.split(' ')));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
