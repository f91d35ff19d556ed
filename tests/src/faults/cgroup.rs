//! A bound on the threads of a program: a control group of its own (Linux, root).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::{Check, During, Failure};

/// A control group whose processes may have only so many threads together. Removed on drop, after its processes have ended.
#[derive(Debug)]
pub struct ThreadBound {
    folder: PathBuf,
}

impl ThreadBound {
    /// Creates a group without a bound.
    ///
    /// # Errors
    /// The system has no such groups, or this process may not create one.
    pub fn new() -> Check<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quatrain-{}-{serial}", std::process::id());
        let folder = root().join(name);
        fs::create_dir(&folder).map_err(|error| needs(&error.to_string()))?;
        let bound = Self { folder };
        match bound.folder.join("pids.max").exists() {
            true => Ok(bound),
            false => Err(needs("it has no pids.max")),
        }
    }

    /// Returns the shell command that moves the shell into the group.
    pub fn join(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.folder.display())
    }

    /// Allows `more` threads than there are now.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn allow_more(&self, more: u64) -> Check {
        let current = fs::read_to_string(self.folder.join("pids.current"));
        let current = current.during("counting threads")?;
        let current: u64 = current.trim().parse().during("counting threads")?;
        self.allow(&(current + more).to_string())
    }

    /// Allows `count` threads in all, or `max` for no bound.
    ///
    /// # Errors
    /// The system returned an error.
    pub fn allow(&self, count: &str) -> Check {
        fs::write(self.folder.join("pids.max"), count).during("bounding threads")
    }
}

fn needs(why: &str) -> Failure {
    Failure::Needs(format!("a control group for threads: {why}"))
}

/// Returns the folder in which groups for threads are created: version 1 has one of its own.
fn root() -> &'static Path {
    const OWN: &str = "/sys/fs/cgroup/pids";
    const SHARED: &str = "/sys/fs/cgroup";
    if Path::new(OWN).exists() {
        return Path::new(OWN);
    }
    // Without effect if it is so already; without the right to do it, the group has no `pids.max`.
    let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+pids");
    Path::new(SHARED)
}

impl Drop for ThreadBound {
    fn drop(&mut self) {
        // Fails if a process is still in it; an empty group left behind is harmless.
        let _ = fs::remove_dir(&self.folder);
    }
}
