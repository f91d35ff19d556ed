//! Ends a server when its parent, `compare` or `measure`, ends. Only Linux guarantees this for a parent that is killed;
//! elsewhere the parent stops its servers itself.

/// Asks the system to end this process when its parent, process `parent`, ends.
#[cfg(target_os = "linux")]
pub(crate) fn end_with(parent: u32) {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    use nix::unistd::getppid;

    if let Err(error) = set_pdeathsig(Signal::SIGKILL) {
        tracing::warn!("this server may outlive its parent: {error}");
    }
    // The parent may have ended before that call.
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        std::process::exit(1);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with(_: u32) {}
