//! Addresses as users write them, and the peers they become (S10). Nothing here resolves a name: that does I/O.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use crate::error::FetchFailure;

/// A program to connect to: its address as the user wrote it and the socket addresses it resolved to. Clones share both.
///
/// ```
/// use poetry::Peer;
///
/// let by_port: Peer = "10001".parse()?;
/// assert_eq!(by_port.addresses().unwrap(), &["127.0.0.1:10001".parse().unwrap()]);
/// assert!("poems.example:10001".parse::<Peer>().is_err(), "names are resolved by the caller");
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer(Arc<NamedAddresses>);

#[derive(Debug, PartialEq, Eq)]
struct NamedAddresses {
    name: String,
    addresses: Result<Vec<SocketAddr>, String>,
}

impl Peer {
    /// Creates a peer whose `addresses` are tried in order.
    pub fn new(name: impl Into<String>, addresses: Vec<SocketAddr>) -> Self {
        Self(Arc::new(NamedAddresses {
            name: name.into(),
            addresses: Ok(addresses),
        }))
    }

    /// Creates a peer whose name did not resolve because of `cause`. Fetching from it fails with
    /// [`FetchFailure::ConnectionFailed`] (S10).
    pub fn unresolved(name: impl Into<String>, cause: impl Into<String>) -> Self {
        Self(Arc::new(NamedAddresses {
            name: name.into(),
            addresses: Err(cause.into()),
        }))
    }

    /// Returns the name to show in messages: what the user wrote, or the address.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the addresses to try, in order; at least one.
    ///
    /// # Errors
    /// Fails with [`FetchFailure::ConnectionFailed`] if there is none.
    pub fn addresses(&self) -> Result<&[SocketAddr], FetchFailure> {
        let failed = |cause: &str| FetchFailure::ConnectionFailed {
            cause: cause.to_owned(),
        };
        match &self.0.addresses {
            Ok(addresses) if addresses.is_empty() => Err(failed("the name has no address")),
            Ok(addresses) => Ok(addresses),
            Err(cause) => Err(failed(cause)),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.to_string(), vec![address])
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Parses [`Address`]'s form with an IP address or `localhost` as the host. This does no I/O, so other names are rejected.
impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: Address = text.parse()?;
        let ip = match address.ip() {
            Some(ip) => ip,
            None if address.host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            None => {
                return Err(format!(
                    "write an IP address instead of the name '{}'",
                    address.host
                ));
            }
        };
        let addresses = vec![SocketAddr::new(ip, address.port)];
        Ok(Self::new(address.to_string(), addresses))
    }
}

/// Where a program listens, as users write it: `[host:]port` (S10).
///
/// The host is a name or an IP address, IPv6 in brackets; it defaults to 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The port; 0 only in an address [to listen](Self::to_listen) on.
    pub port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::to_listen(text)? {
            address if address.port > 0 => Ok(address),
            _ => Err(PORTS.to_owned()),
        }
    }
}

/// The ports to connect to.
const PORTS: &str = "a port is a number from 1 to 65535";

impl Address {
    /// Parses where a server listens: as an address to connect to, but the port may be 0, which takes a free one.
    ///
    /// # Errors
    /// Says what the right form is.
    pub fn to_listen(text: &str) -> Result<Self, String> {
        const FORM: &str = "write [host:]port, such as 10001, localhost:10001 or [::1]:10001";
        let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
        let in_brackets = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match in_brackets {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            None if host.parse::<Ipv6Addr>().is_ok() => {
                return Err(format!(
                    "write an IPv6 address in brackets: [{host}]:{port}"
                ));
            }
            None if is_name(host) => host,
            _ => return Err(FORM.to_owned()),
        };
        match port.parse() {
            Ok(number) if !port.starts_with('+') => Ok(Self {
                host: host.to_owned(),
                port: number,
            }),
            _ if port.bytes().all(|byte| byte.is_ascii_digit()) => Err(PORTS.to_owned()),
            _ => Err(FORM.to_owned()),
        }
    }
}

/// Returns whether `host` has the form of a name or an IPv4 address. Only the resolver can tell whether it is one.
fn is_name(host: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "/:[]@".contains(c);
    !host.is_empty() && !host.contains(forbidden)
}

impl Address {
    /// Returns the host as an IP address, or `None` if it is a name that must be resolved.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]:{}", self.host, self.port),
            false => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_the_host_defaults_to_this_machine() {
        let shown = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(shown("10001"), Ok("127.0.0.1:10001".to_owned()));
        assert_eq!(shown("poems.example:1"), Ok("poems.example:1".to_owned()));
        assert_eq!(shown("[::1]:65535"), Ok("[::1]:65535".to_owned()));
    }

    #[test]
    fn s10_rejects_malformed_addresses() {
        for text in [
            "",
            ":",
            ":1",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1:5",
            "[::1]",
            "[a]:1",
            "a b:1",
            "-1",
            "http://a:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert_eq!(
            "::1:5".parse::<Address>(),
            Err("write an IPv6 address in brackets: [::1]:5".to_owned())
        );
    }

    #[test]
    fn s10_a_peer_is_parsed_from_a_port_or_an_ip_address() {
        let addresses = |text: &str| {
            text.parse::<Peer>()
                .map(|peer| peer.addresses().unwrap().to_vec())
        };
        let address = |text: &str| vec![text.parse::<SocketAddr>().unwrap()];
        assert_eq!(addresses("10001"), Ok(address("127.0.0.1:10001")));
        assert_eq!(addresses("localhost:1"), Ok(address("127.0.0.1:1")));
        assert_eq!(addresses("[::1]:2"), Ok(address("[::1]:2")));
        assert!(addresses("poems.example:1").is_err() && addresses("0").is_err());
    }
}
