//! Maps keyed by process or by monitor. The keys are serial numbers that no peer chooses, so one multiplication is
//! hash enough; std's hash defends against chosen keys and costs several times as much.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::ProcessRef;
use crate::monitor::{MonitorId, ProcessId};

/// A map keyed by process.
pub(crate) type ById<V> = HashMap<ProcessId, V, BuildHasherDefault<IdHasher>>;

/// A process's monitors, and the processes that they watch.
pub(super) type Monitors = HashMap<MonitorId, ProcessRef, BuildHasherDefault<IdHasher>>;

#[derive(Default)]
pub(crate) struct IdHasher(u64);

/// 2^64 divided by the golden ratio, which spreads neighbouring numbers far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(SPREAD);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
