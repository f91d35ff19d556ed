//! Every bound of every program, each with its name and its reason.
//!
//! Every server and client takes a [`Limits`] explicitly; there is no global. A constant that is not in [`Limits`] is the
//! same in all models, for a fair comparison.

use std::time::Duration;

/// Connections a server holds at once (S16): ten thousand clients, at one descriptor each.
pub const CONNECTIONS_MAX: usize = 10_000;
/// The longest frame, as in Twisted's `NetstringReceiver` (S2).
pub const FRAME_BYTES_MAX: usize = 99_999;
/// How long a connection may be silent between requests, and a client's peer between two reads (S15, S18).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The time from the first byte of a request to its last. Bytes in between do not extend it (S18).
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// How long a peer may take no byte of what is sent to it (S18).
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a lingering close drains its input (S7): long enough for the reply to cross a slow network.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// The bytes that a lingering close drains (S7): ten of the longest requests.
pub const LINGER_BYTES_MAX: usize = 1_000_000;
/// How long a client waits for one address to accept (S15).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest poem a client collects (S15), and the longest that the command serves from a file: an endless poem must not fill
/// the memory.
pub const POEM_BYTES_MAX: usize = 64 << 20;
/// Fetches a client has under way at once; more wait their turn (S15).
pub const FETCHES_MAX: usize = 10_000;
/// How long requests in flight may take to finish after a shutdown begins (S21).
pub const GRACE: Duration = Duration::from_secs(10);

/// The size of a read in every model, so that no model saves system calls by a larger buffer. Sixteen pipelined
/// requests of a long poem fit.
pub const READ_BUFFER_BYTES: usize = 64 << 10;
/// Requests that a connection may be answered in one turn, before every other ready connection of its thread has had a
/// turn (S24). Enough that pipelining clients still get their replies in few writes; little enough that a connection
/// with one request waits microseconds for each of its neighbours.
pub const REQUESTS_PER_TURN_MAX: u32 = 64;
/// Heavy requests that a server with `offload` computes at once, over all its threads (S25): as many as a small machine has
/// cores, since they compute and do not wait. Further ones wait in order; no connection has more than one, so at most
/// [`Limits::connections_max`] wait.
pub const OFFLOADED_MAX: usize = 4;
/// Connections that the kernel holds until the server accepts them: more than the bursts of the benchmarks.
pub const LISTEN_BACKLOG: i32 = 4_096;
/// How long a server without free descriptors waits before it accepts again (S17 allows 200 ms after one becomes free), a client
/// before it tries for one again (S15), and `blocking` before it tries for a thread (T1).
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Log lines a second about refused requests, and as many about a proxy's failed fetches; further ones are counted and summed up
/// in one line (S22).
pub const REFUSAL_LINES_PER_SECOND: u32 = 10;
/// Poems of a library that is read from a directory: so many files are read within seconds. Further files are skipped (S8).
pub const LIBRARY_POEMS_MAX: usize = 100_000;
/// Bytes of all poems of such a library, those that are kept from before included, since they are in memory. Files beyond them
/// are skipped (S8). While the directory is read again, the poems that are replaced come on top.
pub const LIBRARY_BYTES_MAX: usize = 1 << 30;
/// The most reactors, arbiters or workers of a server: more than the cores of the machines it runs on.
pub const THREADS_MAX: usize = 256;

/// The bounds of one server or client. It ignores those that do not concern its role.
///
/// A server reads nothing from a peer while a byte of a reply to it is unsent (S5). So a connection holds at most one read
/// buffer of requests and the replies to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Servers: connections open at once; [`CONNECTIONS_MAX`] by default.
    pub connections_max: usize,
    /// Servers and clients: bytes in the frame of a request or reply; [`FRAME_BYTES_MAX`] by default.
    pub frame_bytes_max: usize,
    /// Transform and library servers: how long a connection may be silent between requests. Clients and proxies: how long a
    /// peer or the upstream may send nothing, or take nothing of a request. [`IDLE_TIMEOUT`] by default.
    pub idle_timeout: Duration,
    /// Transform and library servers: from the first byte of a request to its last; [`REQUEST_DEADLINE`] by default.
    pub request_deadline: Duration,
    /// Servers: how long a peer may take no byte; [`WRITE_TIMEOUT`] by default.
    pub write_timeout: Duration,
    /// Servers: how long a lingering close drains its input; [`LINGER_TIMEOUT`] by default.
    pub linger_timeout: Duration,
    /// Servers: how many bytes a lingering close drains; [`LINGER_BYTES_MAX`] by default.
    pub linger_bytes_max: usize,
    /// Clients and proxies: how long to wait for one address to accept; [`CONNECT_TIMEOUT`] by default.
    pub connect_timeout: Duration,
    /// Clients and proxies: from the start of connecting to the end of one fetch, including its transform; none by default, since a
    /// slow poem takes minutes.
    pub total_deadline: Option<Duration>,
    /// Clients and proxies: bytes in a poem; [`POEM_BYTES_MAX`] by default.
    pub poem_bytes_max: usize,
    /// Clients: fetches under way at once; [`FETCHES_MAX`] by default. With 1, poems are fetched one after another.
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
