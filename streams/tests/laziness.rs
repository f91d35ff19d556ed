//! Laziness, observed from the other side of the socket (L1–L4).

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use poetry::error::Timeout;
use poetry::limits::READ_BUFFER_BYTES;
use poetry::{FetchError, FetchFailure, Limits, Poem};
use streams::chunks::take_bytes;
use streams::joins::{as_they_come, as_they_end, in_order, one_after_another};
use streams::{get_poetry_by_hand, get_poetry_with, lines, poem_with, transform_with};

const GENEROUS: Duration = Duration::from_secs(10);

fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let result = runtime.block_on(test);
    assert_eq!(
        runtime.metrics().num_alive_tasks(),
        0,
        "a task is left behind"
    );
    result
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A sender counts as stalled when the kernel takes no byte for this long. While there is room it takes bytes at once.
const STALL: Duration = Duration::from_millis(200);

/// Accepts one connection and writes without end until its peer has gone. It counts the bytes taken and reports each
/// stall.
struct Endless {
    address: SocketAddr,
    taken: Arc<AtomicUsize>,
    stalls: Receiver<usize>,
    thread: JoinHandle<()>,
}

impl Endless {
    fn start() -> Self {
        let (listener, address) = listen();
        let taken = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&taken);
        let (sender, stalls) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            socket.set_write_timeout(Some(STALL)).unwrap();
            let verse = b"and then another line\n".repeat(100);
            loop {
                match socket.write(&verse) {
                    Ok(bytes) => drop(counted.fetch_add(bytes, Ordering::Relaxed)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let _ = sender.send(counted.load(Ordering::Relaxed));
                    }
                    Err(_) => return,
                }
            }
        });
        Self {
            address,
            taken,
            stalls,
            thread,
        }
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until it stalls. Returns the bytes taken by then.
    fn stalled(&self) -> usize {
        while self.stalls.try_recv().is_ok() {}
        self.stalls.recv_timeout(GENEROUS).unwrap()
    }
}

fn poem_at(address: SocketAddr) -> impl Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin {
    let limits = Limits {
        poem_bytes_max: usize::MAX,
        ..Limits::default()
    };
    poem_with(address, limits)
}

#[test]
fn l1_before_the_first_poll_no_connection_exists() {
    let (listener, address) = listen();
    listener.set_nonblocking(true).unwrap();
    run(async {
        let poems = [poem_at(address), poem_at(address)];
        let composed = lines(as_they_come(poems)).take(3);
        let whole = get_poetry_with(address, Limits::default());
        tokio::task::yield_now().await;
        let accepted = listener.accept().map_err(|error| error.kind()).unwrap_err();
        assert_eq!(accepted, ErrorKind::WouldBlock);
        drop((composed, whole));
    });
}

#[test]
fn l1_building_needs_no_runtime_and_makes_no_connection() {
    let (listener, address) = listen();
    listener.set_nonblocking(true).unwrap();
    let limits = || Limits {
        total_deadline: Some(GENEROUS),
        ..Limits::default()
    };
    // No runtime runs here, so creating a socket, a timer or a task would panic.
    let whole = [(); 2].map(|()| get_poetry_with(address, limits()));
    let by_hand = [get_poetry_by_hand(address, limits())];
    let pieces = [(); 2].map(|()| poem_with(address, limits()));
    let again = [poem_with(address, limits())];
    drop(lines(take_bytes(as_they_come(pieces), 9)).take(3));
    drop(one_after_another(again));
    drop((as_they_end(whole, 2), in_order(by_hand, 1)));
    drop(transform_with(address, "shout", "ahoy", &limits()));
    let accepted = listener.accept().map_err(|error| error.kind()).unwrap_err();
    assert_eq!(accepted, ErrorKind::WouldBlock);
}

#[test]
fn l2_an_unread_poem_stops_its_sender() {
    let endless = Endless::start();
    run(async {
        let mut poem = poem_at(endless.address);
        let first = poem.next().await.unwrap().unwrap();
        assert!(first.len() <= READ_BUFFER_BYTES);
        let stalled = endless.stalled();
        assert_eq!(endless.stalled(), stalled, "without a poll nothing moves");
        // Asking for one more chunk reads one more buffer, and then it stalls again.
        let second = poem.next().await.unwrap().unwrap();
        assert!(second.len() <= READ_BUFFER_BYTES);
        let moved = endless.stalled();
        assert_eq!(endless.stalled(), moved);
    });
    endless.thread.join().unwrap();
}

#[test]
fn l2_one_line_of_an_endless_poem_ends_its_connection_at_once() {
    let endless = Endless::start();
    run(async {
        let mut lines = lines(poem_at(endless.address));
        assert_eq!(
            lines.next().await,
            Some(Ok("and then another line".to_owned()))
        );
        drop(lines);
        let began = Instant::now();
        endless.thread.join().unwrap();
        assert!(began.elapsed() < GENEROUS);
    });
}

