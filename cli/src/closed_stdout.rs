//! Whether stdout was closed when the command started (`>&-`).
//!
//! Before `main`, Rust's runtime opens `/dev/null` in place of a closed standard stream, so that no socket gets its number.
//! A result would vanish there, with status 0. Therefore this module looks first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, fcntl};

static CLOSED: AtomicBool = AtomicBool::new(false);

// The function runs before `main`: it uses neither threads, nor output, nor anything that can panic.
#[ctor::ctor(unsafe)]
fn look() {
    CLOSED.store(
        fcntl(io::stdout(), FcntlArg::F_GETFD).is_err(),
        Ordering::Relaxed,
    );
}

/// Returns an error if stdout was closed when the command started.
pub(crate) fn check() -> io::Result<()> {
    match CLOSED.load(Ordering::Relaxed) {
        true => Err(io::Error::other("it was closed when the command started")),
        false => Ok(()),
    }
}
