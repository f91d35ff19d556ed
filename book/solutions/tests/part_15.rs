//! Part 15: tests without a network.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use actors::{Me, Next, NoPort, Node, Process, Received};
use callbacks::{MemoryReactor, ServerState, poem_factory};
use poetry::event::Unobserved;
use poetry::{Clock, Limits, Pace, PoemService, Reporter, Role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_nanos(1);

#[test]
fn a_stalled_client_is_reset_not_a_nanosecond_early() {
    let limits = Limits::default();
    let write_timeout = limits.write_timeout;
    let observer = Arc::new(Unobserved);
    let reporter = Reporter::new("callbacks", Role::PoemServer, Clock::stopped(), observer);
    let state = ServerState::new(limits, reporter);
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(2).unwrap(),
        delay: SECOND,
    };
    let poem = "abcdef".into();
    let factory = poem_factory(PoemService { poem, pace }, &state);

    let reactor = MemoryReactor::new();
    let peer = reactor.accept(&factory);
    assert_eq!(peer.received(), b"ab");
    peer.limit_room(0); // It takes nothing from now on.
    reactor.advance(SECOND); // The second chunk is due.
    reactor.advance(write_timeout - INSTANT);
    assert!(!peer.is_closed());
    reactor.advance(INSTANT);
    assert!(peer.is_reset() && peer.received().is_empty());
    assert_eq!(state.counts().closed.write, 1);
}

/// Sends the time every second.
struct Ticker {
    ticks: mpsc::Sender<Duration>,
}

impl Process for Ticker {
    type Message = Infallible;
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.after(SECOND);
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        if let Received::Timeout = received {
            let _ = self.ticks.send(me.now());
            me.after(SECOND);
        }
        Next::Receive
    }
}

#[test]
fn an_hour_of_ticks_takes_no_time() {
    let (node, clock) = Node::start_on_test_clock().unwrap();
    let (ticks, ticked) = mpsc::channel();
    node.spawn("ticker", Ticker { ticks });
    clock.advance(3_600 * SECOND);
    // A clock that jumped over the hour would show one tick, an hour late.
    let times: Vec<_> = ticked.try_iter().collect();
    assert_eq!(times.len(), 3_600);
    assert!(times.windows(2).all(|two| two[1] - two[0] == SECOND));
    node.stop();
}

/// Reads to the end; `None` if no byte comes for `idle`, or the poem is not UTF-8.
async fn read_poem(mut socket: impl AsyncRead + Unpin, idle: Duration) -> Option<String> {
    let mut poem = Vec::new();
    loop {
        match timeout(idle, socket.read_buf(&mut poem)).await {
            Ok(Ok(0)) => return String::from_utf8(poem).ok(),
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
}

/// Sends a word, and another nine seconds later; nine seconds after that it returns the socket.
async fn send_slowly(mut socket: DuplexStream) -> DuplexStream {
    for word in ["All ", "autumn"] {
        socket.write_all(word.as_bytes()).await.unwrap();
        sleep(9 * SECOND).await;
    }
    socket
}

#[test]
fn each_byte_extends_the_idle_timeout() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        // The client closes after 18 s.
        let (ours, theirs) = tokio::io::duplex(64);
        let began = Instant::now();
        let closes = async { drop(send_slowly(theirs).await) };
        let (poem, ()) = futures::join!(read_poem(ours, 10 * SECOND), closes);
        assert_eq!(poem.as_deref(), Some("All autumn"));
        assert_eq!(began.elapsed().as_secs(), 18);

        // The client stays: the timeout ends the wait 10 s after the last byte.
        let (ours, theirs) = tokio::io::duplex(64);
        let began = Instant::now();
        let (poem, _open) = futures::join!(read_poem(ours, 10 * SECOND), send_slowly(theirs));
        assert_eq!(poem, None);
        assert_eq!(began.elapsed().as_secs(), 19);
    });
}
