//! The writer against a sink that stands still until it is told to go on.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Says when it is asked to write, and writes when it is told to.
struct Gate {
    asked: Sender<()>,
    open: Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asked.send(());
        let _ = self.open.recv(); // Once the test has dropped its end, the gate stands open.
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A gate that stands open, and who hears that it was asked.
fn open_gate() -> (Gate, Receiver<()>) {
    let (asked, was_asked) = channel();
    let gate = Gate {
        asked,
        open: channel().1,
        written: Arc::default(),
    };
    (gate, was_asked)
}

static CLOSED: AtomicBool = AtomicBool::new(true);

#[test]
fn s22_a_sink_that_takes_nothing_loses_lines_and_says_how_many() {
    let (asked, was_asked) = channel();
    let (open, gate) = channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let gate = Gate {
        asked,
        open: gate,
        written: Arc::clone(&written),
    };
    let lossy = Lossy::new(gate, || CLOSED.load(Ordering::Relaxed));
    lossy.line("first");
    was_asked.recv().unwrap();
    let long = "x".repeat(PENDING_BYTES_MAX - 1);
    lossy.line(&long);
    lossy.line("lost");
    lossy.line("lost too");
    lossy.finish(); // Gives up, since nothing is taken.
    assert!(written.lock().unwrap().is_empty());
    drop(open);
    CLOSED.store(false, Ordering::Relaxed);
    lossy.finish();
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert_eq!(
        written,
        format!("first\n{long}\nquatrain: 2 lines lost: stderr did not keep up\n")
    );
}

#[test]
fn s22_lines_come_out_in_order_and_whole() {
    let (gate, _was_asked) = open_gate();
    let written = Arc::clone(&gate.written);
    let lossy = Lossy::new(gate, || false);
    let lines: String = (0..1_000).map(|line| format!("{line}\n")).collect();
    for line in 0..1_000 {
        lossy.line(line);
    }
    lossy.finish();
    assert_eq!(*written.lock().unwrap(), lines.as_bytes());
}

#[test]
fn s22_without_a_thread_what_can_be_written_at_once_is_written_in_the_end() {
    let (gate, _was_asked) = open_gate();
    let written = Arc::clone(&gate.written);
    let lossy = Lossy::new(gate, || false);
    // As a thread that could not be begun leaves it.
    lossy.shared.lock().pending.extend_from_slice(b"first\n");
    lossy.finish();
    assert_eq!(*written.lock().unwrap(), b"first\n");
    lossy.line("second");
    lossy.finish();
    assert_eq!(*written.lock().unwrap(), b"first\nsecond\n");
}

/// Counts what is written, and how often the thread came to write.
#[derive(Clone, Default)]
struct Counting {
    counts: Arc<Mutex<(usize, u32)>>,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.counts.lock().unwrap().0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.counts.lock().unwrap().1 += 1;
        Ok(())
    }
}

#[test]
fn a_burst_of_lines_wakes_the_thread_once_a_rest_and_not_once_a_line() {
    let counting = Counting::default();
    let lossy = Lossy::new(counting.clone(), || false);
    let start = Instant::now();
    for _ in 0..100_000 {
        lossy.line("");
    }
    lossy.finish();
    // One rest is cut short by who waits for the end; however slow this machine is, the others were whole.
    let rests = start.elapsed().as_nanos() / REST.as_nanos();
    let (bytes, times) = *counting.counts.lock().unwrap();
    assert_eq!(bytes, 100_000);
    assert!(u128::from(times) <= rests + 2, "{times} in {rests} rests");
}

#[test]
fn a_line_after_a_pause_is_written_though_nobody_waits_for_it() {
    let (gate, was_asked) = open_gate();
    let lossy = Lossy::new(gate, || false);
    for line in 0..3 {
        lossy.line(line);
        was_asked.recv().unwrap();
    }
}
