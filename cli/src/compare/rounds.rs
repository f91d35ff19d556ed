//! Loads every model several times, in rounds whose order a seed shuffles, and keeps the rows as results, from which the table
//! and the finding are computed (MEASURING 3). The first model takes part twice: what differs between the two is noise.

use std::collections::BTreeMap;

use measure::results::{
    Better, Entrant, FORMAT, Figure, Kind, Metric, Results, Row, ScenarioResults,
};
use poetry::Model;

use crate::status_line::StatusLine;

use super::throughput::{self, Loaded};
use super::{Flaw, Setup};

pub(super) const CPU: &str = "cpu_us";
pub(super) const RATE: &str = "requests_per_second";

/// A model under a name of its own.
struct Takes {
    model: &'static dyn Model,
    name: String,
}

/// What all rounds have brought.
pub(super) struct Rounds {
    /// One scenario: the load.
    pub(super) results: Results,
    /// The last row of each subject that has one.
    pub(super) last: BTreeMap<String, Loaded>,
    /// Verified replies, including those of the warm-ups.
    pub(super) verified: u64,
    /// What was wrong, by the model that it was wrong with.
    pub(super) flaws: Vec<(&'static str, Flaw)>,
}

/// Loads `models` in `rounds` rounds. A model with a flaw takes part in no further round.
pub(super) fn measure(
    setup: &Setup,
    models: &[&'static dyn Model],
    (rounds, seed): (usize, u64),
    status: &StatusLine,
) -> Rounds {
    let mut taking_part = entrants(models);
    let mut all = Rounds {
        results: empty(&taking_part),
        last: BTreeMap::new(),
        verified: 0,
        flaws: Vec::new(),
    };
    let mut shuffle = fastrand::Rng::with_seed(seed);
    for round in 0..rounds {
        shuffle.shuffle(&mut taking_part);
        for takes in &taking_part {
            let (model, name) = (takes.model, &takes.name);
            let is_flawed = all.flaws.iter().any(|(flawed, _)| *flawed == model.name());
            if is_flawed || setup.interrupted.get().is_some() {
                continue;
            }
            status.show(format_args!(
                "round {} of {rounds}: loading {name}",
                round + 1
            ));
            match throughput::load(setup, model) {
                Ok(loaded) => all.add(round, name, loaded),
                Err(flaw) => all.flaws.push((model.name(), flaw)),
            }
        }
    }
    all.void_the_flawed();
    all.without_missing_metrics();
    all
}

fn is_of(name: &str, model: &str) -> bool {
    name == model || name == again(model)
}

fn again(model: &str) -> String {
    format!("{model} again")
}

fn entrants(models: &[&'static dyn Model]) -> Vec<Takes> {
    let named = |&model: &&'static dyn Model| Takes {
        model,
        name: model.name().to_owned(),
    };
    let twice = models.first().map(|&model| Takes {
        model,
        name: again(model.name()),
    });
    models.iter().map(named).chain(twice).collect()
}

impl Rounds {
    fn add(&mut self, round: usize, name: &str, loaded: Loaded) {
        self.verified += loaded.verified;
        let cpu = loaded.cpu_per_request.map(|cpu| cpu.as_secs_f64() * 1e6);
        let rate = Some(loaded.requests_per_second);
        let values = [(CPU, cpu), (RATE, rate)].into_iter();
        let row = Row {
            run: 0,
            round,
            subject: name.to_owned(),
            point: 0.0,
            values: values
                .filter_map(|(metric, value)| Some((metric.to_owned(), value?)))
                .collect(),
            histogram: None,
            void: None,
        };
        for scenario in &mut self.results.scenarios {
            scenario.rows.push(row.clone());
        }
        self.last.insert(name.to_owned(), loaded);
    }

    /// A model that was wrong once has no figures.
    fn void_the_flawed(&mut self) {
        let flaws = &self.flaws;
        let is_flawed = |name: &str| flaws.iter().any(|(model, _)| is_of(name, model));
        self.last.retain(|name, _| !is_flawed(name));
        for scenario in &mut self.results.scenarios {
            scenario.rows.retain(|row| !is_flawed(&row.subject));
        }
    }

    /// Without processor times, the models are compared by what is left.
    fn without_missing_metrics(&mut self) {
        for ScenarioResults { metrics, rows, .. } in &mut self.results.scenarios {
            let has =
                |metric: &Metric| rows.iter().any(|row| row.values.contains_key(&metric.name));
            metrics.retain(has);
        }
    }

    /// Returns the subjects that have figures, in the order of the table.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &Entrant> {
        let has_figures = |entrant: &&Entrant| self.last.contains_key(&entrant.name);
        self.results.subjects.iter().filter(has_figures)
    }
}

/// Returns results without rows. Their words are for reports, which `compare` does not write.
fn empty(entrants: &[Takes]) -> Results {
    let entrant = |takes: &Takes| {
        let model = takes.model.name();
        Entrant {
            name: takes.name.clone(),
            kind: Kind::Model,
            baseline: None,
            again: (takes.name != model).then(|| model.to_owned()),
            command: String::new(),
        }
    };
    Results {
        format: FORMAT,
        runs: Vec::new(),
        subjects: entrants.iter().map(entrant).collect(),
        scenarios: vec![ScenarioResults {
            name: "compare".to_owned(),
            metrics: vec![
                Metric::new(CPU, "CPU per request", "µs", Better::Lower),
                Metric::new(RATE, "rate", "requests/s", Better::Higher),
            ],
            figures: vec![Figure::bars(CPU)],
            ..ScenarioResults::default()
        }],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns rounds with these subjects: each with the one that it repeats, and its CPU per request in µs.
    pub(in super::super) fn rounds_of(subjects: &[(&str, Option<&str>, &[f64])]) -> Rounds {
        let mut rounds = Rounds {
            results: empty(&[]),
            last: BTreeMap::new(),
            verified: 0,
            flaws: Vec::new(),
        };
        for (name, again, values) in subjects {
            rounds.results.subjects.push(Entrant {
                name: (*name).to_owned(),
                kind: Kind::Model,
                baseline: None,
                again: again.map(str::to_owned),
                command: String::new(),
            });
            for (round, cpu) in values.iter().enumerate() {
                rounds.add(round, name, loaded(*cpu));
            }
        }
        rounds.verified = 1_234_567;
        rounds
    }

    fn loaded(cpu: f64) -> Loaded {
        Loaded {
            requests_per_second: 81_204.4,
            cpu_per_request: Some(Duration::from_secs_f64(cpu / 1e6)),
            threads: Some(2),
            peak_memory: Some(4 << 20),
            verified: 1,
        }
    }

    impl Rounds {
        /// As on a system that tells no processor times.
        pub(in super::super) fn without_cpu(&mut self) {
            for row in self
                .results
                .scenarios
                .iter_mut()
                .flat_map(|it| &mut it.rows)
            {
                row.values.remove(CPU);
            }
            self.without_missing_metrics();
        }
    }

    #[test]
    fn the_first_model_takes_part_twice() {
        let entrants = entrants(models::ALL);
        let names: Vec<&str> = entrants.iter().map(|takes| takes.name.as_str()).collect();
        let [first, .., last] = names[..] else {
            panic!("{names:?}")
        };
        assert_eq!(last, format!("{first} again"));
        let twice = empty(&entrants)
            .subjects
            .pop()
            .and_then(|entrant| entrant.again);
        assert_eq!(twice.as_deref(), Some(first));
    }

    #[test]
    fn a_model_that_was_wrong_in_one_round_has_no_figures_in_any() {
        let mut rounds = rounds_of(&[
            ("callbacks", None, &[4.0, 4.0]),
            ("actors", None, &[5.0]),
            ("callbacks again", Some("callbacks"), &[4.0]),
        ]);
        rounds.flaws.push(("callbacks", "a wrong byte".to_owned()));
        rounds.void_the_flawed();
        let left: Vec<&str> = rounds.subjects().map(|subject| &*subject.name).collect();
        assert_eq!(left, ["actors"]);
        assert_eq!(rounds.results.scenarios[0].rows.len(), 1);
    }
}
