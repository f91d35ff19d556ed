//! What was seen in a history, and its comparison.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Act, Child, Command, History, Slot};

/// Something that happened to a process, or that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Two for each instant: the wait before it, and its acts.
    pub(crate) step: usize,
    /// A process: its slot, and the number of its start there; 0 if that failed.
    pub(crate) who: String,
    pub(crate) what: String,
}

impl Seen {
    fn slot(&self) -> Option<Slot> {
        self.who.split('.').next()?.parse().ok()
    }

    /// Whether nothing is compared from this step on.
    fn cuts(&self) -> bool {
        self.who == DEVIATION && self.what.ends_with(NOT_COMPARED)
    }

    /// Whether it is part of the order in which a supervisor starts and stops its children.
    fn is_supervision(&self) -> bool {
        self.what == "started" || self.what == "refused" || self.what.starts_with("ended")
    }
}

/// What was seen, by what has an order: all that happened to one process, and the starts and ends of a supervisor's children.
/// What happens to two others has none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Streams(BTreeMap<String, Vec<String>>);

impl Streams {
    pub(crate) fn new<'a>(parents: &Parents, all: impl IntoIterator<Item = &'a Seen>) -> Self {
        let mut streams = BTreeMap::<String, Vec<String>>::new();
        let mut supervised = Supervised::default();
        for seen in all {
            let Seen { step, who, what } = seen;
            if who == DEVIATION {
                continue;
            }
            let stream = streams.entry(who.clone()).or_default();
            stream.push(format!("{step} {what}"));
            if let Some(supervisor) = supervised.by(parents, seen) {
                let stream = streams.entry(format!("children of {supervisor}"));
                stream.or_default().push(format!("{step} {who} {what}"));
            }
        }
        let mut streams = Self(streams);
        streams.sort_notices();
        streams
    }

    /// The notice of a process that had ended before has no order among what others send; it is put last in its step.
    fn sort_notices(&mut self) {
        let step = |what: &str| {
            what.split(" ")
                .next()
                .and_then(|step| step.parse::<usize>().ok())
        };
        let is_notice = |what: &str| what.ends_with("noproc") && !what.contains("ended");
        for stream in self.0.values_mut() {
            // The sort is stable.
            stream.sort_by_cached_key(|what| {
                let notice = is_notice(what).then(|| what.clone());
                (step(what).unwrap_or(usize::MAX), notice)
            });
            // One end is told to links and to monitors in no order.
            let of_one_end = |one: &String, other: &String| {
                let end = |what: &str| what.split_once(" of ").map(|(_, end)| end.to_owned());
                let is_notice = |what: &str| what.contains("exit of") || what.contains("down of");
                is_notice(one)
                    && is_notice(other)
                    && step(one) == step(other)
                    && end(one) == end(other)
            };
            for notices in stream.chunk_by_mut(of_one_end) {
                notices.sort();
            }
        }
    }

    /// Returns the first step in which they differ.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<usize> {
        let step = |what: &String| what.split(' ').next().and_then(|step| step.parse().ok());
        let none = Vec::new();
        let streams = self.0.keys().chain(other.0.keys());
        let first = streams.filter_map(|name| {
            let [one, other] = [&self.0, &other.0].map(|all| all.get(name).unwrap_or(&none));
            let same = one
                .iter()
                .zip(other)
                .take_while(|(one, other)| one == other);
            let at = same.count();
            let next = [one.get(at), other.get(at)].into_iter().flatten();
            next.filter_map(step).min()
        });
        first.min()
    }

    /// Returns the streams that differ.
    pub(crate) fn differences(&self, theirs: &Self) -> String {
        let names = self.0.keys().chain(theirs.0.keys());
        let mut names: Vec<_> = names
            .filter(|name| self.0.get(*name) != theirs.0.get(*name))
            .collect();
        names.sort();
        names.dedup();
        let line = |name: &String| {
            let (ours, theirs) = (self.0.get(name), theirs.0.get(name));
            format!("{name}\n  ours:   {ours:?}\n  theirs: {theirs:?}\n")
        };
        names.into_iter().map(line).collect()
    }
}

/// The processes that live, and their supervisors.
#[derive(Default)]
struct Supervised {
    latest: BTreeMap<Slot, String>,
    supervisors: BTreeMap<String, String>,
}

impl Supervised {
    /// Returns the supervisor in whose order of starts and ends this is. One that has been killed leaves no order to its
    /// children.
    fn by(&mut self, parents: &Parents, seen: &Seen) -> Option<String> {
        let slot = seen.slot().filter(|_| seen.is_supervision())?;
        let supervisor = parents.0.get(&slot).and_then(|slot| self.latest.get(slot));
        let supervisor = supervisor.cloned();
        if seen.what == "started" {
            // The one before, if it lives, has told its supervisor that it has ended.
            if let Some(before) = self.latest.insert(slot, seen.who.clone()) {
                self.supervisors.remove(&before);
            }
            let supervised = supervisor
                .clone()
                .map(|supervisor| (seen.who.clone(), supervisor));
            self.supervisors.extend(supervised);
        } else if seen.what != "refused" {
            self.latest.retain(|_, process| *process != seen.who);
            let was = self.supervisors.remove(&seen.who);
            return supervisor.filter(|supervisor| was.as_ref() == Some(supervisor));
        }
        supervisor
    }
}

/// Who says that a deviation occurred.
const DEVIATION: &str = "deviation";

/// Returns what is compared: what was seen before the step of a deviation after which ours may go on differently.
pub(crate) fn compared<'a>(
    all: &'a [Seen],
    theirs: &[Seen],
) -> impl Iterator<Item = &'a Seen> + use<'a> {
    let step = theirs.iter().find(|seen| seen.cuts());
    let step = step.map_or(usize::MAX, |seen| seen.step);
    all.iter().filter(move |seen| seen.step < step)
}

/// Returns whether a history is compared up to a step only.
pub(crate) fn is_cut(theirs: &[Seen]) -> bool {
    theirs.iter().any(Seen::cuts)
}

/// The end of the name of a deviation after which the rest is not compared.
const NOT_COMPARED: &str = ", not compared";

/// Returns the deviations that occurred on Erlang.
pub(crate) fn deviations(theirs: &[Seen]) -> BTreeSet<String> {
    let named = theirs.iter().filter(|seen| seen.who == DEVIATION);
    named.map(|seen| seen.what.clone()).collect()
}

/// The supervisor of each supervised slot.
pub(crate) struct Parents(BTreeMap<Slot, Slot>);

impl Parents {
    pub(crate) fn new(history: &History) -> Self {
        let mut parents = BTreeMap::new();
        let mut note = |child: &Child, parent: Option<Slot>| {
            parents.extend(parent.map(|parent| (child.slot, parent)));
        };
        history.root.visit(None, &mut note);
        for act in history.instants.iter().flat_map(|instant| &instant.acts) {
            let Act::Do(_, commands) = act else { continue };
            for command in commands {
                if let Command::StartChild(parent, child) = command {
                    child.visit(Some(*parent), &mut note);
                }
            }
        }
        Self(parents)
    }
}
