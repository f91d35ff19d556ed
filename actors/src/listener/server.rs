//! A running server: starts the supervision tree, counts, draws the tree, and shuts down (S21, S23).

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use poetry::event::Scene;
use poetry::{Counters, Counts, Kind, Limits, Observer, Options, Reporter, Role, Server, Summary};

use super::Protocol;
use super::acceptor::Acceptor;
use super::connections::Connections;
use crate::NAME;
use crate::ledger::ConnectionContext;
use crate::messages::{Drained, ToConnections};
use crate::monitor::Reason;
use crate::net::Listener;
use crate::port::{Listening, NoPort};
use crate::process::{Me, Name, Next, Node, Pid, Process, ProcessRef, Received};
use crate::supervisor::{Intensity, Shutdown, Spec, Started, Strategy, Supervisor, ToSupervisor};
use crate::tree::{self, ChildInfo, WhichChildren};

const ACCEPTOR: Name = Name::new("acceptor");

/// How long the processes of a server may take to stop, in addition to the grace of the connections. Each only has to
/// finish the handler it is in.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server. Its methods are those of [`Server`]; dropping it shuts it down without grace.
///
/// [`Server::details`] draws its supervision tree:
///
/// ```text
/// listener (supervisor, rest_for_one, mailbox 0/64)
/// ├─ connections-0 (connection supervisor, 1 of at most 5000, 0 crashed, 0 restarts, mailbox 0/64)
/// │  └─ connection-0 (mailbox 0/1)
/// ├─ connections-1 (connection supervisor, 0 of at most 5000, 0 crashed, 0 restarts, mailbox 0/64)
/// └─ acceptor (0 restarts, mailbox 0/8192)
/// ```
pub struct RunningServer {
    node: Node,
    address: SocketAddr,
    counters: Vec<Arc<Counters>>,
    root: Pid<ToSupervisor>,
}

