//! Random programs: callbacks, fires, cancels, pauses, timeouts, lists, a semaphore and a queue; handlers take steps too.

use fastrand::Rng;
use serde::Serialize;

/// A program. Deferreds are numbered in the order in which they are created, those of `cancellers` first.
#[derive(Debug, Serialize)]
pub(crate) struct Program {
    pub(crate) cancellers: Vec<Canceller>,
    pub(crate) permits: usize,
    pub(crate) steps: Vec<Step>,
}

/// What a Deferred's canceller does.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Canceller {
    Absent,
    Silent,
    Succeeds(i64),
    Fails(i64),
}

/// One step. `List`, `Acquire`, `Run` and `Get` create a Deferred. A step that names a Deferred which does not exist yet, or is
/// part of another, does nothing.
#[derive(Debug, Clone, Serialize)]
pub(crate) enum Step {
    Add {
        of: usize,
        side: Side,
        /// A step that the handler takes before it returns.
        act: Option<Box<Step>>,
        then: Then,
    },
    Fire(usize, Result<i64, i64>),
    Cancel(usize),
    Pause(usize),
    Unpause(usize),
    List {
        kind: List,
        consume: bool,
        members: Vec<usize>,
    },
    Acquire(()),
    Release(()),
    Run(Then),
    /// Bounds a Deferred by seconds on a clock that stands until `Advance` moves it.
    Timeout(usize, u64),
    Advance(u64),
    /// From the queue; without a Deferred if too many wait.
    Get(()),
    Put(i64),
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Side {
    Callback,
    Errback,
    Both,
}

/// What a handler, or the work that a semaphore runs, returns.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum Then {
    Returns(i64),
    Fails(i64),
    /// The Deferred of this number.
    Waits(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum List {
    All,
    OneCallback,
    OneErrback,
    Gather,
    Race,
}

/// Deferreds that a program starts with.
const BASE: usize = 5;
const STEPS_MAX: usize = 36;
/// Values that the queue holds, and consumers that may wait for one; `programs.py` has the same bound.
pub(crate) const LENGTH_MAX: usize = 2;

impl Program {
    pub(crate) fn random(random: &mut Rng) -> Self {
        let cancellers = (0..BASE).map(|_| match random.u8(0..8) {
            0 => Canceller::Silent,
            1 => Canceller::Succeeds(random.i64(50..60)),
            2 => Canceller::Fails(random.i64(50..60)),
            _ => Canceller::Absent,
        });
        let cancellers = cancellers.collect();
        let mut count = BASE;
        let steps = random.usize(1..=STEPS_MAX);
        let steps = (0..steps).map(|_| {
            let step = step(random, count);
            let creates = matches!(
                step,
                Step::List { .. } | Step::Acquire(()) | Step::Run(_) | Step::Get(())
            );
            count += usize::from(creates);
            step
        });
        Self {
            cancellers,
            steps: steps.collect(),
            permits: random.usize(1..=2),
        }
    }
}

fn step(random: &mut Rng, count: usize) -> Step {
    match random.u8(0..26) {
        0..7 => {
            let act = random.u8(0..4) == 0;
            let act = act.then(|| Box::new(act_of_handler(random, count)));
            add(random, count, act)
        }
        7..11 => fire(random),
        11 => Step::Pause(random.usize(0..count)),
        12 => Step::Unpause(random.usize(0..count)),
        13 => Step::Cancel(random.usize(0..count)),
        14..16 => list(random, count),
        16 => Step::Acquire(()),
        17 => Step::Release(()),
        18 | 19 => Step::Timeout(random.usize(0..count), random.u64(0..3)),
        20 => Step::Advance(random.u64(0..3)),
        21 => Step::Get(()),
        22 => Step::Put(random.i64(0..50)),
        _ => Step::Run(then(random, count)),
    }
}

fn act_of_handler(random: &mut Rng, count: usize) -> Step {
    match random.u8(0..7) {
        0 | 1 => fire(random),
        2 => Step::Cancel(random.usize(0..count)),
        3 => Step::Pause(random.usize(0..count)),
        4 => Step::Unpause(random.usize(0..count)),
        5 => Step::Release(()),
        _ => add(random, count, None),
    }
}

fn add(random: &mut Rng, count: usize, act: Option<Box<Step>>) -> Step {
    let side = [Side::Callback, Side::Errback, Side::Both][random.usize(0..3)];
    Step::Add {
        of: random.usize(0..count),
        side,
        act,
        then: then(random, count),
    }
}

fn fire(random: &mut Rng) -> Step {
    let value = random.i64(0..50);
    let result = if random.bool() { Ok(value) } else { Err(value) };
    Step::Fire(random.usize(0..BASE), result)
}

fn list(random: &mut Rng, count: usize) -> Step {
    let kinds = [
        List::All,
        List::OneCallback,
        List::OneErrback,
        List::Gather,
        List::Race,
    ];
    let members = random.usize(0..4);
    Step::List {
        kind: kinds[random.usize(0..kinds.len())],
        consume: random.bool(),
        members: (0..members).map(|_| random.usize(0..count)).collect(),
    }
}

fn then(random: &mut Rng, count: usize) -> Then {
    match random.u8(0..3) {
        0 => Then::Returns(random.i64(0..50)),
        1 => Then::Fails(random.i64(0..50)),
        _ => Then::Waits(random.usize(0..count)),
    }
}
