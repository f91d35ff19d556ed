//! What a process has cost, as the system tells it. What only Linux tells is `None` elsewhere: not available.

use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

pub(super) use system::cpu;
pub use system::{available_cores, kernel_memory, with_affinity};

/// What a process has cost until one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of all threads, those that ended too, exact to the nanosecond.
    pub cpu: Option<Duration>,
    /// The part of it spent in the program itself: the kernel's own estimate, from its ticks.
    pub user: Option<Duration>,
    /// The part of it spent in the kernel: likewise.
    pub system: Option<Duration>,
    /// Threads that live.
    pub threads: Option<u64>,
    /// The most memory it has had, in bytes (`VmHWM`).
    pub peak_memory: Option<u64>,
    /// Memory of its own, not of files, in bytes (`RssAnon`).
    pub own_memory: Option<u64>,
    /// Context switches because it waited, of the threads that live.
    pub voluntary_switches: Option<u64>,
    /// Context switches because its turn was over, of the threads that live.
    pub involuntary_switches: Option<u64>,
}

impl Usage {
    /// What process `pid` has cost. What cannot be told, of a process that has ended for one, is `None`.
    pub(super) fn of(pid: Pid) -> Self {
        system::usage(pid)
    }
}

/// Raises the soft limit on descriptors to the hard one, as programs do when they start (S17), and says what it is.
///
/// # Errors
/// What the system says.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::io;
    use std::path::Path;
    use std::time::Duration;

    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::time::{clock_getcpuclockid, clock_gettime};
    use nix::unistd::Pid;

    use super::Usage;

    /// Threads whose switches are summed, one small file each; of a process with more they are not told.
    const THREADS_READ_MAX: u64 = 1_024;
    const THIS_THREAD: Pid = Pid::from_raw(0);
    /// The unit of times in /proc, the same on every machine whatever the kernel's own tick.
    const TICK: Duration = Duration::from_millis(10);

    /// The cores this thread may run on, in order.
    ///
    /// # Errors
    /// What the system says.
    pub fn available_cores() -> io::Result<Vec<usize>> {
        let set = sched_getaffinity(THIS_THREAD)?;
        Ok((0..CpuSet::count())
            .filter(|&core| set.is_set(core).unwrap_or(false))
            .collect())
    }

    /// Calls `action` with this thread confined to `core`, if one is given: what it starts inherits that. The thread
    /// may go everywhere it could before once `action` has returned.
    ///
    /// # Errors
    /// There is no such core.
    pub fn with_affinity<T>(core: Option<usize>, action: impl FnOnce() -> T) -> io::Result<T> {
        let Some(core) = core else {
            return Ok(action());
        };
        let before = sched_getaffinity(THIS_THREAD)?;
        let mut only = CpuSet::new();
        only.set(core)?;
        sched_setaffinity(THIS_THREAD, &only)?;
        let result = action();
        sched_setaffinity(THIS_THREAD, &before)?;
        Ok(result)
    }

    pub(in crate::process) fn cpu(pid: Pid) -> Option<Duration> {
        let clock = clock_getcpuclockid(pid).ok()?;
        clock_gettime(clock).ok().map(Duration::from)
    }

    /// Memory that the kernel uses for itself, on the whole machine, in bytes: slabs, stacks and page tables.
    pub fn kernel_memory() -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let parts = ["Slab", "KernelStack", "PageTables"];
        let kibibytes: Option<u64> = parts.iter().map(|name| field(&text, name)).sum();
        Some(kibibytes? * 1024)
    }

    pub(super) fn usage(pid: Pid) -> Usage {
        let folder = format!("/proc/{pid}");
        let folder = Path::new(&folder);
        let (user, system) = ticks(folder).unzip();
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        let kibibytes = |name| field(&status, name).map(|kibibytes| kibibytes * 1024);
        let threads = field(&status, "Threads");
        let switches = threads
            .filter(|&threads| threads <= THREADS_READ_MAX)
            .and_then(|_| switches(folder));
        Usage {
            cpu: cpu(pid),
            user,
            system,
            threads,
            peak_memory: kibibytes("VmHWM"),
            own_memory: kibibytes("RssAnon"),
            voluntary_switches: switches.map(|(voluntary, _)| voluntary),
            involuntary_switches: switches.map(|(_, involuntary)| involuntary),
        }
    }

    /// User and system time. The name, in parentheses, may contain anything: fields are counted from behind it.
    fn ticks(folder: &Path) -> Option<(Duration, Duration)> {
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut time = || Some(TICK * fields.next()?.parse().ok()?);
        Some((time()?, time()?))
    }

    /// Voluntary and involuntary switches of all threads that live.
    fn switches(folder: &Path) -> Option<(u64, u64)> {
        let mut sum = (0, 0);
        for task in fs::read_dir(folder.join("task")).ok()? {
            // A thread that has ended meanwhile is passed over.
            let status = task.and_then(|task| fs::read_to_string(task.path().join("status")));
            let Ok(status) = status else { continue };
            sum.0 += field(&status, "voluntary_ctxt_switches")?;
            sum.1 += field(&status, "nonvoluntary_ctxt_switches")?;
        }
        Some(sum)
    }

    /// The number behind `name:` in a file of lines such as `Threads: 4`.
    fn field(status: &str, name: &str) -> Option<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_field_is_found_by_its_whole_name() {
            let status = "nonvoluntary_ctxt_switches:\t3\nvoluntary_ctxt_switches:\t5\n";
            assert_eq!(field(status, "voluntary_ctxt_switches"), Some(5));
            assert_eq!(field(status, "switches"), None);
        }

        #[test]
        fn this_process_has_a_cost() {
            let usage = usage(Pid::this());
            assert!(usage.cpu > Some(Duration::ZERO));
            assert!(usage.threads >= Some(1) && usage.own_memory > Some(0));
            assert!(usage.peak_memory >= usage.own_memory);
            assert!(usage.voluntary_switches.is_some() && usage.user.is_some());
            assert!(kernel_memory() > Some(0));
        }

        #[test]
        fn affinity_is_given_back() {
            let before = available_cores().unwrap();
            let core = before[0];
            assert_eq!(
                with_affinity(Some(core), || available_cores().unwrap()).unwrap(),
                [core]
            );
            assert_eq!(available_cores().unwrap(), before);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::time::Duration;

    use nix::unistd::Pid;

    use super::Usage;

    /// No core can be chosen here.
    ///
    /// # Errors
    /// None.
    pub fn available_cores() -> io::Result<Vec<usize>> {
        Ok(Vec::new())
    }

    /// Calls `action`; this system confines no thread to a core.
    ///
    /// # Errors
    /// None.
    pub fn with_affinity<T>(_: Option<usize>, action: impl FnOnce() -> T) -> io::Result<T> {
        Ok(action())
    }

    pub(in crate::process) fn cpu(_: Pid) -> Option<Duration> {
        None
    }

    /// Not available here.
    pub fn kernel_memory() -> Option<u64> {
        None
    }

    pub(super) fn usage(_: Pid) -> Usage {
        Usage::default()
    }
}
