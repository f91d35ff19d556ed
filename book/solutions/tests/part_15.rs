//! Part 15: tests without a network.

use std::convert::Infallible;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actors::{Me, Next, NoPort, Node, Process, Received};
use callbacks::{MemoryPeer, MemoryReactor, ServerState, poem_factory};
use poetry::event::Unobserved;
use poetry::{Clock, Limits, Pace, PoemService, Reporter, Role};
use timeline::record::{End, VERSION};
use timeline::{Header, Memory};
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

/// A reactor in memory whose events are recorded, and the seconds that its clock shows.
struct Recorded {
    reactor: MemoryReactor,
    seconds: Arc<AtomicU32>,
}

impl Recorded {
    /// Runs what is due, and then lets some seconds pass.
    fn wait(&self, seconds: u32) {
        self.reactor.settle();
        for _ in 0..seconds {
            self.seconds.fetch_add(1, Ordering::Relaxed);
            self.reactor.advance(SECOND);
        }
    }
}

/// Serves a slow poem to three clients for 40 s, of which the test waits for none, and returns the record.
fn record() -> String {
    let seconds = Arc::new(AtomicU32::new(0));
    let shown = Arc::clone(&seconds);
    let clock = Clock::new(move || SECOND * shown.load(Ordering::Relaxed));
    let memory = Arc::new(Memory::new(1_000));
    let reporter = Reporter::new("callbacks", Role::PoemServer, clock, memory.clone());
    let state = ServerState::new(Limits::default(), reporter);
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(2).unwrap(),
        delay: 10 * SECOND,
    };
    let poem = "abcdefg".into();
    let factory = poem_factory(PoemService { poem, pace }, &state);

    let run = Recorded {
        reactor: MemoryReactor::new(),
        seconds,
    };
    let [reads, stalls, pauses]: [MemoryPeer; 3] =
        std::array::from_fn(|_| run.reactor.accept(&factory));
    reads.finish();
    pauses.finish();
    run.wait(5);
    stalls.limit_room(0);
    pauses.limit_room(0);
    run.wait(20);
    pauses.limit_room(usize::MAX);
    run.wait(15);
    assert!(reads.sees_fin() && pauses.sees_fin() && stalls.is_reset());

    let record = memory.take(Header {
        record: VERSION,
        program: "a test on virtual time".to_owned(),
        pid: 0,
        origin: Duration::ZERO,
    });
    let end = End {
        events: record.events.len() as u64,
        dropped: 0,
    };
    let mut lines = vec![serde_json::to_string(&record.header).unwrap()];
    let events = record.events.iter();
    lines.extend(events.map(|event| serde_json::to_string(event).unwrap()));
    lines.push(serde_json::to_string(&end).unwrap());
    lines.join("\n") + "\n"
}

/// The record is that of the figure of this part. `QUATRAIN_BLESS=1` keeps a new one.
#[test]
fn every_run_on_virtual_time_is_the_same() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../figures/virtual-time.jsonl");
    let new = record();
    assert_eq!(new, record());
    if std::env::var_os("QUATRAIN_BLESS").is_some_and(|bless| bless == "1") {
        fs::write(kept, &new).unwrap();
    }
    assert_eq!(new, fs::read_to_string(kept).unwrap());
}
