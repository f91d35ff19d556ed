//! Broken networks: a namespace whose loopback interface is slow, loses packets, or loses one connection (Linux, root).

use std::io;
use std::process::Command;

use crate::connection::Connection;
use crate::failure::{Check, During, Failure, ensure};
use crate::namespace::Namespace;

/// The network of one case. Programs and threads that the case starts afterwards are in it too; it ends with them.
#[derive(Debug)]
pub struct Network(Namespace);

impl Network {
    /// Moves the calling thread into a network of its own, with packets as small as those of an Ethernet.
    ///
    /// # Errors
    /// This process may not, or `ip` is not installed.
    pub fn enter() -> Check<Self> {
        let network = Self(Namespace::enter()?);
        run("ip link set dev lo mtu 1500 gso_max_segs 1")?;
        Ok(network)
    }

    /// Lets no more than `rate` through, such as `2mbit`: bits a second, of both directions of all connections together.
    ///
    /// # Errors
    /// `tc` is not installed.
    pub fn slow(&self, rate: &str) -> Check {
        run(&format!(
            "tc qdisc replace dev lo root tbf rate {rate} burst 16kb latency 200ms"
        ))
    }

    /// Drops every `nth` packet.
    ///
    /// # Errors
    /// `nft` is not installed.
    pub fn lossy(&self, nth: u32) -> Check {
        self.drop_packets(&format!("numgen inc mod {nth} == 0"))
    }

    /// Drops every packet of `connection`, so that neither end learns what the other does.
    ///
    /// # Errors
    /// `nft` is not installed.
    pub fn cut(&self, connection: &Connection) -> Check {
        let (port, peer) = (connection.local()?.port(), connection.peer()?.port());
        self.drop_packets(&format!("tcp sport {port} tcp dport {peer}"))?;
        self.drop_packets(&format!("tcp sport {peer} tcp dport {port}"))
    }

    fn drop_packets(&self, which: &str) -> Check {
        // Adding what is already there changes nothing.
        run("nft add table ip faults")?;
        run("nft add chain ip faults arriving { type filter hook input priority 0 ; }")?;
        run(&format!("nft add rule ip faults arriving {which} drop"))
    }
}

/// Runs a command of words without spaces.
fn run(words: &str) -> Check {
    let mut words = words.split(' ');
    let program = words.next().unwrap_or_default();
    let ran = match Command::new(program).args(words).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure::Needs(program.to_owned()));
        }
        ran => ran.during("running a command")?,
    };
    ensure(ran.status.success(), || {
        let error = String::from_utf8_lossy(&ran.stderr);
        format!("{program}: {}", error.trim_end())
    })
}
