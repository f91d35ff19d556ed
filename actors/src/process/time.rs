//! Waiting with a limit, and a clock that tests move.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use super::node::{Local, Node};
use crate::timers::Key;

/// What `future` comes to, or `None` if it takes longer than `wait`.
pub(crate) async fn timeout<F: Future>(
    wait: Duration,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    let Some(local) = Local::current() else {
        return Some(future.await);
    };
    let due = local.timers.now().saturating_add(wait);
    let mut alarm = Alarm { local, key: None };
    poll_fn(|turn| {
        if let Poll::Ready(output) = future.as_mut().poll(turn) {
            return Poll::Ready(Some(output));
        }
        let timers = &alarm.local.timers;
        if due <= timers.now() {
            return Poll::Ready(None);
        }
        if alarm.key.is_none() {
            alarm.key = Some(timers.insert(due, turn.waker().clone()));
        }
        Poll::Pending
    })
    .await
}

struct Alarm {
    local: Rc<Local>,
    key: Option<Key>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.local.timers.cancel(key);
        }
    }
}

/// Moves the time of a node that was started on it (see [`Node::start_on_test_clock`]).
#[derive(Clone)]
pub struct TestClock {
    pub(super) node: Node,
}

/// Turns given to an arbiter's processes to come to rest; a message takes one.
const TURNS_TO_REST: usize = 100;

impl TestClock {
    /// Moves the time on by `wait`, stopping at every deadline on the way, and lets the processes come to rest.
    /// Blocks until then; not to be called by a process.
    pub fn advance(&self, wait: Duration) {
        let (sender, at_rest) = mpsc::channel();
        self.node.run_in(0, move || {
            actix::spawn(async move {
                rest().await;
                if let Some(local) = Local::current() {
                    let until = local.timers.now().saturating_add(wait);
                    while !local.timers.move_to(until) {
                        rest().await;
                    }
                }
                rest().await;
                let _ = sender.send(());
            });
        });
        let _ = at_rest.recv();
    }

    /// Lets the processes come to rest without moving the time.
    pub fn settle(&self) {
        self.advance(Duration::ZERO);
    }
}

async fn rest() {
    for _ in 0..TURNS_TO_REST {
        tokio::task::yield_now().await;
    }
}
