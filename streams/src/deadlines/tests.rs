//! The queue of deadlines, on virtual time.

use std::rc::Rc;
use std::time::Duration;

use poetry::{Limits, TransformService};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;

use super::*;
use crate::testing::{TestWorker, on_virtual_time};
use crate::transform_server::answer_requests;

const SECOND: Duration = Duration::from_secs(1);

fn deadlines() -> Rc<Deadlines> {
    let deadlines = Rc::<Deadlines>::default();
    let kept = Rc::clone(&deadlines);
    spawn_local(async move { kept.run().await });
    deadlines
}

/// Polls once; the deadline has not passed.
async fn poll_once(deadline: &Deadline, deadlines: &Deadlines) {
    poll_fn(|cx| {
        assert!(
            deadline
                .poll_passed(deadlines.now(), deadlines, cx)
                .is_pending()
        );
        Poll::Ready(())
    })
    .await;
}

async fn passed(deadline: &Deadline, deadlines: &Deadlines) -> u64 {
    let began = Instant::now();
    poll_fn(|cx| deadline.poll_passed(deadlines.now(), deadlines, cx)).await;
    began.elapsed().as_secs()
}

#[test]
fn s22_deadlines_pass_in_order_and_never_early() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let now = Instant::now();
        let later = Deadline::default();
        let sooner = Deadline::default();
        later.set(deadlines.time(now + 9 * SECOND));
        sooner.set(deadlines.time(now + 4 * SECOND));
        let both = futures::join!(passed(&later, &deadlines), passed(&sooner, &deadlines));
        assert_eq!(both, (9, 4));
    });
}

#[test]
fn a_deadline_that_is_moved_back_passes_at_its_new_time() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let began = Instant::now();
        let deadline = Deadline::default();
        deadline.set(deadlines.time(began + SECOND));
        poll_once(&deadline, &deadlines).await;
        deadline.set(deadlines.time(began + 5 * SECOND));
        assert_eq!(passed(&deadline, &deadlines).await, 5);
    });
}

#[test]
fn a_deadline_that_is_moved_forward_passes_at_its_new_time() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let began = Instant::now();
        let deadline = Deadline::default();
        deadline.set(deadlines.time(began + 60 * SECOND));
        poll_once(&deadline, &deadlines).await;
        tokio::time::sleep(SECOND).await;
        deadline.set(deadlines.time(began + 3 * SECOND));
        assert_eq!(passed(&deadline, &deadlines).await, 2);
    });
}

#[test]
fn a_deadline_that_is_cleared_leaves_the_queue() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let deadline = Deadline::default();
        deadline.set(deadlines.time(Instant::now() + SECOND));
        poll_once(&deadline, &deadlines).await;
        assert_eq!(deadlines.queue.borrow().len(), 1);
        deadline.clear(&deadlines);
        assert_eq!(deadlines.queue.borrow().len(), 0);
    });
}

#[test]
fn a_connection_that_ends_leaves_the_queue() {
    on_virtual_time(async {
        let worker = TestWorker::new(Limits::default());
        let (connection, mut peer) = worker.connect(64);
        let service = Rc::new(TransformService::default());
        let served = spawn_local(answer_requests(connection, service));
        peer.write_all(b"7:sho").await.unwrap();
        tokio::time::sleep(SECOND).await;
        let queue = &worker.shared.deadlines.queue;
        assert_eq!(queue.borrow().len(), 1);
        drop(peer);
        served.await.unwrap();
        assert_eq!(queue.borrow().len(), 0);
    });
}

#[test]
fn more_deadlines_of_one_time_than_there_are_tickets_all_pass_soon() {
    on_virtual_time(async {
        let deadlines = deadlines();
        let due = Instant::now() + SECOND;
        let all: Vec<Deadline> = (0..(1 << TICKET_BITS) + 9)
            .map(|_| Deadline::default())
            .collect();
        for deadline in &all {
            deadline.set(deadlines.time(due));
            poll_once(deadline, &deadlines).await;
        }
        assert_eq!(deadlines.queue.borrow().len(), all.len());
        for deadline in &all {
            passed(deadline, &deadlines).await;
        }
        assert!(due.elapsed() <= Duration::from_millis(1));
    });
}

#[test]
fn the_longest_delay_does_not_overflow() {
    let far = after(Instant::now(), Duration::MAX);
    assert!(far > Instant::now());
    let at = Deadlines::default().time(far);
    assert_eq!(time_of(key_of(at, u64::MAX)), at);
}
