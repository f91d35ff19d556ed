//! Part 3: a loop that calls you.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use callbacks::Clock;
use poetry::panics;

/// A call that is made again and again.
struct Repeated {
    clock: Clock,
    period: Duration,
    /// Returns whether it wants to be called again.
    action: Box<dyn FnMut() -> bool>,
}

impl Repeated {
    /// Makes the next call at `due`. The one after it is due a period after that, even if this one is late: so lateness does
    /// not accumulate.
    fn call_at(mut self, due: Duration) {
        let clock = self.clock.clone();
        let wait = due.saturating_sub(clock.now());
        clock.call_later(wait, move || {
            if (self.action)() {
                let next = due + self.period;
                self.call_at(next);
            }
        });
    }
}

#[test]
fn late_calls_catch_up() {
    let clock = Clock::new();
    let called = Rc::new(RefCell::new(Vec::new()));
    let (log, context) = (Rc::clone(&called), clock.clone());
    let action = move || {
        log.borrow_mut().push(context.now().as_millis());
        log.borrow().len() < 4
    };
    let period = Duration::from_secs(1);
    let repeated = Repeated {
        clock: clock.clone(),
        period,
        action: Box::new(action),
    };
    repeated.call_at(period);
    for millis in [1_000, 2_500, 0, 500, 9_000] {
        clock.advance(Duration::from_millis(millis));
    }
    assert_eq!(*called.borrow(), [1_000, 3_500, 3_500, 4_000]);
    assert_eq!(clock.pending(), 0);
}

type Call = Box<dyn FnOnce(&Loop)>;

/// A loop that makes calls, in order, until none is left.
#[derive(Default)]
struct Loop {
    calls: RefCell<VecDeque<Call>>,
    /// The messages of panics.
    log: RefCell<Vec<String>>,
}

impl Loop {
    fn call_soon(&self, call: impl FnOnce(&Loop) + 'static) {
        self.calls.borrow_mut().push_back(Box::new(call));
    }

    fn run(&self) {
        loop {
            // A statement of its own: a call may ask for another, so the queue must not be borrowed meanwhile.
            let next = self.calls.borrow_mut().pop_front();
            let Some(call) = next else { return };
            if let Err(message) = panics::contain(|| call(self)) {
                self.log.borrow_mut().push(message);
            }
        }
    }
}

#[test]
fn a_panic_costs_one_call() {
    panics::silence_contained();
    let reached = Rc::new(RefCell::new(Vec::new()));
    let (first, second) = (Rc::clone(&reached), Rc::clone(&reached));
    let calls = Loop::default();
    calls.call_soon(|_| panic!("I fall down."));
    calls.call_soon(move |calls| {
        calls.call_soon(move |_| second.borrow_mut().push("asked for by a call"));
        first.borrow_mut().push("after the panic");
    });
    calls.run();
    assert_eq!(
        *reached.borrow(),
        ["after the panic", "asked for by a call"]
    );
    assert_eq!(*calls.log.borrow(), ["I fall down."]);
}

/// The numbers that one call adds up.
const PIECE: u64 = 1_000;

/// Adds the numbers from `next` on and below `end` to `sum`, and passes the sum to `done`. After each piece the loop makes
/// other calls.
fn add_up(clock: &Clock, next: u64, end: u64, sum: u64, done: Box<dyn FnOnce(u64)>) {
    let piece = next..end.min(next + PIECE);
    let (next, sum) = (piece.end, sum + piece.sum::<u64>());
    if next == end {
        return done(sum);
    }
    let later = clock.clone();
    clock.call_later(Duration::ZERO, move || {
        add_up(&later, next, end, sum, done);
    });
}

#[test]
fn a_long_call_in_pieces_lets_others_run() {
    let clock = Clock::new();
    let log = Rc::new(RefCell::new(Vec::new()));
    let (sums, others) = (Rc::clone(&log), Rc::clone(&log));
    let done = move |sum: u64| sums.borrow_mut().push(format!("the sum is {sum}"));
    add_up(&clock, 0, 10_000, 0, Box::new(done));
    clock.call_later(Duration::ZERO, move || {
        others.borrow_mut().push("another call".to_owned());
    });
    let mut turns = 0;
    while clock.pending() > 0 {
        clock.advance(Duration::ZERO);
        turns += 1;
    }
    assert_eq!(*log.borrow(), ["another call", "the sum is 49995000"]);
    assert_eq!(turns, 9);
}
