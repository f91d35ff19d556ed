//! Four transform servers, one of each model, behind HAProxy with the configuration in `packaging/`: one is killed and another
//! drained, under load. Each runs in a network namespace of its own, as on a host of its own. Needs root, `haproxy` and `ip`;
//! without them the test is skipped, and says why.

#[allow(dead_code)] // Not every helper is needed here.
#[path = "../command/support.rs"]
mod support;

mod clients;
mod hosts;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::Signal;

use clients::{Clients, Outcome};
use hosts::Host;
use support::{DEADLINE, Folder, MODELS, Process, counts, quatrain};

const CONFIGURATION: &str = include_str!("../../../packaging/haproxy.cfg");

/// Replies that each client gets in each phase.
const REPLIES: usize = 25;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = Trial::ignorable_test("no_reply_is_lost_but_those_of_a_killed_server", || {
        match hosts::missing() {
            Some(what) => Ok(Completion::ignored_with(what)),
            None => run().map(|()| Completion::Completed),
        }
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

/// The servers, and HAProxy in front of them.
struct Cluster {
    servers: Vec<Option<Process>>,
    // Ends before the hosts do.
    proxy: Process,
    socket: String,
    _hosts: Vec<Host>,
}

impl Cluster {
    /// Starts everything, and waits until HAProxy has seen every server answer.
    fn start(folder: &Folder) -> Self {
        let hosts: Vec<Host> = (0..MODELS.len()).map(Host::new).collect();
        let servers = MODELS.iter().zip(&hosts).map(|(model, host)| {
            let mut command = host.command(&quatrain(Vec::<&str>::new()));
            command.args([
                "serve",
                "transform",
                "--keep-alive",
                "--lab",
                "--port",
                "10100",
            ]);
            command.args(["--model", model, "--iface", &host.address, "--grace", "60"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut server = Process::start(command);
            server.wait_until_serving();
            Some(server)
        });
        let servers = servers.collect();
        let socket = folder.path("admin.sock");
        let configuration = CONFIGURATION.replace("/run/haproxy/admin.sock", &socket);
        assert_ne!(configuration, CONFIGURATION);
        folder.write("haproxy.cfg", configuration.as_bytes());
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", &folder.path("haproxy.cfg")]);
        let cluster = Self {
            servers,
            proxy: Process::start(command),
            socket,
            _hosts: hosts,
        };
        cluster.wait("every server is up", |states| {
            states.iter().all(|state| state.is("UP"))
        });
        cluster
    }

    /// Returns what HAProxy answers to a command.
    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Waits until the states of the servers are as `condition` says.
    fn wait(&self, what: &str, condition: impl Fn(&[State]) -> bool) {
        let begin = Instant::now();
        loop {
            let answer = self.ask("show stat").unwrap_or_default();
            let states: Vec<State> = answer.lines().filter_map(State::read).collect();
            if states.len() == MODELS.len() && condition(&states) {
                return;
            }
            assert!(begin.elapsed() < DEADLINE, "{what}: {answer}");
            // HAProxy announces nothing: it has to be asked again.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// The state of a server as HAProxy sees it.
struct State(String);

impl State {
    /// Reads a line of `show stat`.
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let is_server = fields.first() == Some(&"transforms") && fields.get(1) != Some(&"BACKEND");
        is_server.then(|| Self(fields[17].to_owned()))
    }

    fn is(&self, status: &str) -> bool {
        self.0.starts_with(status)
    }
}

fn run() -> Result<(), Failed> {
    hosts::enter();
    let folder = Folder::with(&[]);
    let mut cluster = Cluster::start(&folder);
    let mut clients = Clients::start();
    clients.wait_for(REPLIES);

    // Killed: what it had in flight is lost, at most one request of each client, and nothing else.
    let killed = cluster.servers[0].take().unwrap();
    killed.signal(Signal::SIGKILL);
    killed.signal_at_end();
    cluster.wait("the killed server is down", |states| states[0].is("DOWN"));
    // Then every client has noticed.
    clients.wait_for(REPLIES);
    let lost = clients.count(Outcome::Lost);
    clients.wait_for(REPLIES);
    assert_eq!(
        clients.count(Outcome::Lost),
        lost,
        "replies are lost long after the kill"
    );

    // Drained: it gets no new connection. When the short ones that it has are over it is stopped, with the long ones under load.
    cluster
        .ask("set server transforms/two state drain")
        .unwrap();
    cluster.wait("the server is drained", |states| states[1].is("DRAIN"));
    // Of two further replies to a client, the second is to a request that began after the drain.
    clients.wait_for(2);
    let drained = cluster.servers[1].take().unwrap().stop();
    clients.wait_for(REPLIES);
    clients.stop();
    assert_eq!(
        clients.count(Outcome::Lost),
        lost,
        "replies are lost by the drain"
    );
    assert!(lost <= clients::SHORT, "{lost} lost by the kill");
    let crossed = clients.count(Outcome::Crossed);
    assert!(
        crossed <= 2 * clients::LONG,
        "{crossed} requests were asked again"
    );
    assert_eq!(clients.count(Outcome::Wrong), 0, "a reply is wrong or cut");
    assert_eq!(drained.status, Some(0), "{drained:?}");
    let counts = counts(&drained.stderr);
    assert_eq!((counts.closed.cut, counts.requests), (0, counts.answered));
    for server in cluster.servers.into_iter().flatten() {
        assert_eq!(server.stop().status, Some(0));
    }
    cluster.proxy.signal(Signal::SIGTERM);
    let _ = fs::remove_file(cluster.socket);
    Ok(())
}
