//! The cores of server and client (MEASURING 4).

use serde::{Deserialize, Serialize};

use crate::process::available_cores;

/// A core for the server and one for the client; `None` does not pin that side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinning {
    /// The core of the subject, with all its threads.
    pub server: Option<usize>,
    /// The core of the load generator.
    pub client: Option<usize>,
}

impl Pinning {
    /// Neither side is pinned.
    pub const NONE: Self = Self {
        server: None,
        client: None,
    };

    /// Pins each side to its own core, if there are two and the system can pin.
    pub fn apart() -> Self {
        match available_cores().as_deref() {
            Ok([server, .., client]) => Self {
                server: Some(*server),
                client: Some(*client),
            },
            _ => Self::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sides_never_share_a_core() {
        let pinning = Pinning::apart();
        assert!(pinning == Pinning::NONE || pinning.server != pinning.client);
    }
}
