//! Observers that record. Recording never blocks the thread of an event (S22): what cannot be kept is counted.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use poetry::event::{Event, Interest, Observer};

use crate::record::{End, Header, Record};

/// Events that wait for the writing thread: at 200 bytes each about 3 MB, some 50 ms of a fast server's events.
pub const QUEUED_MAX: usize = 16_384;
/// Events of one file: at 200 bytes each a fifth of a gigabyte, more than a sheet can show.
pub const EVENTS_MAX: u64 = 1_000_000;

/// Writes the events of a program as a record, in a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    /// Receives how the writing thread ended.
    ended: Receiver<io::Result<End>>,
}

/// The observer of a recorder.
#[derive(Debug)]
struct Queue {
    /// `None` once the recorder has finished.
    sender: Mutex<Option<SyncSender<Event>>>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// Writes the header at once, and starts the thread.
    ///
    /// # Errors
    /// The header cannot be written, or the system refuses a thread.
    pub fn start(out: impl Write + Send + 'static, header: &Header) -> io::Result<Self> {
        let mut out = BufWriter::new(out);
        write_line(&mut out, header)?;
        out.flush()?;
        let (sender, receiver) = sync_channel(QUEUED_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let (end, ended) = sync_channel(1);
        let write = move || {
            // The recorder may have given up.
            let _ = end.send(write(out, &receiver, EVENTS_MAX, &counted));
        };
        thread::Builder::new()
            .name("record".to_owned())
            .spawn(write)?;
        let queue = Arc::new(Queue {
            sender: Mutex::new(Some(sender)),
            dropped,
        });
        Ok(Self { queue, ended })
    }

    /// Returns the observer that records.
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.queue.clone()
    }

    /// Writes what was observed so far, and ends; returns the last line. Later events are not recorded. Waits at most for
    /// `patience`: the reader of a FIFO may have stopped reading.
    ///
    /// # Errors
    /// An event or the end could not be written, or not in time.
    pub fn finish(self, patience: Duration) -> io::Result<End> {
        // The thread ends when there is no sender any more.
        drop(lock(&self.queue.sender).take());
        self.ended.recv_timeout(patience).unwrap_or_else(|error| {
            let why = match error {
                RecvTimeoutError::Timeout => "its reader did not keep up",
                RecvTimeoutError::Disconnected => "the thread that writes it has panicked",
            };
            Err(io::Error::other(why))
        })
    }
}

impl Observer for Queue {
    fn interest(&self) -> Interest {
        Interest::ALL | Interest::TURNS
    }

