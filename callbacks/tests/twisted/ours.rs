//! The same programs on `callbacks`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use callbacks::{
    Clock, Control, Deferred, DeferredList, DeferredQueue, DeferredSemaphore, Failure, Trigger,
    gather_results, log, race,
};

use crate::generator::{Canceller, LENGTH_MAX, List, Program, Side, Step, Then};

/// What a program did.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) trace: Vec<String>,
    /// The unhandled failures that were reported, sorted.
    pub(crate) reported: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("n{0}")]
struct Numbered(i64);

pub(crate) fn run(program: &Program) -> Happened {
    let reported = Rc::new(RefCell::new(Vec::new()));
    let reports = Rc::clone(&reported);
    log::set_hook(move |trouble| {
        let text = trouble.to_string();
        let failure = text.strip_prefix("unhandled failure in a Deferred: ");
        reports
            .borrow_mut()
            .push(failure.unwrap_or(&text).to_owned());
    });
    let world = Rc::new(World::new(program));
    for (number, step) in program.steps.iter().enumerate() {
        world.step(number, step);
    }
    world.end();
    let trace = world.trace.take();
    let mut reported = reported.take();
    reported.sort();
    Happened { trace, reported }
}

/// The Deferreds of one program by number, and what happened.
struct World {
    /// The Deferreds that handlers can be added to; `None` once one is part of another.
    deferreds: RefCell<Vec<Option<Deferred<i64>>>>,
    controls: RefCell<Vec<Control>>,
    triggers: RefCell<Vec<Option<Trigger<i64>>>>,
    /// The Deferred that each one waits for, so that no ring is made.
    waits: RefCell<Vec<Option<usize>>>,
    semaphore: DeferredSemaphore,
    clock: Clock,
    queue: DeferredQueue<i64>,
    trace: RefCell<Vec<String>>,
    ended: Cell<bool>,
}

impl World {
    fn new(program: &Program) -> Self {
        let world = Self {
            deferreds: RefCell::default(),
            controls: RefCell::default(),
            triggers: RefCell::default(),
            waits: RefCell::default(),
            semaphore: DeferredSemaphore::new(program.permits),
            clock: Clock::new(),
            queue: DeferredQueue::new(LENGTH_MAX, LENGTH_MAX),
            trace: RefCell::default(),
            ended: Cell::new(false),
        };
        for &canceller in &program.cancellers {
            let (trigger, deferred) = match canceller {
                Canceller::Absent => Deferred::new(),
                Canceller::Silent => Deferred::with_canceller(|| None),
                Canceller::Succeeds(value) => Deferred::with_canceller(move || Some(Ok(value))),
                Canceller::Fails(value) => {
                    Deferred::with_canceller(move || Some(Err(Numbered(value).into())))
                }
            };
            world.triggers.borrow_mut().push(Some(trigger));
            world.create(deferred);
        }
        world
    }

    fn create(&self, deferred: Deferred<i64>) {
        self.controls.borrow_mut().push(deferred.control());
        self.deferreds.borrow_mut().push(Some(deferred));
        self.waits.borrow_mut().push(None);
    }

    fn note(&self, what: String) {
        if !self.ended.get() {
            self.trace.borrow_mut().push(what);
        }
    }

    fn step(self: &Rc<Self>, number: usize, step: &Step) {
        match *step {
            Step::Add {
                of,
                side,
                ref act,
                then,
            } => self.add(number, of, side, act.clone(), then),
            Step::Fire(of, result) => {
                let trigger = self.triggers.borrow_mut()[of].take();
                if let Some(trigger) = trigger {
                    trigger.fire(result.map_err(|value| Numbered(value).into()));
                }
            }
            Step::Cancel(of) => {
                if let Some(control) = self.control(of) {
                    control.cancel();
                }
            }
            Step::Pause(of) => {
                if let Some(control) = self.control(of) {
                    control.pause();
                }
            }
            Step::Unpause(of) => {
                if let Some(control) = self.control(of)
                    && control.unpause().is_err()
                {
                    self.note(format!("u{of} not paused"));
                }
            }
            Step::List {
                kind,
                consume,
                ref members,
            } => self.list(number, kind, consume, members),
            Step::Acquire(()) => {
                let acquired = self.semaphore.acquire();
                self.create(acquired.add_callback(|()| Ok(0)));
            }
            Step::Release(()) => {
                if self.semaphore.release().is_err() {
                    self.note(format!("r{number} too often"));
                }
            }
            Step::Run(then) => {
                let world = Rc::clone(self);
                let deferred = self.semaphore.run(move || {
                    world.note(format!("w{number}"));
                    world.then(then, None)
                });
                self.create(deferred);
            }
            Step::Timeout(of, seconds) => {
                if let Some(deferred) = self.take(of) {
                    let deferred = deferred.timeout(Duration::from_secs(seconds), &self.clock);
                    self.deferreds.borrow_mut()[of] = Some(deferred);
                }
            }
            Step::Advance(seconds) => self.clock.advance(Duration::from_secs(seconds)),
            Step::Get(()) => match self.queue.get() {
                Ok(value) => self.create(value),
                Err(error) => self.note(format!("q{number} {error:?}")),
            },
            Step::Put(value) => {
                if let Err(error) = self.queue.put(value) {
                    self.note(format!("q{number} {error:?}"));
                }
            }
        }
    }

