//! The limits that a server has in force when it starts (S17): one line, and a warning if its descriptors are too few.

use std::fmt;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use poetry::limits::LISTEN_BACKLOG;
use tracing::{info, warn};

use crate::descriptors::OTHERS;

/// The limits of a server and of its system.
#[derive(Debug, PartialEq, Eq)]
struct LimitsInForce {
    /// Connections at once.
    connections: u64,
    /// Descriptors of this process, if they are limited.
    descriptors: Option<u64>,
    /// The most connections that the kernel holds until they are accepted, if the system tells.
    somaxconn: Option<u64>,
}

/// Logs the limits of a process whose servers have at most `connections_max` connections, and warns if its descriptors do not
/// suffice for them and for itself.
pub(crate) fn report(connections_max: usize) {
    let in_force = LimitsInForce::of(connections_max);
    info!("{in_force}");
    if let Some(warning) = in_force.warning() {
        warn!("{warning}");
    }
}

impl LimitsInForce {
    fn of(connections_max: usize) -> Self {
        Self {
            connections: connections_max as u64,
            descriptors: getrlimit(Resource::RLIMIT_NOFILE)
                .ok()
                .map(|(soft, _)| soft)
                .filter(|&soft| soft != RLIM_INFINITY),
            somaxconn: somaxconn(),
        }
    }

    /// Says what to do if connections may have to wait for descriptors.
    fn warning(&self) -> Option<String> {
        let (connections, descriptors) = (self.connections, self.descriptors?);
        let needed = connections.saturating_add(OTHERS as u64);
        let possible = descriptors.saturating_sub(OTHERS as u64).max(1);
        (descriptors < needed).then(|| {
            format!(
                "{descriptors} descriptors are too few for {connections} connections: start it after ulimit -n {needed}, or \
                 with --connections-max {possible}"
            )
        })
    }
}

impl fmt::Display for LimitsInForce {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "limits: {} connections", self.connections)?;
        if let Some(descriptors) = self.descriptors {
            write!(out, ", {descriptors} descriptors")?;
        }
        let backlog = u64::try_from(LISTEN_BACKLOG).unwrap_or_default();
        match self.somaxconn {
            Some(most) if most < backlog => write!(out, ", backlog {most} (net.core.somaxconn)"),
            _ => write!(out, ", backlog {backlog}"),
        }
    }
}

#[cfg(target_os = "linux")]
fn somaxconn() -> Option<u64> {
    let setting = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    setting.trim().parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn somaxconn() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(descriptors: u64, somaxconn: u64) -> LimitsInForce {
        LimitsInForce {
            connections: 100,
            descriptors: Some(descriptors),
            somaxconn: Some(somaxconn),
        }
    }

    #[test]
    fn s17_the_limits_are_one_line_with_the_kernels_backlog() {
        let line = |somaxconn| limits(1_000, somaxconn).to_string();
        assert_eq!(
            line(4_096),
            "limits: 100 connections, 1000 descriptors, backlog 4096"
        );
        assert!(line(128).ends_with("backlog 128 (net.core.somaxconn)"));
    }

    #[test]
    fn s17_too_few_descriptors_are_a_warning_that_says_what_to_do() {
        assert_eq!(limits(100 + OTHERS as u64, 4_096).warning(), None);
        assert_eq!(
            limits(99, 4_096).warning().as_deref(),
            Some(
                "99 descriptors are too few for 100 connections: start it after ulimit -n 164, or with --connections-max 35"
            )
        );
        assert!(
            limits(40, 4_096)
                .warning()
                .is_some_and(|line| line.ends_with("--connections-max 1"))
        );
    }
}
