//! The client's count of all traffic, to compare with the server's counts (MEASURING 1).

use std::ops::AddAssign;

use poetry::Counts;
use serde::Serialize;

/// All traffic from the first connect to the last close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Connections made.
    pub connections: u64,
    /// Requests sent, to the last byte.
    pub requests: u64,
    /// Replies received, verified to the last byte.
    pub answered: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

impl Ledger {
    /// Checks that the server, which must have had no other client, counted the same.
    ///
    /// # Errors
    /// The first count that differs, with both values.
    pub fn check(&self, server: &Counts) -> Result<(), String> {
        server.check()?;
        let pairs = [
            ("connections", self.connections, server.accepted),
            ("requests", self.requests, server.requests),
            ("replies", self.answered, server.answered),
            ("bytes of requests", self.bytes_out, server.bytes_in),
            ("bytes of replies", self.bytes_in, server.bytes_out),
        ];
        match pairs.iter().find(|(_, client, server)| client != server) {
            Some((what, client, server)) => Err(format!(
                "{what}: the client has {client}, the server {server}"
            )),
            None => Ok(()),
        }
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.requests += other.requests;
        self.answered += other.answered;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poetry::Counters;

    fn both() -> (Ledger, Counters) {
        let counters = Counters::default();
        counters.accepted();
        counters.read(20);
        counters.requests(2);
        counters.wrote(18);
        counters.answered(2);
        let ledger = Ledger {
            connections: 1,
            requests: 2,
            answered: 2,
            bytes_in: 18,
            bytes_out: 20,
        };
        (ledger, counters)
    }

    #[test]
    fn equal_counts_agree() {
        let (ledger, counters) = both();
        assert_eq!(ledger.check(&Counts::from(&counters)), Ok(()));
    }

    #[test]
    fn a_difference_of_one_byte_is_reported() {
        let (ledger, counters) = both();
        counters.wrote(1);
        assert_eq!(
            ledger.check(&Counts::from(&counters)),
            Err("bytes of replies: the client has 18, the server 19".to_owned())
        );
    }

    #[test]
    fn inconsistent_server_counts_are_reported_first() {
        let (ledger, counters) = both();
        let mut counts = Counts::from(&counters);
        counts.open += 1;
        assert!(ledger.check(&counts).unwrap_err().contains("accepted"));
    }
}
