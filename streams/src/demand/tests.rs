//! Who is asked first, and who waits for whom.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use futures::{StreamExt, stream};
use poetry::event::Scene;
use poetry::{Kind, Limits, TransformService};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::*;
use crate::connection::Connection;
use crate::testing::{TestWorker, on_virtual_time};
use crate::transform_server::serve_transforms;

/// A sink that has room when it is told so.
#[derive(Default)]
struct Valve {
    open: Cell<bool>,
    taken: Cell<u32>,
}

impl Sink<u32> for &Valve {
    type Error = String;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        match self.open.get() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn start_send(self: Pin<&mut Self>, _: u32) -> Result<(), String> {
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        unreachable!("forwarding does not close")
    }
}

#[test]
fn l5_nothing_is_asked_of_a_source_while_its_sink_has_no_room() {
    let (asked, valve) = (Cell::new(0), Valve::default());
    let mut source = stream::iter(0..).map(|number| {
        asked.set(asked.get() + 1);
        Ok(number)
    });
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut poll = || poll_forward(Pin::new(&mut source), Pin::new(&mut &valve), &mut cx);
    assert!(poll().is_pending());
    assert_eq!((asked.get(), valve.taken.get()), (0, 0));
    valve.open.set(true);
    assert!(poll().is_pending(), "others have their turn");
    assert_eq!(
        (asked.get(), valve.taken.get()),
        (ITEMS_PER_POLL, ITEMS_PER_POLL)
    );
    valve.open.set(false);
    assert!(poll().is_pending());
    assert_eq!(asked.get(), ITEMS_PER_POLL);
}

#[test]
fn l5_an_error_of_the_source_ends_it_after_what_came_before() {
    let valve = Valve::default();
    valve.open.set(true);
    let mut source = stream::iter([Ok(1), Err("no".to_owned()), Ok(2)]);
    let ended = futures::executor::block_on(forward(&mut source, &mut &valve));
    assert_eq!((ended, valve.taken.get()), (Err("no".to_owned()), 1));
}

/// A peer that always has one more request, and always takes the reply; at last it leaves.
struct Tireless {
    requests: u32,
}

const REQUEST: &[u8] = b"7:shout.a,";

impl AsyncRead for Tireless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.requests > 0 {
            self.requests -= 1;
            buffer.put_slice(REQUEST);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tireless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn l5_nobody_is_answered_more_than_twice_before_everybody_who_was_ready_has_been() {
    const PEERS: usize = 300;
    const REQUESTS: u32 = 40;
    on_virtual_time(async {
        let worker = TestWorker::new(Limits::default());
        let connections = (0..PEERS as u64).map(|task| {
            let peer = Tireless { requests: REQUESTS };
            let scene = Scene {
                task,
                ..Scene::default()
            };
            Connection::new(peer, &worker.shared, |_| scene, None)
        });
        let service = TransformService {
            keep_alive: true,
            lab: None,
        };
        serve_transforms(stream::iter(connections), service).await;
        // Time moves when nobody has anything to do any more.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(worker.counts().closed.done, PEERS as u64);
        let mut answered = [0; PEERS];
        for event in worker.recorder.events() {
            if let Kind::Answered { requests } = event.kind {
                let peer = event.scene.task as usize;
                answered[peer] += requests;
                let fewest = *answered.iter().min().unwrap();
                assert!(answered[peer] <= fewest + u64::from(ITEMS_PER_POLL));
            }
        }
        assert_eq!(answered, [u64::from(REQUESTS); PEERS]);
    });
}
