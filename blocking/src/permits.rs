//! A bound on this process's threads: a permit for each, a limit below the kernel's, and a check that enough address space
//! is left, since a thread that starts without it aborts the process (T1).

use std::fs;
use std::hint::black_box;
use std::io::{self, ErrorKind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns how many threads this crate may have in one process, which stays well below the kernel's limit on memory maps.
pub(crate) fn threads_limit() -> usize {
    const MAPS_MAX: usize = 65_530; // the kernel's default
    static LIMIT: LazyLock<usize> = LazyLock::new(|| {
        let setting = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let maps = setting.and_then(|text| text.trim().parse().ok());
        limit_below(maps.unwrap_or(MAPS_MAX))
    });
    *LIMIT
}

/// A thread takes four memory maps: a stack, a stack for signals, and a guard below each. A thread that starts and does
/// not get the last of them aborts the process, so an eighth of the maps is left to the rest of the program.
fn limit_below(maps_max: usize) -> usize {
    const MAPS_EACH: usize = 4;
    (maps_max - maps_max / 8) / MAPS_EACH
}

/// Permits for threads, below a limit.
#[derive(Debug)]
pub(crate) struct Permits {
    taken: AtomicUsize,
    /// Permits given since the last check of the headroom.
    unchecked: AtomicUsize,
    limit: fn() -> usize,
}

/// The permits of this process.
pub(crate) static PERMITS: Permits = Permits::new(threads_limit);

/// The permit for one thread; dropping it returns it.
#[derive(Debug)]
pub(crate) struct Permit(&'static Permits);

impl Permits {
    /// Creates as many permits as `limit` returns.
    pub(crate) const fn new(limit: fn() -> usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            unchecked: AtomicUsize::new(UNCHECKED_MAX),
            limit,
        }
    }

    /// Takes a permit. Both counters only count, and no other memory depends on them, so relaxed order is enough; adding
    /// before comparing keeps two threads from taking the last permit.
    ///
    /// # Errors
    /// Fails if all permits are taken, or too little address space is left.
    pub(crate) fn take(&'static self) -> io::Result<Permit> {
        let limit = (self.limit)();
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(self); // An error drops it, which subtracts it again.
        if taken >= limit {
            let message = format!("the {limit} threads that a process may have are all in use");
            return Err(io::Error::other(message));
        }
        if self.unchecked.fetch_add(1, Ordering::Relaxed) >= UNCHECKED_MAX {
            check_headroom(HEADROOM_BYTES)?;
            self.unchecked.store(0, Ordering::Relaxed);
        }
        Ok(permit)
    }

    /// Returns how many permits are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Address space that must be free to spawn threads: a thread that cannot allocate a few bytes aborts the process. It is
/// more than the 32 MiB up to which the allocator would remember the request, and than [`UNCHECKED_MAX`] threads take.
const HEADROOM_BYTES: usize = 48 << 20;
/// Threads spawned between two checks, since a check takes two system calls.
const UNCHECKED_MAX: usize = 32;

/// Reserves `bytes` of address space and returns them untouched, which costs no memory.
fn check_headroom(bytes: usize) -> io::Result<()> {
    let mut headroom = Vec::<u8>::new();
    let reserved = headroom.try_reserve_exact(bytes);
    black_box(&headroom); // Keeps the compiler from removing an allocation that is not used.
    reserved.map_err(|_| io::Error::new(ErrorKind::OutOfMemory, "too little memory is left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t1_the_limit_is_well_below_the_sixteen_thousand_that_would_fit() {
        assert_eq!(limit_below(65_530), 14_334);
    }

    #[test]
    fn t1_no_permit_is_given_over_the_limit_and_a_returned_one_is_given_again() {
        static ONE: Permits = Permits::new(|| 1);
        let permit = ONE.take().unwrap();
        assert!(ONE.take().is_err());
        drop(permit);
        assert!(ONE.take().is_ok());
        assert_eq!(ONE.taken(), 0);
    }

    #[test]
    fn t1_too_little_address_space_is_an_error() {
        assert!(check_headroom(HEADROOM_BYTES).is_ok());
        let too_little = check_headroom(isize::MAX as usize).unwrap_err();
        assert_eq!(too_little.kind(), ErrorKind::OutOfMemory);
    }
}
