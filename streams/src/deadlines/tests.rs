//! The queue of deadlines, on virtual time.

use std::time::Duration;

use tokio::task::spawn_local;

use super::*;
use crate::testing::on_virtual_time;

const SECOND: Duration = Duration::from_secs(1);

fn deadlines() -> Rc<Deadlines> {
    let deadlines = Rc::<Deadlines>::default();
    let kept = Rc::clone(&deadlines);
    spawn_local(async move { kept.run().await });
    deadlines
}

/// Polls once; the deadline has not passed.
async fn poll_once(deadline: &mut Deadline) {
    poll_fn(|cx| {
        assert!(deadline.poll_passed(Instant::now(), cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn passed(deadline: &mut Deadline) -> u64 {
    let began = Instant::now();
    poll_fn(|cx| deadline.poll_passed(Instant::now(), cx)).await;
    began.elapsed().as_secs()
}

#[test]
fn s22_deadlines_pass_in_order_and_never_early() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let now = Instant::now();
        let mut later = Deadline::new(Rc::clone(&deadlines));
        let mut sooner = Deadline::new(Rc::clone(&deadlines));
        later.set(now + 9 * SECOND);
        sooner.set(now + 4 * SECOND);
        let both = futures::join!(passed(&mut later), passed(&mut sooner));
        assert_eq!(both, (9, 4));
    });
}

#[test]
fn a_deadline_that_is_moved_back_passes_at_its_new_time() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let began = Instant::now();
        let mut deadline = Deadline::new(Rc::clone(&deadlines));
        deadline.set(began + SECOND);
        poll_once(&mut deadline).await;
        deadline.set(began + 5 * SECOND);
        assert_eq!(passed(&mut deadline).await, 5);
    });
}

#[test]
fn a_deadline_that_is_moved_forward_passes_at_its_new_time() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let began = Instant::now();
        let mut deadline = Deadline::new(Rc::clone(&deadlines));
        deadline.set(began + 60 * SECOND);
        poll_once(&mut deadline).await;
        tokio::time::sleep(SECOND).await;
        deadline.set(began + 3 * SECOND);
        assert_eq!(passed(&mut deadline).await, 2);
    });
}

#[test]
fn a_deadline_that_is_dropped_leaves_the_queue() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let mut deadline = Deadline::new(Rc::clone(&deadlines));
        deadline.set(Instant::now() + SECOND);
        poll_once(&mut deadline).await;
        assert_eq!(deadlines.queue.borrow().len(), 1);
        drop(deadline);
        assert_eq!(deadlines.queue.borrow().len(), 0);
    });
}

#[test]
fn the_longest_delay_does_not_overflow() {
    assert!(after(Instant::now(), Duration::MAX) > Instant::now());
}