#[test]
fn l3_read_in_order_the_second_sender_stalls_and_read_as_they_come_it_does_not() {
    for ordered in [true, false] {
        let (first, second) = (Endless::start(), Endless::start());
        run(async {
            let mut poems = [poem_at(first.address), poem_at(second.address)];
            for poem in &mut poems {
                poem.next().await.unwrap().unwrap();
            }
            let stalled = second.stalled();
            let enough = 2 * stalled;
            let pieces: &mut (dyn Stream<Item = _> + Unpin) = if ordered {
                &mut one_after_another(poems)
            } else {
                &mut as_they_come(poems)
            };
            let progress = |endless: &Endless| endless.taken() > enough;
            let wanted = || progress(&first) && (ordered || progress(&second));
            while !wanted() {
                pieces.next().await.unwrap().unwrap();
            }
            assert_eq!(second.taken() == stalled, ordered);
        });
        first.thread.join().unwrap();
        second.thread.join().unwrap();
    }
}

#[test]
fn l4_a_poem_that_was_reset_ends_with_an_error() {
    let (listener, address) = listen();
    let (sender, read) = mpsc::channel::<()>();
    let resets = thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        socket.write_all(b"once").unwrap();
        read.recv_timeout(GENEROUS).unwrap();
        socket2::SockRef::from(&socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    run(async {
        let mut poem = poem_at(address);
        assert_eq!(poem.next().await, Some(Ok(b"once".to_vec())));
        sender.send(()).unwrap();
        let lost = poem.next().await;
        assert!(matches!(
            lost,
            Some(Err(FetchFailure::ConnectionLost { .. }))
        ));
        assert_eq!(poem.next().await, None);
    });
    resets.join().unwrap();
}

#[test]
fn l4_a_refused_poem_is_one_error() {
    let (listener, address) = listen();
    drop(listener);
    let items: Vec<_> = run(poem_at(address).collect());
    assert!(matches!(
        items[..],
        [Err(FetchFailure::ConnectionFailed { .. })]
    ));
}

/// Polls `future` at most `polls` times. Returns whether it was ready by then.
async fn poll_at_most<F: Future>(future: F, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polled == polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A server that sends `verses`, one at a time, to every client and reports each that has closed.
fn sends(verses: &'static [&'static [u8]]) -> (SocketAddr, Receiver<()>) {
    let (listener, address) = listen();
    let (sender, gone) = mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = send(socket.unwrap(), verses);
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    (address, gone)
}

fn send(mut socket: TcpStream, verses: &[&[u8]]) -> std::io::Result<()> {
    for verse in verses {
        socket.write_all(verse)?;
        thread::sleep(Duration::from_millis(2));
    }
    socket.shutdown(std::net::Shutdown::Write)?;
    socket.set_read_timeout(Some(GENEROUS))?;
    while socket.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// Drops the future that `make` returns after each number of polls up to its end. Each time its peer sees the close.
fn dropped_at_every_await<F: Future>(
    verses: &'static [&'static [u8]],
    make: impl Fn(SocketAddr) -> F,
) {
    let (address, gone) = sends(verses);
    for polls in 1.. {
        let ready = run(poll_at_most(make(address), polls));
        gone.recv_timeout(GENEROUS).expect("the socket is closed");
        if ready {
            assert!(polls > 2, "the future never waited");
            return;
        }
    }
}

#[test]
fn l4_dropped_at_any_await_a_poem_closes_its_socket() {
    const VERSES: &[&[u8]] = &[b"one\n", b"two\n", b"three"];
    let limits = Limits::default;
    dropped_at_every_await(VERSES, |address| get_poetry_with(address, limits()));
    dropped_at_every_await(VERSES, |address| get_poetry_by_hand(address, limits()));
    dropped_at_every_await(VERSES, |address| lines(poem_at(address)).count());
    dropped_at_every_await(VERSES, |address| {
        as_they_end([get_poetry_with(address, limits())], 1).count()
    });
}

#[test]
fn s14_a_transform_dropped_at_any_await_closes_its_socket() {
    dropped_at_every_await(&[b"4", b":AH", b"OY,"], |address| async move {
        transform_with(address, "shout", "ahoy", &Limits::default()).await
    });
}

#[test]
fn the_client_by_hand_and_the_combinators_agree() {
    const POEMS: &[&[&[u8]]] = &[&[b"one\n", b"two"], &[], &[b"\xc3", b"\xbc"], &[b"a\xff"]];
    for verses in POEMS {
        let (address, _gone) = sends(verses);
        let short = || Limits {
            poem_bytes_max: 5,
            ..Limits::default()
        };
        let composed = run(get_poetry_with(address, short()));
        let by_hand = run(get_poetry_by_hand(address, short()));
        assert_eq!(failure_of(composed), by_hand);
    }
}

#[test]
fn s15_the_total_deadline_bounds_every_fetch() {
    let (_silent, address) = listen();
    let limits = Limits {
        total_deadline: Some(Duration::from_millis(50)),
        ..Limits::default()
    };
    let late = Err(FetchFailure::TimedOut(Timeout::Total));
    let composed = run(get_poetry_with(address, limits.clone()));
    assert_eq!(failure_of(composed), late);
    assert_eq!(run(get_poetry_by_hand(address, limits.clone())), late);
    let transformed = run(transform_with(address, "shout", "ahoy", &limits));
    assert_eq!(failure_of(transformed), late);
}

/// The failure alone, without the address.
fn failure_of(ended: Result<Poem, FetchError>) -> Result<Poem, FetchFailure> {
    ended.map_err(|error| error.failure)
}