/// Starts a node and the server's processes in it.
pub(crate) fn serve<P: Protocol>(
    listener: TcpListener,
    protocol: P,
    role: Role,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<RunningServer> {
    let address = listener.local_addr()?;
    let threads = options.threads;
    let node = Node::start(threads.saturating_add(protocol.arbiters()))?;
    let reporter = Reporter::new(NAME, role, options.clock.clone(), observer);
    // Connections report their own crashes, with their addresses.
    let crashes = reporter.clone();
    node.on_crash(move |name, message| {
        crashes.report(
            Scene::default(),
            Kind::Panicked(format!("{name}: {message}")),
        );
    });
    let plan = Plan {
        protocol,
        limits: options.limits.clone(),
        reporter: reporter.clone(),
        address,
        counters: (0..threads.get()).map(|_| Arc::default()).collect(),
    };
    let counters = plan.counters.clone();
    // ANCHOR: tree
    let mut children: Vec<Spec> = (0..threads.get())
        .map(|index| plan.connections(index))
        .collect();
    children.extend(plan.protocol.shared(&plan.context(0)));
    children.push(plan.acceptor(listener));
    let root = node.arbiter(0).spawn("listener", move || {
        // The acceptor comes last: a restarted connection supervisor needs a new acceptor, but not the other way round. A
        // process that connections share comes after them, since they outlive its crash.
        let supervisor = Supervisor::new(Strategy::RestForOne, Intensity::default(), children);
        Ok((supervisor, NoPort))
    });
    // ANCHOR_END: tree
    let watch = Watch {
        root: root.process(),
        reporter,
    };
    node.spawn("watch", watch);
    Ok(RunningServer {
        node,
        address,
        counters,
        root,
    })
}

/// Reports that the tree has ended by itself, because of too many restarts (O5): the listener has no parent that could decide.
struct Watch {
    root: ProcessRef,
    reporter: Reporter,
}

impl Process for Watch {
    type Message = Infallible;
    type Port = NoPort;
    const MAILBOX: usize = 1;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.monitor(&self.root);
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            // A node that stops kills its processes.
            Received::Down(down) if down.reason != Reason::Killed => {
                let name = self.root.name();
                let message = format!("{name}: too many restarts, nothing is served any more");
                self.reporter
                    .report(Scene::default(), Kind::Panicked(message));
                Next::Exit(Reason::Normal)
            }
            Received::Down(_) => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}

/// Creates the children of the listener's supervisor.
struct Plan<P> {
    protocol: P,
    limits: Limits,
    reporter: Reporter,
    address: SocketAddr,
    counters: Vec<Arc<Counters>>,
}

impl<P: Protocol> Plan<P> {
    /// Returns what the connections in the arbiter at `index` share.
    fn context(&self, index: usize) -> Arc<ConnectionContext> {
        Arc::new(ConnectionContext {
            worker: u32::try_from(index).unwrap_or(u32::MAX),
            limits: self.limits.clone(),
            counters: Arc::clone(&self.counters[index]),
            reporter: self.reporter.clone(),
            address: self.address,
        })
    }

    /// Returns the spec of the connection supervisor in the arbiter at `index`.
    fn connections(&self, index: usize) -> Spec {
        let context = self.context(index);
        let max = share(self.limits.connections_max, index, self.counters.len());
        let protocol = self.protocol.clone();
        let name = connections_name(index);
        Spec::new(name, move |me| {
            let (protocol, context) = (protocol.clone(), Arc::clone(&context));
            let arbiter = me.node().arbiter(index);
            let connections = me.spawn_link_in(&arbiter, name, move || {
                Ok((Connections::new(protocol, context, index, max), NoPort))
            });
            if let Err(error) = me.node().register(name, &connections) {
                // Without its name, the acceptor would not find it.
                connections.process().kill();
                return Err(error.into());
            }
            Ok(Started::supervisor(
                connections,
                ToConnections::WhichChildren,
            ))
        })
        .shutdown(Shutdown::After(STOP_TIMEOUT))
    }

    /// Returns the spec of the acceptor, in the first arbiter. The listener is kept for a restart.
    fn acceptor(&self, listener: TcpListener) -> Spec {
        let reporter = self.reporter.clone();
        let arbiters = self.counters.len();
        // Connections keep their numbers apart when the acceptor is restarted.
        let accepted = Arc::new(AtomicU64::new(0));
        Spec::new(ACCEPTOR, move |me| {
            let found = (0..arbiters).map(|index| me.node().whereis(connections_name(index)));
            let supervisors: Option<Vec<Pid<ToConnections>>> = found.collect();
            let supervisors = supervisors.ok_or(io::ErrorKind::NotFound)?;
            let (listener, reporter) = (listener.try_clone()?, reporter.clone());
            let accepted = Arc::clone(&accepted);
            let arbiter = me.node().arbiter(0);
            let acceptor = me.spawn_link_in(&arbiter, ACCEPTOR, move || {
                let port = Listening::new(Listener::adopt(listener)?);
                Ok((Acceptor::new(supervisors, accepted, reporter), port))
            });
            Ok(acceptor.into())
        })
        .shutdown(Shutdown::After(STOP_TIMEOUT))
    }
}

fn connections_name(index: usize) -> Name {
    Name::numbered("connections", index as u64)
}

/// Returns the share of `max` at `index`; the shares add up to `max`.
fn share(max: usize, index: usize, parts: usize) -> usize {
    max / parts + usize::from(index < max % parts)
}

impl RunningServer {
    /// Returns the root of the supervision tree, to be drawn.
    fn tree(&self) -> ChildInfo {
        ChildInfo {
            name: self.root.process().name(),
            process: Some(self.root.process()),
            notes: String::new(),
            restarted: None,
            which_children: Some(WhichChildren::new(
                self.root.clone(),
                ToSupervisor::WhichChildren,
            )),
        }
    }

    /// Returns the children of the listener's supervisor; none if it has ended, or does not answer in time.
    fn children(&self) -> Vec<ChildInfo> {
        let ask = ToSupervisor::WhichChildren;
        let answer = self.node.call(&self.root, tree::LIST_TIMEOUT, ask);
        answer.map_or_else(|_| Vec::new(), |children| children.children)
    }

    fn connections(&self) -> impl Iterator<Item = Pid<ToConnections>> {
        (0..self.counters.len()).filter_map(|index| self.node.whereis(connections_name(index)))
    }

    /// Stops the acceptor for good. Returns whether the listener's supervisor has answered.
    fn remove_acceptor(&self) -> bool {
        let remove = |reply| ToSupervisor::Remove(ACCEPTOR, reply);
        self.node.call(&self.root, STOP_TIMEOUT, remove).is_ok()
    }

    /// Stops the acceptor, then drains every connection supervisor, then stops the node (S21). Every supervisor is told
    /// first: a client can see that the acceptor has stopped, and end its connection before the drain begins.
    // ANCHOR: stop_in_order
    fn stop(&self, grace: Duration) -> Drained {
        for connections in self.connections() {
            self.node.send(&connections, ToConnections::Stopping);
        }
        self.remove_acceptor();
        let draining = self.connections().map(|connections| {
            let drain = move |reply| ToConnections::Drain { grace, reply };
            self.node
                .ask(&connections, grace.saturating_add(STOP_TIMEOUT), drain)
        });
        // All supervisors are asked before the first answer is awaited.
        let draining: Vec<_> = draining.collect();
        let drained = draining
            .into_iter()
            .filter_map(|answer| answer.wait().ok())
            .sum();
        self.node.stop();
        drained
    }
    // ANCHOR_END: stop_in_order
}

impl Server for RunningServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(self.counters.iter().map(|counters| &**counters))
    }

    /// Draws the supervision tree (O6).
    fn details(&self) -> Option<String> {
        Some(tree::draw_tree(&self.node, self.tree()))
    }

    fn live_details(&self) -> Option<String> {
        Some(tree::draw_living_tree(&self.node, self.tree()))
    }

    /// Returns the names of the listener's children, which it restarts.
    fn parts(&self) -> Vec<String> {
        let names = self.children().into_iter();
        names.map(|child| child.name.to_string()).collect()
    }

    /// Sends the child an exit signal with the reason of a crash, as `exit(Pid, Reason)` does in Erlang's shell.
    fn crash(&self, part: &str) -> bool {
        let mut children = self.children().into_iter();
        let child = children.find(|child| child.name.to_string() == part);
        let process = child.and_then(|child| child.process);
        process
            .inspect(|process| process.exit(Reason::crash("asked for in the laboratory")))
            .is_some()
    }

    fn stop_accepting(&self) -> bool {
        self.remove_acceptor()
    }

    /// Calls the supervisors of all arbiters; a handler that does not return holds up its whole arbiter.
    fn responds(&self, wait: Duration) -> bool {
        // The listener's supervisor answers when it has started them.
        let ask = ToSupervisor::WhichChildren;
        if self.node.call(&self.root, wait, ask).is_err() {
            return false;
        }
        let asked = self.connections().map(|connections| {
            self.node
                .ask(&connections, wait, ToConnections::WhichChildren)
        });
        let asked: Vec<_> = asked.collect();
        asked.len() == self.counters.len() && asked.into_iter().all(|answer| answer.wait().is_ok())
    }

    fn shutdown(self: Box<Self>, grace: Duration) -> Summary {
        let cut_before = self.counters().closed.cut;
        let Drained { finished, cut } = self.stop(grace);
        let counters = self.counters();
        Summary {
            finished,
            // A supervisor that was too busy to report has had its connections killed, and counted.
            cut: cut.max(counters.closed.cut - cut_before),
            counters,
        }
    }
}

/// Stops the node without grace; does nothing after a shutdown.
impl Drop for RunningServer {
    fn drop(&mut self) {
        self.node.stop();
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RunningServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
