//! The cost of a process, as the system reports it. Figures that only Linux offers are `None` elsewhere.

use std::io;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

pub(super) use system::cpu;
pub use system::{available_cores, kernel_memory, with_affinity};

/// The cost of a process up to one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all threads, including ended ones, exact to the nanosecond.
    pub cpu: Option<Duration>,
    /// The part of it in user space: the kernel's estimate from its ticks.
    pub user: Option<Duration>,
    /// The part of it in the kernel: likewise an estimate.
    pub system: Option<Duration>,
    /// Live threads.
    pub threads: Option<u64>,
    /// Peak resident memory in bytes (`VmHWM`).
    pub peak_memory: Option<u64>,
    /// Anonymous resident memory in bytes (`RssAnon`).
    pub own_memory: Option<u64>,
    /// Context switches of live threads that waited.
    pub voluntary_switches: Option<u64>,
    /// Context switches of live threads that were preempted.
    pub involuntary_switches: Option<u64>,
}

impl Usage {
    /// Reads the cost of process `pid`. Figures that are not available, as for an ended process, are `None`.
    pub(super) fn of(pid: Pid) -> Self {
        system::usage(pid)
    }
}

/// Reads the cost of process `id`, which need not be a child. Figures that are not available, as for another user's process, are
/// `None`.
pub fn usage_of(id: u32) -> Usage {
    i32::try_from(id)
        .map(|id| Usage::of(Pid::from_raw(id)))
        .unwrap_or_default()
}

/// Raises the soft limit on descriptors to the hard one, as programs do at start (S17), and returns it.
///
/// # Errors
/// Those of the system.
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

    /// The most threads whose switches are summed, since each costs reading a file; beyond it they are not available.
    const THREADS_READ_MAX: u64 = 1_024;
    const THIS_THREAD: Pid = Pid::from_raw(0);
    /// The unit of times in /proc, the same on every machine whatever the kernel's own tick.
    const TICK: Duration = Duration::from_millis(10);

    /// Returns the cores this thread may run on, in order.
    ///
    /// # Errors
    /// Those of the system.
    pub fn available_cores() -> io::Result<Vec<usize>> {
        let set = sched_getaffinity(THIS_THREAD)?;
        Ok((0..CpuSet::count())
            .filter(|&core| set.is_set(core).unwrap_or(false))
            .collect())
    }

    /// Calls `action` with this thread pinned to `core`, if one is given, and unpins it afterwards. Threads and
    /// processes started by `action` stay pinned.
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

    /// Returns the kernel's own memory on the whole machine, in bytes: slabs, stacks and page tables.
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

    /// Returns user and system time. The name in parentheses may contain anything, so fields are counted from behind it.
    fn ticks(folder: &Path) -> Option<(Duration, Duration)> {
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut time = || Some(TICK * fields.next()?.parse().ok()?);
        Some((time()?, time()?))
    }

    /// Returns voluntary and involuntary switches of all live threads.
    fn switches(folder: &Path) -> Option<(u64, u64)> {
        let mut sum = (0, 0);
        for task in fs::read_dir(folder.join("task")).ok()? {
            // Skips a thread that has ended meanwhile.
            let status = task.and_then(|task| fs::read_to_string(task.path().join("status")));
            let Ok(status) = status else { continue };
            sum.0 += field(&status, "voluntary_ctxt_switches")?;
            sum.1 += field(&status, "nonvoluntary_ctxt_switches")?;
        }
        Some(sum)
    }

    /// Returns the number after `name:` in a file of lines such as `Threads: 4`.
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
        fn the_cost_of_this_process_is_read() {
            let usage = usage(Pid::this());
            assert!(usage.cpu > Some(Duration::ZERO));
            assert!(usage.threads >= Some(1) && usage.own_memory > Some(0));
            assert!(usage.peak_memory >= usage.own_memory);
            assert!(usage.voluntary_switches.is_some() && usage.user.is_some());
            assert!(kernel_memory() > Some(0));
        }

        #[test]
        fn the_previous_affinity_is_restored() {
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

    /// Returns no cores: this system cannot pin.
    ///
    /// # Errors
    /// None.
    pub fn available_cores() -> io::Result<Vec<usize>> {
        Ok(Vec::new())
    }

    /// Calls `action` unpinned: this system cannot pin.
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
