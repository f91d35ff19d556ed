//! The process's descriptors: as many as it may have (S17), and room for them in the kernel's table.

use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::unistd::close;

/// What a process opens beside its connections: its standard streams, files, listeners, event queues and wakers.
const BESIDE: usize = 64;
/// More than this is not made room for: a table of as many takes 128 KiB of the kernel's memory.
const TABLE_MAX: usize = 1 << 14;

/// Raises the soft limit on descriptors to the hard one (S17), and makes room for `connections`. To be called while the
/// process has one thread. Without either the programs still run, with fewer connections, or with pauses.
pub(crate) fn prepare(connections: usize) {
    let prepared = raise_limit().and_then(|limit| make_room(connections, limit));
    if let Err(error) = prepared {
        tracing::debug!("the descriptors stay as they are: {error}");
    }
}

fn raise_limit() -> Result<rlim_t, Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Has the kernel's table of descriptors grow in one step, by asking for a high one.
///
/// Linux doubles the table when it is full; where several threads share it, whoever opened a socket then stands still
/// until every processor has left what it was reading, some 15 ms, and half a dozen times on the way to 10,000.
fn make_room(connections: usize, limit: rlim_t) -> Result<(), Errno> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let wanted = connections.saturating_add(BESIDE).min(TABLE_MAX).min(limit);
    let highest = i32::try_from(wanted).map_or(i32::MAX, |wanted| wanted - 1);
    close(fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(highest))?)
}
