//! Every bound of every program, in one place, each named and with its reason.
//!
//! A [`Limits`] is handed to every server and client explicitly; there is no global. Constants that are not in
//! [`Limits`] are the same for everybody because fairness asks for it.

use std::time::Duration;

/// Connections a server holds at once (S16): the tutorial's problem of ten thousand clients, at one descriptor each.
pub const CONNECTIONS_MAX: usize = 10_000;
/// The longest frame, as in Twisted's `NetstringReceiver` (S2).
pub const FRAME_BYTES_MAX: usize = 99_999;
/// How long a connection may be silent between requests, and a client's peer between bytes (S15, S18).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// From the first byte of a request to its last; what arrives in between does not extend it (S18).
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// How long a peer may refuse to take a single byte (S18).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a lingering close drains (S7): long enough for the reply to cross a slow network.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many bytes a lingering close drains (S7): ten of the longest requests.
pub const LINGER_BYTES_MAX: usize = 1_000_000;
/// How long a client waits for one address to accept (S15).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest poem a client gathers (S15): an endless server must not fill the memory.
pub const POEM_BYTES_MAX: usize = 64 << 20;
/// Fetches a client has under way at once; more wait their turn (S15).
pub const FETCHES_MAX: usize = 10_000;
/// How long requests in flight may take to finish at shutdown (S21).
pub const GRACE: Duration = Duration::from_secs(10);

/// The size of a read in every model, so that no model makes fewer system calls by a larger buffer. Sixteen
/// pipelined requests of a long poem fit.
pub const READ_BUFFER_BYTES: usize = 64 << 10;
/// Requests that a connection may be answered in one turn, before every other ready connection of its thread has had a
/// turn (S24). Enough that pipelining clients still get their replies in few writes; little enough that a connection
/// with one request waits microseconds for each of its neighbours.
pub const REQUESTS_PER_TURN_MAX: u32 = 64;
/// Connections the kernel holds for a server that has not accepted them; larger than any burst we send.
pub const LISTEN_BACKLOG: i32 = 4_096;
/// How long a server that is out of descriptors waits before it tries to accept again (S17: at most 200 ms after
/// one comes free).
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Log lines a second about refused requests; the rest are counted and said in one line (S22).
pub const REFUSAL_LINES_PER_SECOND: u32 = 10;
/// Reactors, arbiters or workers a server may be asked for: more than any machine this is run on has cores.
pub const THREADS_MAX: usize = 256;

/// The bounds of one server or client. Times that do not concern it are not looked at.
///
/// While any byte of a reply waits to be taken by its peer, a server reads nothing more from it (S5). So a
/// connection holds at most the replies to one read buffer of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Servers: [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// Servers and clients: [`FRAME_BYTES_MAX`].
    pub frame_bytes_max: usize,
    /// Servers and clients: [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// Servers: [`REQUEST_DEADLINE`].
    pub request_deadline: Duration,
    /// Servers: [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// Servers: [`LINGER_TIMEOUT`].
    pub linger_timeout: Duration,
    /// Servers: [`LINGER_BYTES_MAX`].
    pub linger_bytes_max: usize,
    /// Clients: [`CONNECT_TIMEOUT`], for each address tried.
    pub connect_timeout: Duration,
    /// Clients: from connecting to the last byte of one poem; none by default, since a slow poem takes minutes.
    pub total_deadline: Option<Duration>,
    /// Clients: [`POEM_BYTES_MAX`].
    pub poem_bytes_max: usize,
    /// Clients: [`FETCHES_MAX`]. One makes a client fetch its poems one after another.
    pub fetches_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            frame_bytes_max: FRAME_BYTES_MAX,
            idle_timeout: IDLE_TIMEOUT,
            request_deadline: REQUEST_DEADLINE,
            write_timeout: WRITE_TIMEOUT,
            linger_timeout: LINGER_TIMEOUT,
            linger_bytes_max: LINGER_BYTES_MAX,
            connect_timeout: CONNECT_TIMEOUT,
            total_deadline: None,
            poem_bytes_max: POEM_BYTES_MAX,
            fetches_max: FETCHES_MAX,
        }
    }
}