    fn control(&self, of: usize) -> Option<Control> {
        self.controls.borrow().get(of).cloned()
    }

    fn take(&self, of: usize) -> Option<Deferred<i64>> {
        self.deferreds.borrow_mut().get_mut(of)?.take()
    }

    fn add(
        self: &Rc<Self>,
        number: usize,
        of: usize,
        side: Side,
        act: Option<Box<Step>>,
        then: Then,
    ) {
        let Some(deferred) = self.take(of) else {
            return;
        };
        let world = Rc::clone(self);
        let handler = move |result: Result<i64, Failure>| {
            if world.ended.get() {
                return result.into();
            }
            world.waits.borrow_mut()[of] = None;
            match &result {
                Ok(value) => world.note(format!("h{number} ok {value}")),
                Err(failure) => world.note(format!("h{number} err {failure}")),
            }
            if let Some(act) = act {
                world.step(number, &act);
            }
            world.then(then, Some(of))
        };
        let deferred = match side {
            Side::Callback => deferred.add_callback(move |value| handler(Ok(value))),
            Side::Errback => deferred.add_errback(move |failure| handler(Err(failure))),
            Side::Both => deferred.add_both(handler),
        };
        self.deferreds.borrow_mut()[of] = Some(deferred);
    }

    /// What a handler of `of`, or the work of the semaphore, returns.
    fn then(&self, then: Then, of: Option<usize>) -> Deferred<i64> {
        match then {
            Then::Returns(value) => value.into(),
            Then::Fails(value) => Deferred::fail(Numbered(value)),
            Then::Waits(inner) if of.is_some_and(|of| self.leads_to(inner, of)) => 0.into(),
            Then::Waits(inner) => match self.take(inner) {
                Some(deferred) => {
                    if let Some(of) = of {
                        self.waits.borrow_mut()[of] = Some(inner);
                    }
                    deferred
                }
                None => 0.into(),
            },
        }
    }

    fn leads_to(&self, from: usize, to: usize) -> bool {
        let waits = self.waits.borrow();
        let mut at = Some(from);
        while let Some(one) = at {
            if one == to {
                return true;
            }
            at = waits.get(one).copied().flatten();
        }
        false
    }

    fn list(self: &Rc<Self>, number: usize, kind: List, consume: bool, members: &[usize]) {
        let members = members.iter().filter_map(|&of| self.take(of)).collect();
        let list = |members| {
            let list = DeferredList::new(members);
            if consume { list.consume_errors() } else { list }
        };
        let ok = |value: &i64| format!("ok {value}");
        let deferred = match kind {
            List::All => self.listed(number, list(members).all(), move |results| {
                let words = results.iter().map(|result| match result {
                    Ok(value) => ok(value),
                    Err(failure) => format!("err {failure}"),
                });
                words.collect()
            }),
            List::OneCallback => self.listed(
                number,
                list(members).fire_on_one_callback(),
                |(value, at)| vec![format!("{at} ok {value}")],
            ),
            List::OneErrback => {
                self.listed(number, list(members).fire_on_one_errback(), move |values| {
                    values.iter().map(ok).collect()
                })
            }
            List::Gather => self.listed(number, gather_results(members), move |values| {
                values.iter().map(ok).collect()
            }),
            List::Race => self.listed(number, race(members), |(at, value)| {
                vec![format!("{at} ok {value}")]
            }),
        };
        self.create(deferred);
    }

    /// Notes a list's result and replaces it by the step's number.
    fn listed<T: 'static>(
        self: &Rc<Self>,
        number: usize,
        list: Deferred<T>,
        words: impl FnOnce(T) -> Vec<String> + 'static,
    ) -> Deferred<i64> {
        let world = Rc::clone(self);
        list.add_both(move |result| match result {
            Ok(results) => {
                world.note(format!("l{number} ok [{}]", words(results).join(", ")));
                Ok(number as i64)
            }
            Err(failure) => {
                world.note(format!("l{number} err {failure}"));
                Err(failure)
            }
        })
    }

    /// Notes the results that can be taken, and drops everything.
    fn end(&self) {
        let deferreds = self.deferreds.take();
        for (of, deferred) in deferreds.into_iter().enumerate() {
            match deferred.map(Deferred::take_result) {
                Some(Ok(Ok(value))) => self.note(format!("d{of} ok {value}")),
                Some(Ok(Err(failure))) => self.note(format!("d{of} err {failure}")),
                Some(Err(unsettled)) => drop(unsettled),
                None => {}
            }
        }
        self.ended.set(true);
        self.controls.take();
        for trigger in self.triggers.take().into_iter().flatten() {
            trigger.never();
        }
    }
}
