//! A server that was started by `compare` must not outlive it, however that ends. Only Linux can promise this of a
//! parent that is killed; elsewhere the parent's own care has to do.

/// Has the system end this process when `parent`, which started it, ends.
#[cfg(target_os = "linux")]
pub(crate) fn end_with(parent: u32) {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    use nix::unistd::getppid;

    if let Err(error) = set_pdeathsig(Signal::SIGKILL) {
        tracing::warn!("this server may outlive its parent: {error}");
    }
    // It may have ended before it was asked for.
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        std::process::exit(1);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with(_: u32) {}
