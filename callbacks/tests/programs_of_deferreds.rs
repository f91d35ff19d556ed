//! Random programs of callbacks, errbacks, inner Deferreds, pauses, fires and cancels, run on Deferreds and on a small,
//! independent model. When a program has ended, no handler may be alive. `twisted/` compares with real Twisted.

use std::cell::RefCell;
use std::rc::Rc;

use callbacks::{Cancelled, Control, Deferred, Failure, Trigger, log};
use proptest::prelude::*;

/// What a handler does with a result.
#[derive(Debug, Clone, Copy)]
enum Does {
    Returns(i64),
    Fails(i64),
    /// Returns the Deferred of this number, unless another handler has.
    Waits(usize),
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Callback,
    Errback,
    Both,
}

#[derive(Debug, Clone)]
enum Step {
    Add(usize, Side, Does),
    Fire(usize, Result<i64, i64>),
    Pause(usize),
    Unpause(usize),
    Cancel(usize),
}

const COUNT: usize = 4;

/// What happened, in order: handler number and the result it got; `CANCELLED` for a cancel.
type Trace = Vec<(usize, Result<i64, i64>)>;
const CANCELLED: i64 = -1;

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        (0..50_i64).prop_map(Does::Returns),
        (0..50_i64).prop_map(Does::Fails),
        (0..COUNT).prop_map(Does::Waits),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just(Side::Callback), Just(Side::Errback), Just(Side::Both)];
    let result = prop_oneof![(0..50_i64).prop_map(Ok), (0..50_i64).prop_map(Err)];
    prop_oneof![
        4 => (0..COUNT, side, does()).prop_map(|(of, side, does)| Step::Add(of, side, does)),
        2 => (0..COUNT, result).prop_map(|(of, result)| Step::Fire(of, result)),
        1 => (0..COUNT).prop_map(Step::Pause),
        1 => (0..COUNT).prop_map(Step::Unpause),
        1 => (0..COUNT).prop_map(Step::Cancel),
    ]
}

/// The model: plain vectors, and a loop that runs whatever can run.
mod model {
    use super::*;

    #[derive(Default)]
    struct One {
        handlers: std::collections::VecDeque<(usize, Side, Does)>,
        result: Option<Result<i64, i64>>,
        fired: bool,
        trigger_used: bool,
        pauses: usize,
        waits_for: Option<usize>,
        /// The Deferred whose handler returned it.
        returned_to: Option<usize>,
    }

    pub(super) fn run(steps: &[Step]) -> Trace {
        let mut all: Vec<One> = (0..COUNT).map(|_| One::default()).collect();
        let mut trace = Trace::new();
        for (number, step) in steps.iter().enumerate() {
            let start = match *step {
                Step::Add(of, side, does) => {
                    if all[of].returned_to.is_none() {
                        all[of].handlers.push_back((number, side, does));
                    }
                    of
                }
                Step::Fire(of, result) => {
                    let one = &mut all[of];
                    if !std::mem::replace(&mut one.trigger_used, true) && !one.fired {
                        one.fired = true;
                        one.result = Some(result);
                    }
                    of
                }
                Step::Pause(of) => {
                    all[of].pauses += 1;
                    of
                }
                Step::Unpause(of) => {
                    all[of].pauses = all[of].pauses.saturating_sub(1);
                    of
                }
                Step::Cancel(of) => {
                    let mut innermost = of;
                    while let Some(inner) = all[innermost].waits_for {
                        innermost = inner;
                    }
                    if !all[innermost].fired {
                        all[innermost].fired = true;
                        all[innermost].result = Some(Err(CANCELLED));
                    }
                    innermost
                }
            };
            settle(&mut all, start, &mut trace);
        }
        trace
    }

    fn settle(all: &mut [One], mut at: usize, trace: &mut Trace) {
        loop {
            if all[at].pauses > 0 || all[at].waits_for.is_some() {
                return;
            }
            let Some(result) = all[at].result else { return };
            let Some((number, side, does)) = all[at].handlers.pop_front() else {
                let Some(outer) = all[at]
                    .returned_to
                    .filter(|&outer| all[outer].waits_for == Some(at))
                else {
                    return;
                };
                all[at].result = None;
                all[outer].waits_for = None;
                all[outer].result = Some(result);
                at = outer;
                continue;
            };
            let taken = match side {
                Side::Callback => result.is_ok(),
                Side::Errback => result.is_err(),
                Side::Both => true,
            };
            if !taken {
                continue;
            }
            trace.push((number, result));
            match does {
                Does::Returns(value) => all[at].result = Some(Ok(value)),
                Does::Fails(value) => all[at].result = Some(Err(value)),
                Does::Waits(inner)
                    if all[inner].returned_to.is_some() || leads_to(all, inner, at) =>
                {
                    all[at].result = Some(Ok(0));
                }
                Does::Waits(inner) => {
                    all[inner].returned_to = Some(at);
                    let ready = all[inner].pauses == 0
                        && all[inner].waits_for.is_none()
                        && all[inner].handlers.is_empty();
                    match all[inner].result.filter(|_| ready) {
                        Some(result) => {
                            all[inner].result = None;
                            all[at].result = Some(result);
                        }
                        None => {
                            all[at].result = None;
                            all[at].waits_for = Some(inner);
                        }
                    }
                }
            }
        }
    }

