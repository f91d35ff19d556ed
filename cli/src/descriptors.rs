//! The process's descriptors: raises their limit (S17) and makes room for them in the kernel's table.

use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::unistd::close;

/// Descriptors other than connections: standard streams, files, listeners, event queues and wakers.
pub(crate) const OTHERS: usize = 64;
/// The largest table that is prepared; it takes 128 KiB of kernel memory.
const TABLE_MAX: usize = 1 << 14;

/// Raises the soft limit on descriptors to the hard one (S17), and makes room for `connections`. Call this while the
/// process has one thread. If it fails, the programs still run, with fewer connections or with pauses.
pub(crate) fn prepare(connections: usize) {
    let prepared = raise_limit().and_then(|limit| make_room(connections, limit));
    if let Err(error) = prepared {
        tracing::debug!("the limit on descriptors is unchanged: {error}");
    }
}

fn raise_limit() -> Result<rlim_t, Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Grows the kernel's table of descriptors in one step, by requesting a high one.
///
/// Linux doubles the table when it is full. If several threads share it, the thread that opened a socket then waits until
/// every processor has left its read section: some 15 ms, half a dozen times on the way to 10,000.
fn make_room(connections: usize, limit: rlim_t) -> Result<(), Errno> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let wanted = connections.saturating_add(OTHERS).min(TABLE_MAX).min(limit);
    let highest = i32::try_from(wanted).map_or(i32::MAX, |wanted| wanted - 1);
    close(fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(highest))?)
}
