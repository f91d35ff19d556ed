//! A server as others hold it: starts the listener's processes, counts, shows, and shuts down (S21, S23).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use poetry::limits::GRACE;
use poetry::{Counters, Counts, Observer, Options, Reporter, Role, Server, Summary};

use super::Protocol;
use super::acceptor::Acceptor;
use super::connections::Connections;
use crate::NAME;
use crate::ledger::Serving;
use crate::messages::{Drained, ToAcceptor, ToConnections};
use crate::monitor::Reason;
use crate::net::Listener;
use crate::port::{Listening, NoPort};
use crate::process::{Name, Node, Pid};

/// A running server.
pub struct Serve {
    node: Node,
    address: SocketAddr,
    counters: Vec<Arc<Counters>>,
    connections: Vec<Pid<ToConnections>>,
    acceptor: Pid<ToAcceptor>,
}

/// Starts a node and a listener's processes in it.
pub(crate) fn serve<P: Protocol>(
    listener: TcpListener,
    protocol: P,
    role: Role,
    options: &Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Serve> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let node = Node::start(options.threads)?;
    let reporter = Reporter::new(NAME, role, options.clock.clone(), observer);
    let mut counters = Vec::new();
    let mut connections = Vec::new();
    for index in 0..node.arbiters() {
        let counted = Arc::new(Counters::default());
        counters.push(Arc::clone(&counted));
        let serving = Serving {
            worker: u32::try_from(index).unwrap_or(u32::MAX),
            limits: options.limits.clone(),
            counters: counted,
            reporter: reporter.clone(),
            address,
        };
        let max = share(options.limits.connections_max, index, node.arbiters());
        let protocol = protocol.clone();
        let name = Name::numbered("connections", index as u64);
        connections.push(node.arbiter(index).spawn(name, move || {
            Ok((
                Connections::new(protocol, Arc::new(serving), index, max),
                NoPort,
            ))
        }));
    }
    let tables = connections
        .iter()
        .cloned()
        .zip((0..).map(|index| index == 0))
        .collect();
    let acceptor = node.arbiter(0).spawn("acceptor".into(), move || {
        let listener = Listener::adopt(listener)?;
        Ok((Acceptor::new(tables, reporter), Listening::new(listener)))
    });
    Ok(Serve {
        node,
        address,
        counters,
        connections,
        acceptor,
    })
}

/// A part of `max` that, with the others', adds up to it.
fn share(max: usize, index: usize, parts: usize) -> usize {
    max / parts + usize::from(index < max % parts)
}

impl Serve {
    fn stop(&self, grace: Duration) -> Summary {
        self.acceptor.process().exit(Reason::Shutdown);
        let mut all = Drained::default();
        for connections in &self.connections {
            let drained = self.node.call(connections, grace + GRACE, move |reply| {
                ToConnections::Drain { grace, reply }
            });
            let Drained { finished, cut } = drained.unwrap_or_default();
            all.finished += finished;
            all.cut += cut;
        }
        self.node.stop();
        Summary {
            finished: all.finished,
            cut: all.cut,
            counters: self.counters(),
        }
    }
}

impl Server for Serve {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn counters(&self) -> Counts {
        Counts::of(self.counters.iter().map(|counters| &**counters))
    }

    fn shutdown(self: Box<Self>, grace: Duration) -> Summary {
        self.stop(grace)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.node.stop();
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Serve")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
