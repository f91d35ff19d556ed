//! What a service manager such as systemd is told (sd_notify(3)): readiness, reloading, stopping, a line of status, and as its watchdog
//! that every server responds. Without one, nothing is sent.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, error, warn};

use crate::failure::cause_at_start;

/// All services or the server listen.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The file of services is read again. [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => debug!("cannot say that this reloads: {error}"),
    }
}

/// The stop has begun.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("cannot notify the service manager: {error}");
    }
}

/// Runs `work`, and meanwhile notifies the watchdog, if there is one, as long as `responds` is true. That may take no longer than it is
/// told.
pub(crate) fn watched<T>(
    responds: impl Fn(Duration) -> bool + Sync,
    work: impl FnOnce() -> T,
) -> T {
    // Half of the time, as systemd recommends; the answers may take the other half.
    let Some(every) = sd_notify::watchdog_enabled().map(|time| time / 2) else {
        return work();
    };
    let over = Over::default();
    thread::scope(|scope| {
        let named = thread::Builder::new().name("watchdog".to_owned());
        let watch = || {
            while !over.within(every) {
                match responds(every) {
                    true => send(&[NotifyState::Watchdog]),
                    false => error!("not all servers respond: the watchdog is not notified"),
                }
            }
        };
        if let Err(error) = named.spawn_scoped(scope, watch) {
            let cause = cause_at_start(&error);
            error!("the watchdog is not notified: {cause}");
        }
        let _end = EndOnDrop(&over);
        work()
    })
}

/// Whether the work is over.
#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    /// Waits for the end, but no longer than `time`.
    fn within(&self, time: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(is_over, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Ends the watch also if the work panics: the scope waits for its thread.
struct EndOnDrop<'o>(&'o Over);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        *self
            .0
            .is_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}
