//! The connections of a server that are open: who they are, so that a shutdown finds and wakes their threads, and how
//! many, so that whoever may accept no more can wait for one to end.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::connection::Standing;
use crate::net::{self, Hook, Socket};

/// The connections of a server that are open.
#[derive(Debug, Default)]
pub struct Open {
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    stopping: bool,
    /// Threads that wait for a connection to end: waking nobody would be a system call too.
    watchers: usize,
    entered: u64,
    entries: HashMap<u64, Arc<Entry>>,
}

/// An open connection: where it stands, and how its thread is woken.
#[derive(Debug)]
pub struct Entry {
    /// Its number, in the order of accepts.
    pub task: u64,
    /// Where it stands.
    pub standing: Standing,
    hook: Hook,
    thread: Mutex<Option<Thread>>,
}

impl Entry {
    /// The calling thread serves it from now on.
    pub fn serve_here(&self) {
        *self.thread() = Some(thread::current());
    }

    /// Ends whatever its thread waits for. A thread that takes it over after this finds it cut.
    fn cut(&self) {
        self.standing.cut();
        self.hook.hang_up();
        if let Some(thread) = &*self.thread() {
            thread.unpark();
        }
    }

    /// Set by one statement, so a lock poisoned elsewhere is no harm.
    fn thread(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// A connection is open. None when the server is stopping.
    pub fn enter(&self, socket: &Socket, in_flight: bool) -> Option<Arc<Entry>> {
        let mut book = self.book();
        if book.stopping {
            return None;
        }
        let entry = Arc::new(Entry {
            task: book.entered,
            standing: Standing::new(in_flight),
            hook: socket.hook(),
            thread: Mutex::default(),
        });
        book.entered += 1;
        book.entries.insert(entry.task, Arc::clone(&entry));
        Some(entry)
    }

    /// A connection is gone.
    pub fn leave(&self, entry: &Entry) {
        let mut book = self.book();
        book.entries.remove(&entry.task);
        if book.watchers > 0 {
            self.changed.notify_all();
        }
    }

    /// A shutdown begins: nobody enters any more, and who is idle hears nothing more. Returns how many are in flight.
    pub fn stop(&self) -> u64 {
        let mut book = self.book();
        book.stopping = true;
        self.changed.notify_all();
        let (busy, idle): (Vec<_>, Vec<_>) =
            (book.entries.values()).partition(|entry| entry.standing.stop());
        idle.iter().for_each(|entry| entry.hook.stop_reading());
        busy.len() as u64
    }

    /// Whether a shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        self.book().stopping
    }

    /// Waits for `at_most`. False when a shutdown has begun.
    pub fn wait_for_stop(&self, at_most: Duration) -> bool {
        !self
            .wait_while(self.book(), at_most, |book| !book.stopping)
            .stopping
    }

    /// Waits until fewer than `connections_max` are open. False when a shutdown has begun.
    pub fn wait_for_room(&self, connections_max: usize) -> bool {
        let full = |book: &Book| !book.stopping && book.entries.len() >= connections_max;
        let mut book = self.book();
        book.watchers += 1;
        book = self.wait_while(book, Duration::MAX, full);
        book.watchers -= 1;
        !book.stopping
    }

    /// Waits until none is open, for up to `grace`.
    pub fn wait_until_empty(&self, grace: Duration) {
        let mut book = self.book();
        book.watchers += 1;
        book = self.wait_while(book, grace, |book| !book.entries.is_empty());
        book.watchers -= 1;
    }

    /// Waits as long as `goes_on`, and no longer than `at_most`. The standard library's own loop for this gives up at
    /// the first wake-up once a lock is poisoned.
    fn wait_while<'b>(
        &self,
        mut book: MutexGuard<'b, Book>,
        at_most: Duration,
        goes_on: impl Fn(&Book) -> bool,
    ) -> MutexGuard<'b, Book> {
        let deadline = net::now().saturating_add(at_most);
        while goes_on(&book) {
            let left = deadline.saturating_sub(net::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(book, left);
            book = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        book
    }

    /// The grace is over: whoever is left is hung up, whatever its thread waits for.
    pub fn cut(&self) {
        self.book().entries.values().for_each(|entry| entry.cut());
    }

    /// The book is whole after every statement, so a lock poisoned elsewhere is no harm.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Open {
    /// Poisons the lock, as a panic of a thread that held it would.
    pub(crate) fn poison(&self) {
        let poisoned = poetry::panics::contain(|| {
            let _book = self.book.lock();
            panic!("with the book in hand")
        });
        assert!(poisoned == Err::<(), _>("with the book in hand".to_owned()));
        assert!(self.book.is_poisoned());
    }
}
