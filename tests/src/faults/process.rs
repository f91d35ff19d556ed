//! What the system says about a running process (Linux), and signals to it.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::failure::{Check, During, Failure, ensure};
use crate::kernel_sockets;
use crate::subject::process::POLL_INTERVAL;

/// The unit of processor time in `/proc`.
const TICKS_PER_SECOND: u64 = 100;

/// Sends a signal to a process that this one has started.
///
/// # Errors
/// It has ended.
pub fn send(id: u32, signal: Signal) -> Check {
    let id = i32::try_from(id).during("converting a process id")?;
    signal::kill(Pid::from_raw(id), signal).during("sending a signal")
}

/// Returns the bytes of memory that only this process holds.
///
/// # Errors
/// The process has ended, or the system is not Linux.
pub fn memory(id: u32) -> Check<u64> {
    let status = read(id, "status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes << 10)
        .ok_or_else(|| Failure::broken("no RssAnon in /proc/PID/status"))
}

/// Returns the number of threads that a process has.
///
/// # Errors
/// The process has ended, or the system is not Linux.
pub fn threads(id: u32) -> Check<usize> {
    let entries = fs::read_dir(format!("/proc/{id}/task")).during("reading /proc/PID/task")?;
    Ok(entries.count())
}

/// Returns the number of descriptors that a process has open.
///
/// # Errors
/// The process has ended, or the system is not Linux.
pub fn descriptors(id: u32) -> Check<usize> {
    let entries = fs::read_dir(format!("/proc/{id}/fd")).during("reading /proc/PID/fd")?;
    Ok(entries.count())
}

/// Measures for a second which part of a processor a process uses, in percent.
///
/// # Errors
/// The process has ended, or the system is not Linux.
pub fn processor_percent(id: u32) -> Check<u64> {
    let (start, before) = (Instant::now(), ticks(id)?);
    // The second is what is measured; it awaits no event.
    thread::sleep(Duration::from_secs(1));
    let (after, elapsed) = (ticks(id)?, start.elapsed());
    let used = (after - before) as f64 / TICKS_PER_SECOND as f64;
    Ok((100.0 * used / elapsed.as_secs_f64()).ceil() as u64)
}

/// Waits until a process is stopped, after SIGSTOP.
///
/// # Errors
/// It is not in time.
pub fn wait_until_stopped(id: u32, patience: Duration) -> Check {
    wait(patience, "the process does not stop", || {
        let status = read(id, "status")?;
        Ok(status.lines().any(|line| line.starts_with("State:\tT")))
    })
}

/// Waits until the process at `address` has read everything that `peer` has sent to it, both on IPv4.
///
/// # Errors
/// It has not in time, or the system is not Linux.
pub fn wait_until_read(address: SocketAddr, peer: SocketAddr, patience: Duration) -> Check {
    // First that all has arrived: until then nothing is unread either.
    wait(patience, "the kernel does not deliver", || {
        on_linux(kernel_sockets::is_under_way(peer, address)).map(|is_under_way| !is_under_way)
    })?;
    wait(patience, "the process does not read", || {
        on_linux(kernel_sockets::has_unread(address, peer)).map(|has_unread| !has_unread)
    })
}

/// Waits until no socket listens on `address`, without connecting to it.
///
/// # Errors
/// One still does, or the system is not Linux.
pub fn wait_until_deaf(address: SocketAddr, patience: Duration) -> Check {
    wait(patience, "the server still listens", || {
        on_linux(kernel_sockets::listens(address)).map(|listens| !listens)
    })
}

fn on_linux<T>(seen: Option<T>) -> Check<T> {
    seen.ok_or_else(|| Failure::Needs("Linux".to_owned()))
}

fn wait(patience: Duration, otherwise: &str, is_so: impl Fn() -> Check<bool>) -> Check {
    let deadline = Instant::now() + patience;
    while !is_so()? {
        ensure(Instant::now() < deadline, || otherwise.to_owned())?;
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Returns the processor time that a process has used, in ticks.
fn ticks(id: u32) -> Check<u64> {
    let stat = read(id, "stat")?;
    // The name in parentheses may contain spaces. After it come the state and, 11 and 12 fields later, the two times.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let time = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    match (time(11), time(12)) {
        (Some(user), Some(system)) => Ok(user + system),
        _ => Err(Failure::broken("no processor times in /proc/PID/stat")),
    }
}

fn read(id: u32, file: &str) -> Check<String> {
    if !cfg!(target_os = "linux") {
        return Err(Failure::Needs("Linux".to_owned()));
    }
    fs::read_to_string(format!("/proc/{id}/{file}")).during("reading about the process")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_descriptors_and_processor_time() {
        let id = std::process::id();
        assert!(memory(id).unwrap() > 100_000);
        assert!(descriptors(id).unwrap() >= 3);
        assert!(ticks(id).is_ok());
    }
}
