//! The writer against a sink that blocks until the test lets it continue.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Reports each write before it, and continues when the gate opens.
struct Gate {
    began: Sender<()>,
    open: Mutex<Receiver<()>>,
    closed: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Sink for Gate {
    fn write(&self, lines: &[u8]) {
        let _ = self.began.send(());
        let _ = self.open.lock().unwrap().recv(); // Returns immediately once the test has dropped its end.
        self.written.lock().unwrap().extend_from_slice(lines);
    }

    fn is_full(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn report_dropped(&self, lines: u64) {
        let report = format!("{lines} dropped\n");
        self.written
            .lock()
            .unwrap()
            .extend_from_slice(report.as_bytes());
    }
}

/// A gate, the sender that keeps it closed until dropped, and the receiver of its writes.
fn gate() -> (Gate, Sender<()>, Receiver<()>) {
    let (began, writes) = channel();
    let (opener, open) = channel();
    let gate = Gate {
        began,
        open: Mutex::new(open),
        closed: Arc::new(AtomicBool::new(true)),
        written: Arc::default(),
    };
    (gate, opener, writes)
}

#[test]
fn s22_a_blocked_sink_drops_lines_and_reports_how_many() {
    let (gate, opener, writes) = gate();
    let (written, closed) = (Arc::clone(&gate.written), Arc::clone(&gate.closed));
    let writer = LineWriter::new("test", gate);
    writer.line("first");
    writes.recv().unwrap();
    let long = "x".repeat(PENDING_BYTES_MAX - 1);
    writer.line(&long);
    writer.line("dropped");
    writer.line("dropped too");
    assert!(!writer.finish(), "the sink takes nothing");
    assert!(written.lock().unwrap().is_empty());
    drop(opener);
    closed.store(false, Ordering::Relaxed);
    assert!(writer.finish());
    let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
    assert_eq!(written, format!("first\n{long}\n2 dropped\n"));
}

#[test]
fn s22_lines_are_written_in_order_and_whole() {
    let (gate, _, _writes) = gate();
    let written = Arc::clone(&gate.written);
    gate.closed.store(false, Ordering::Relaxed);
    let writer = LineWriter::new("test", gate);
    let lines: String = (0..1_000).map(|line| format!("{line}\n")).collect();
    for line in 0..1_000 {
        writer.line(line);
    }
    assert!(writer.finish());
    assert_eq!(*written.lock().unwrap(), lines.as_bytes());
}

#[test]
fn s22_without_a_thread_finish_writes_what_does_not_block() {
    let (gate, _, _writes) = gate();
    let written = Arc::clone(&gate.written);
    gate.closed.store(false, Ordering::Relaxed);
    let writer = LineWriter::new("test", gate);
    // The state that a thread which cannot be started leaves.
    writer.shared.lock().pending.extend_from_slice(b"first\n");
    assert!(writer.finish());
    assert_eq!(*written.lock().unwrap(), b"first\n");
    writer.line("second");
    assert!(writer.finish());
    assert_eq!(*written.lock().unwrap(), b"first\nsecond\n");
}

#[test]
fn s23_a_write_ends_where_a_line_ends() {
    let line = "x".repeat(999) + "\n";
    let lines = line.repeat(9);
    let lengths: Vec<usize> = pieces(lines.as_bytes()).map(<[u8]>::len).collect();
    assert_eq!(lengths, [4_000, 4_000, 1_000]);
    let long = "x".repeat(PIECE_BYTES) + "xx\ny\n";
    let lengths: Vec<usize> = pieces(long.as_bytes()).map(<[u8]>::len).collect();
    assert_eq!(lengths, [PIECE_BYTES, 5]);
    assert_eq!(pieces(b"").count(), 0);
}

/// Counts bytes and writes.
#[derive(Clone, Default)]
struct Counting {
    counts: Arc<Mutex<(usize, usize)>>,
}

impl Sink for Counting {
    fn write(&self, lines: &[u8]) {
        let mut counts = self.counts.lock().unwrap();
        counts.0 += lines.len();
        counts.1 += 1;
    }

    fn is_full(&self) -> bool {
        false
    }

    fn report_dropped(&self, _: u64) {}
}

#[test]
fn a_burst_of_lines_wakes_the_thread_once_a_rest_and_not_once_a_line() {
    let counting = Counting::default();
    let writer = LineWriter::new("test", counting.clone());
    let start = Instant::now();
    for _ in 0..100_000 {
        writer.line("");
    }
    assert!(writer.finish());
    // The caller that waits for the end cuts one rest short; all others were whole, however slow the machine.
    let rests = usize::try_from(start.elapsed().as_nanos() / REST.as_nanos()).unwrap();
    let (bytes, writes) = *counting.counts.lock().unwrap();
    assert_eq!(bytes, 100_000);
    let full = bytes / PIECE_BYTES;
    assert!(
        writes <= full + rests + 2,
        "{writes} writes, {full} of them full, in {rests} rests"
    );
}

#[test]
fn a_line_after_a_pause_is_written_without_a_caller_waiting_for_it() {
    let (gate, opener, writes) = gate();
    drop(opener);
    let writer = LineWriter::new("test", gate);
    for line in 0..3 {
        writer.line(line);
        writes.recv().unwrap();
    }
}
