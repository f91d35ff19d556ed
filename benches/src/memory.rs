//! Memory of a server with idle connections (MEASURING 7).

use serde::{Deserialize, Serialize};

/// Memory at one count of connections, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Idle connections, each of which has made a request.
    pub connections: usize,
    /// The server's own memory (`RssAnon`).
    pub own: Option<u64>,
    /// The kernel's memory, on the whole machine.
    pub kernel: Option<u64>,
    /// The server's threads.
    pub threads: Option<u64>,
}