    /// Whether `from` is `to`, or waits for it.
    fn leads_to(all: &[One], from: usize, to: usize) -> bool {
        let mut at = Some(from);
        while let Some(one) = at {
            if one == to {
                return true;
            }
            at = all[one].waits_for;
        }
        false
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Numbered(i64);

fn number(failure: &Failure) -> i64 {
    match failure.downcast_ref::<Numbered>() {
        Some(Numbered(number)) => *number,
        None => {
            assert!(failure.is::<Cancelled>(), "{failure}");
            CANCELLED
        }
    }
}

/// What the handlers of one program share. Every handler holds it, so its reference count is the number alive.
struct World {
    deferreds: RefCell<Vec<Option<Deferred<i64>>>>,
    /// The Deferred that each one waits for, to avoid rings.
    waits: RefCell<Vec<Option<usize>>>,
    trace: RefCell<Trace>,
}

impl World {
    fn leads_to(&self, from: usize, to: usize) -> bool {
        let waits = self.waits.borrow();
        let mut at = Some(from);
        while let Some(one) = at {
            if one == to {
                return true;
            }
            at = waits[one];
        }
        false
    }
}

fn handle(
    world: &Rc<World>,
    of: usize,
    step: usize,
    does: Does,
    result: Result<i64, Failure>,
) -> Deferred<i64> {
    world.waits.borrow_mut()[of] = None;
    let noted = result.map_err(|failure| number(&failure));
    world.trace.borrow_mut().push((step, noted));
    match does {
        Does::Returns(value) => Deferred::succeed(value),
        Does::Fails(value) => Deferred::fail(Numbered(value)),
        Does::Waits(inner) if world.leads_to(inner, of) => Deferred::succeed(0),
        Does::Waits(inner) => match world.deferreds.borrow_mut()[inner].take() {
            Some(deferred) => {
                world.waits.borrow_mut()[of] = Some(inner);
                deferred
            }
            None => Deferred::succeed(0),
        },
    }
}

fn add(world: &Rc<World>, of: usize, step: usize, side: Side, does: Does) {
    let Some(deferred) = world.deferreds.borrow_mut()[of].take() else {
        return;
    };
    let held = Rc::clone(world);
    let handler = move |result| handle(&held, of, step, does, result);
    // The cell is empty while its handlers run, so no handler returns its own Deferred.
    let deferred = match side {
        Side::Callback => deferred.add_callback(move |value| handler(Ok(value))),
        Side::Errback => deferred.add_errback(move |failure| handler(Err(failure))),
        Side::Both => deferred.add_both(handler),
    };
    world.deferreds.borrow_mut()[of] = Some(deferred);
}

/// Runs a program on Deferreds. Returns the trace, and the number of handlers alive once everything is dropped.
fn run(steps: &[Step]) -> (Trace, usize) {
    log::set_hook(|_| ());
    let (triggers, deferreds): (Vec<_>, Vec<_>) =
        (0..COUNT).map(|_| Deferred::<i64>::new()).unzip();
    let mut triggers: Vec<Option<Trigger<i64>>> = triggers.into_iter().map(Some).collect();
    let controls: Vec<Control> = deferreds.iter().map(Deferred::control).collect();
    let world = Rc::new(World {
        deferreds: RefCell::new(deferreds.into_iter().map(Some).collect()),
        waits: RefCell::new(vec![None; COUNT]),
        trace: RefCell::default(),
    });
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Add(of, side, does) => add(&world, of, number, side, does),
            Step::Fire(of, result) => {
                if let Some(trigger) = triggers[of].take() {
                    trigger.fire(result.map_err(|failure| Numbered(failure).into()));
                }
            }
            Step::Pause(of) => controls[of].pause(),
            Step::Unpause(of) => drop(controls[of].unpause()),
            Step::Cancel(of) => controls[of].cancel(),
        }
    }
    let trace = world.trace.take();
    drop((triggers, controls));
    drop(world.deferreds.take());
    (trace, Rc::strong_count(&world) - 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn d1_to_d6_a_program_runs_as_in_the_model_and_leaves_no_handler_alive(steps in prop::collection::vec(step(), 0..40)) {
        let (trace, alive) = run(&steps);
        prop_assert_eq!(trace, model::run(&steps));
        prop_assert_eq!(alive, 0);
    }
}
