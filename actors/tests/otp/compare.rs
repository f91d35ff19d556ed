//! Runs histories on both and compares them.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io, thread};

use crate::history::History;
use crate::seen::{Parents, Seen, Streams};
use crate::theirs::{Erlang, Run};
use crate::{ours, seen, shrink};

/// Orders in which Erlang runs a history again while it differs: a few, and then more. The first is the one it ran in, for
/// timeouts that came late on a busy machine.
const ORDERS: [u64; 2] = [10, 40];
/// Orders of one step that are tried at a time, and how often, while a history is followed step by step.
const ORDERS_OF_STEP: u64 = 48;
const TRIES: usize = 24;
/// Runs in other orders that run together; few, so that no timeout comes late.
const AGAIN: usize = 64;

/// How many histories agreed, and how.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) same: u64,
    pub(crate) in_another_order: u64,
    pub(crate) deviations: BTreeMap<String, u64>,
}

impl Count {
    fn add(&mut self, deviations: BTreeSet<String>) {
        for deviation in deviations {
            *self.deviations.entry(deviation).or_default() += 1;
        }
    }
}

/// A history on both.
pub(crate) struct Compared<'a> {
    pub(crate) history: &'a History,
    pub(crate) ours: Vec<Seen>,
    theirs: Vec<Seen>,
}

impl Compared<'_> {
    /// Returns the first step in which a run on Erlang differs.
    fn first_difference(&self, theirs: &[Seen]) -> Option<usize> {
        let parents = Parents::new(self.history);
        let [ours, other] = [&self.ours, theirs].map(|seen| seen::compared(seen, theirs));
        Streams::new(&parents, ours).first_difference(&Streams::new(&parents, other))
    }

    /// Returns the deviations that occurred in a run on Erlang, if ours is the same.
    pub(crate) fn agrees(&self, theirs: &[Seen]) -> Option<BTreeSet<String>> {
        let parents = Parents::new(self.history);
        let [ours, other] = [&self.ours, theirs].map(|seen| seen::compared(seen, theirs));
        let same = Streams::new(&parents, ours) == Streams::new(&parents, other);
        same.then(|| seen::deviations(theirs))
    }
}

impl fmt::Display for Compared<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parents = Parents::new(self.history);
        let [ours, theirs] = [&self.ours, &self.theirs].map(|seen| Streams::new(&parents, seen));
        write!(out, "{}\n{}", self.history, ours.differences(&theirs))
    }
}

/// Runs histories on both, each on Erlang in the order in which its processes are woken.
pub(crate) fn run<'a>(
    erlang: &mut Erlang,
    histories: &'a [History],
) -> io::Result<Vec<Compared<'a>>> {
    let run = |history| Run {
        seed: 0,
        seeds: Vec::new(),
        history,
    };
    let runs: Vec<_> = histories.iter().map(run).collect();
    let (ours, theirs) = thread::scope(|scope| {
        let ours = scope.spawn(|| histories.iter().map(ours::run).collect::<Vec<_>>());
        let theirs = erlang.run(&runs);
        (ours.join(), theirs)
    });
    let ours = ours.map_err(|_| io::Error::other("a history panicked"))?;
    let both = ours.into_iter().zip(theirs?);
    let compared = |(history, (ours, theirs))| Compared {
        history,
        ours,
        theirs,
    };
    Ok(histories.iter().zip(both).map(compared).collect())
}

/// Runs each history on Erlang in so many orders, from the order of the seed `first` on.
pub(crate) fn run_in_orders(
    erlang: &mut Erlang,
    histories: &[&History],
    first: u64,
    orders: u64,
) -> io::Result<Vec<Vec<Vec<Seen>>>> {
    let each = |history| {
        (first..first + orders).map(move |seed| Run {
            seed,
            seeds: Vec::new(),
            history,
        })
    };
    let runs: Vec<_> = histories.iter().copied().flat_map(each).collect();
    let mut all = Vec::new();
    for runs in runs.chunks(AGAIN) {
        all.extend(erlang.run(runs)?);
    }
    let all = all.chunks(orders as usize).map(<[_]>::to_vec);
    Ok(all.collect())
}

/// Runs histories on both, and returns those that differ from Erlang's in every order that was tried. Each is tried in
/// other orders because Erlang promises none to processes that are ready together.
pub(crate) fn differing<'a>(
    erlang: &mut Erlang,
    histories: &'a [History],
    count: &mut Count,
) -> io::Result<Vec<(usize, Compared<'a>)>> {
    let mut differing: Vec<_> = run(erlang, histories)?.into_iter().enumerate().collect();
    differing.retain(|(_, compared)| {
        let deviations = compared.agrees(&compared.theirs);
        let agrees = deviations.is_some();
        count.same += u64::from(agrees);
        count.add(deviations.unwrap_or_default());
        !agrees
    });
    let mut first = 0;
    for orders in ORDERS {
        let histories: Vec<_> = differing.iter().map(|(_, it)| it.history).collect();
        let runs = run_in_orders(erlang, &histories, first, orders)?;
        let mut runs = runs.iter();
        differing.retain(|(_, compared)| {
            let mut runs = runs.next().into_iter().flatten();
            let deviations = runs.find_map(|theirs| compared.agrees(theirs));
            let agrees = deviations.is_some();
            count.in_another_order += u64::from(agrees);
            count.add(deviations.unwrap_or_default());
            !agrees
        });
        first += orders;
    }
    let mut left = Vec::new();
    for (index, compared) in differing {
        match follow(erlang, &compared)? {
            Some(deviations) => {
                count.in_another_order += 1;
                count.add(deviations);
            }
            None => left.push((index, compared)),
        }
    }
    Ok(left)
}

/// Looks for an order of each step, one after another, in which Erlang does what ours does.
fn follow(erlang: &mut Erlang, compared: &Compared<'_>) -> io::Result<Option<BTreeSet<String>>> {
    let mut step = compared.first_difference(&compared.theirs).unwrap_or(0);
    let mut seeds = Vec::new();
    for attempt in 0..TRIES as u64 {
        let first = 1 + attempt * ORDERS_OF_STEP;
        let run = |seed| Run {
            seed: 0,
            seeds: [&seeds[..], &[(step, seed)]].concat(),
            history: compared.history,
        };
        let runs: Vec<_> = (first..first + ORDERS_OF_STEP).map(run).collect();
        let mut best = None;
        for (run, theirs) in runs.iter().zip(erlang.run(&runs)?) {
            if let Some(deviations) = compared.agrees(&theirs) {
                return Ok(Some(deviations));
            }
            let differs = compared.first_difference(&theirs);
            if differs > Some(step) && best.as_ref().is_none_or(|(step, _)| differs > Some(*step)) {
                best = differs.map(|differs| (differs, run.seeds.clone()));
            }
        }
        if let Some(best) = best {
            (step, seeds) = best;
        }
    }
    Ok(None)
}

/// Makes a history smaller while it differs, and describes the difference.
pub(crate) fn smallest(
    erlang: &mut Erlang,
    mut history: History,
    mut difference: String,
) -> io::Result<String> {
    loop {
        let smaller = shrink::smaller(&history);
        let differing = differing(erlang, &smaller, &mut Count::default())?;
        let Some((_, smaller)) = differing.into_iter().next() else {
            return Ok(difference);
        };
        difference = smaller.to_string();
        history = smaller.history.clone();
    }
}