    fn observe(&self, event: &Event) {
        let kept = match &*lock(&self.sender) {
            Some(sender) => sender.try_send(event.clone()).is_ok(),
            None => return,
        };
        if !kept {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes at most `max` events until there is no sender any more, and then the end. Whatever waits in the queue is written at
/// once, so that a record is current while its program runs.
fn write(
    mut out: BufWriter<impl Write>,
    events: &Receiver<Event>,
    max: u64,
    dropped: &AtomicU64,
) -> io::Result<End> {
    let mut written = 0;
    while let Ok(first) = events.recv() {
        for event in std::iter::once(first).chain(events.try_iter()) {
            if written == max {
                dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            write_line(&mut out, &event)?;
            written += 1;
        }
        out.flush()?;
    }
    let end = End {
        events: written,
        dropped: dropped.load(Ordering::Relaxed),
    };
    write_line(&mut out, &end)?;
    out.flush()?;
    Ok(end)
}

fn write_line(mut out: impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")
}

/// Records in memory.
#[derive(Debug)]
pub struct Memory {
    max: usize,
    kept: Mutex<(Vec<Event>, u64)>,
}

impl Memory {
    /// Creates an observer that keeps at most `max` events and counts further ones.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            kept: Mutex::default(),
        }
    }

    /// Takes what was recorded so far.
    pub fn take(&self, header: Header) -> Record {
        let (events, dropped) = std::mem::take(&mut *lock(&self.kept));
        Record {
            header,
            events,
            dropped: Some(dropped),
        }
    }
}

impl Observer for Memory {
    fn interest(&self) -> Interest {
        Interest::ALL | Interest::TURNS
    }

    fn observe(&self, event: &Event) {
        let (events, dropped) = &mut *lock(&self.kept);
        match events.len() < self.max {
            true => events.push(event.clone()),
            false => *dropped += 1,
        }
    }
}

/// Passes events on to several observers, to each what it is interested in.
pub struct Tee(Vec<(Interest, Arc<dyn Observer>)>);

impl Tee {
    /// Creates an observer that passes events on to `observers`.
    pub fn new(observers: impl IntoIterator<Item = Arc<dyn Observer>>) -> Self {
        let observers = observers.into_iter();
        Self(
            observers
                .map(|observer| (observer.interest(), observer))
                .collect(),
        )
    }
}

impl Observer for Tee {
    fn interest(&self) -> Interest {
        let interests = self.0.iter().map(|(interest, _)| *interest);
        interests.fold(Interest::NONE, |all, interest| all | interest)
    }

    fn observe(&self, event: &Event) {
        for (interest, observer) in &self.0 {
            if interest.meets(event.kind.interest()) {
                observer.observe(event);
            }
        }
    }
}

/// A panic of another thread while it held the lock changed nothing that could be half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use poetry::event::{Clock, Kind, Reporter, Role, Scene};

    use super::*;

    /// A file whose contents remain.
    #[derive(Clone, Default)]
    struct File(Arc<Mutex<Vec<u8>>>);

    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A file that takes nothing until it is released.
    struct Stuck(Receiver<()>, File);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Far more than any test needs.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn reporter(observer: Arc<dyn Observer>) -> Reporter {
        Reporter::new("actors", Role::Proxy, Clock::stopped(), observer)
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let file = File::default();
        let recorder = Recorder::start(file.clone(), &Header::new("a test")).unwrap();
        let reporter = reporter(recorder.observer());
        reporter.report(Scene::default(), Kind::Accepted);
        reporter.report(Scene::default(), Kind::Read { bytes: 5 });
        let written = recorder.finish(PATIENCE).unwrap();
        assert_eq!((written.events, written.dropped), (2, 0));
        reporter.report(Scene::default(), Kind::Running);
        let record = Record::read(&**lock(&file.0)).unwrap();
        assert_eq!(record.header.program, "a test");
        assert_eq!(record.dropped, Some(0));
        let kinds: Vec<&Kind> = record.events.iter().map(|event| &event.kind).collect();
        assert_eq!(kinds, [&Kind::Accepted, &Kind::Read { bytes: 5 }]);
    }

    #[test]
    fn a_slow_file_holds_up_nobody_and_drops_are_counted() {
        let (release, released): (Sender<()>, _) = channel();
        let file = File::default();
        release.send(()).unwrap(); // The header.
        let stuck = Stuck(released, file.clone());
        let recorder = Recorder::start(stuck, &Header::new("a test")).unwrap();
        let reporter = reporter(recorder.observer());
        let events = 3 * QUEUED_MAX as u64;
        for _ in 0..events {
            reporter.report(Scene::default(), Kind::Running);
        }
        drop(release);
        let written = recorder.finish(PATIENCE).unwrap();
        assert!(written.dropped > 0);
        assert_eq!(written.events + written.dropped, events);
        let record = Record::read(&**lock(&file.0)).unwrap();
        assert_eq!(record.events.len() as u64, written.events);
        assert_eq!(record.dropped, Some(written.dropped));
    }

    #[test]
    fn a_file_is_bounded_and_counts_the_rest() {
        let memory = Arc::new(Memory::new(5));
        let reporter = reporter(memory.clone());
        (0..5).for_each(|_| reporter.report(Scene::default(), Kind::Running));
        let (sender, receiver) = channel();
        for event in memory.take(Header::new("a test")).events {
            sender.send(event).unwrap();
        }
        drop(sender);
        let out = BufWriter::new(io::sink());
        let end = write(out, &receiver, 3, &AtomicU64::new(1)).unwrap();
        assert_eq!((end.events, end.dropped), (3, 1 + 2));
    }

    #[test]
    fn a_file_that_takes_nothing_does_not_keep_its_program() {
        let (release, released) = channel();
        release.send(()).unwrap(); // The header.
        let stuck = Stuck(released, File::default());
        let recorder = Recorder::start(stuck, &Header::new("a test")).unwrap();
        reporter(recorder.observer()).report(Scene::default(), Kind::Running);
        let error = recorder.finish(Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.to_string(), "its reader did not keep up");
        drop(release);
    }

    #[test]
    fn memory_is_bounded_and_counts_the_rest() {
        let memory = Arc::new(Memory::new(1));
        let reporter = reporter(memory.clone());
        reporter.report(Scene::default(), Kind::Accepted);
        reporter.report(Scene::default(), Kind::Running);
        let record = memory.take(Header::new("a test"));
        assert_eq!((record.events.len(), record.dropped), (1, Some(1)));
    }

    #[test]
    fn a_tee_gives_each_observer_what_it_asked_for() {
        struct Accepted(Mutex<u32>);
        impl Observer for Accepted {
            fn interest(&self) -> Interest {
                Interest::ACCEPTED
            }
            fn observe(&self, _: &Event) {
                *lock(&self.0) += 1;
            }
        }
        let (accepted, memory) = (Arc::new(Accepted(Mutex::new(0))), Arc::new(Memory::new(9)));
        let reporter = reporter(Arc::new(Tee::new([
            accepted.clone() as Arc<dyn Observer>,
            memory.clone(),
        ])));
        reporter.report(Scene::default(), Kind::Accepted);
        reporter.report(Scene::default(), Kind::Running);
        assert_eq!(*lock(&accepted.0), 1);
        assert_eq!(memory.take(Header::new("")).events.len(), 2);
    }
}
