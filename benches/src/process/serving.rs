//! The line that a server prints when it accepts connections.

use std::net::SocketAddr;
use std::str::FromStr;

/// `Serving WHAT on HOST:PORT with MODEL`, parsed.
///
/// ```
/// use measure::process::Serving;
///
/// let serving: Serving = "Serving on with.txt on 127.0.0.1:10001 with callbacks\n".parse().unwrap();
/// assert_eq!(serving.what, "on with.txt");
/// assert_eq!(serving.address, ([127, 0, 0, 1], 10001).into());
/// assert_eq!(serving.with, "callbacks");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// A poem's file, or `transforms`.
    pub what: String,
    /// The address it listens on.
    pub address: SocketAddr,
    /// The model.
    pub with: String,
}

/// Another line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not `Serving … on HOST:PORT with …`")]
pub struct NotServing;

impl FromStr for Serving {
    type Err = NotServing;

    /// Parses from the end, since a file's name may contain anything: the address is just before the last `with`.
    fn from_str(line: &str) -> Result<Self, NotServing> {
        let line = line.trim_end().strip_prefix("Serving ").ok_or(NotServing)?;
        let (rest, with) = line.rsplit_once(" with ").ok_or(NotServing)?;
        let (what, address) = rest.rsplit_once(" on ").ok_or(NotServing)?;
        Ok(Self {
            what: what.to_owned(),
            address: address.parse().map_err(|_| NotServing)?,
            with: with.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_are_rejected() {
        for line in [
            "",
            "Serving",
            "Serving x on 127.0.0.1 with y",
            "serving x on 127.0.0.1:1 with y",
        ] {
            assert_eq!(line.parse::<Serving>(), Err(NotServing), "{line}");
        }
    }

    #[test]
    fn an_ipv6_address_is_parsed() {
        let serving: Serving = "Serving transforms on [::1]:7 with actors".parse().unwrap();
        assert_eq!(serving.address.to_string(), "[::1]:7");
    }
}
