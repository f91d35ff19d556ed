//! The summary of all rows: medians, spreads, ratios to the floor, and the noise.

use serde::{Deserialize, Serialize};

use super::{Figures, Outcome};
use crate::statistics::Spread;

/// One entrant's figures over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntrantSummary {
    /// The entrant.
    pub name: String,
    /// Why it has no figures: the reason of its first void row.
    pub void: Option<String>,
    /// Replies per second.
    pub rate: Option<Spread>,
    /// Processor time of the server per request, in microseconds. The lowest compares best: noise only adds.
    pub cpu_us: Option<Spread>,
    /// Its lowest, divided by the floor's lowest.
    pub best_ratio: Option<f64>,
    /// Each round's, divided by the floor's of the same round.
    pub ratio: Option<Spread>,
    /// The share of the processor time in user space.
    pub user_share: Option<f64>,
    /// Context switches per 1,000 requests, voluntary and involuntary: medians.
    pub switches: Option<(f64, f64)>,
    /// The most threads at the end of a window.
    pub threads: Option<u64>,
    /// The highest peak memory, in bytes.
    pub peak_memory: Option<u64>,
    /// Processor time of the load generator per request, in microseconds.
    pub client_cpu_us: Option<Spread>,
    /// Connections that could not be made, in all rounds.
    pub connect_errors: u64,
    /// Whether the server's counts agreed with the ledger in every round; false if it writes none.
    pub counts_agree: bool,
}

/// The differences of one subject, measured as two, from itself: no smaller difference is significant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Between the two lowest processor times per request, relative to the smaller.
    pub best_cpu: Option<f64>,
    /// Between the two median processor times per request.
    pub median_cpu: Option<f64>,
    /// Between the two medians of replies per second.
    pub rate: Option<f64>,
}

/// The summary of an [`Outcome`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Every entrant, in order.
    pub entrants: Vec<EntrantSummary>,
    /// The noise.
    pub noise: Noise,
}

impl Outcome {
    /// Summarises all rows.
    pub fn summary(&self) -> Summary {
        let floor = self
            .entrants
            .first()
            .map_or(&[][..], |floor| std::slice::from_ref(floor));
        let floor: Vec<_> = floor.iter().flat_map(|floor| self.figures(floor)).collect();
        let entrants: Vec<EntrantSummary> = self
            .entrants
            .iter()
            .map(|name| self.entrant(name, &floor))
            .collect();
        let noise = match (entrants.get(1), entrants.last()) {
            (Some(one), Some(again)) => noise(one, again),
            _ => Noise {
                best_cpu: None,
                median_cpu: None,
                rate: None,
            },
        };
        Summary { entrants, noise }
    }

    /// The figures of `entrant`, by round.
    fn figures<'o>(&'o self, entrant: &'o str) -> impl Iterator<Item = (usize, &'o Figures)> {
        let rows = self.rows.iter().filter(move |row| row.subject == entrant);
        rows.filter_map(|row| Some((row.round, row.figures.as_ref()?)))
    }

    fn entrant(&self, name: &str, floor: &[(usize, &Figures)]) -> EntrantSummary {
        let mut rows = self.rows.iter().filter(|row| row.subject == name);
        let void = rows.find_map(|row| row.void.clone());
        // One void row voids them all: a server that answered wrongly once is not compared.
        let figures: Vec<_> = match void {
            Some(_) => Vec::new(),
            None => self.figures(name).collect(),
        };
        let spread = |of: fn(&Figures) -> Option<f64>| {
            Spread::of(figures.iter().filter_map(|(_, figures)| of(figures)))
        };
        let floor_cpu = |round| {
            let same = floor.iter().find(|(of, _)| *of == round)?;
            same.1.cpu_us
        };
        let ratios = figures
            .iter()
            .filter_map(|(round, figures)| Some(figures.cpu_us? / floor_cpu(*round)?));
        let cpu_us = spread(|figures| figures.cpu_us);
        let floor_best = Spread::of(floor.iter().filter_map(|(_, figures)| figures.cpu_us));
        let switches = (
            spread(|figures| figures.voluntary_switches),
            spread(|figures| figures.involuntary_switches),
        );
        EntrantSummary {
            name: name.to_owned(),
            rate: spread(|figures| Some(figures.rate)),
            best_ratio: cpu_us
                .zip(floor_best)
                .map(|(cpu, floor)| cpu.low / floor.low),
            ratio: Spread::of(ratios),
            cpu_us,
            user_share: spread(|figures| figures.user_share).map(|share| share.median),
            switches: switches
                .0
                .zip(switches.1)
                .map(|(a, b)| (a.median, b.median)),
            threads: figures
                .iter()
                .filter_map(|(_, figures)| figures.threads)
                .max(),
            peak_memory: figures
                .iter()
                .filter_map(|(_, figures)| figures.peak_memory)
                .max(),
            client_cpu_us: spread(|figures| figures.client_cpu_us),
            connect_errors: figures
                .iter()
                .map(|(_, figures)| figures.connect_errors)
                .sum(),
            counts_agree: void.is_none() && figures.iter().all(|(_, figures)| figures.counts_agree),
            void,
        }
    }
}

fn noise(one: &EntrantSummary, again: &EntrantSummary) -> Noise {
    let differ = |of: fn(&EntrantSummary) -> Option<f64>| Some(difference(of(one)?, of(again)?));
    Noise {
        best_cpu: differ(|entrant| Some(entrant.cpu_us?.low)),
        median_cpu: differ(|entrant| Some(entrant.cpu_us?.median)),
        rate: differ(|entrant| Some(entrant.rate?.median)),
    }
}

/// Returns the difference of two figures, relative to the smaller.
fn difference(a: f64, b: f64) -> f64 {
    (a.max(b) / a.min(b)) - 1.0
}

impl Summary {
    /// Returns the pairs of subjects whose best processor times per request differ by no more than the noise.
    pub fn too_close(&self) -> Vec<(&str, &str)> {
        let Some(noise) = self.noise.best_cpu else {
            return Vec::new();
        };
        // Excludes the first subject's second entry.
        let subjects = &self.entrants[..self.entrants.len().saturating_sub(1)];
        let mut pairs = Vec::new();
        for (index, one) in subjects.iter().enumerate() {
            for other in &subjects[index + 1..] {
                if let (Some(a), Some(b)) = (one.cpu_us, other.cpu_us)
                    && difference(a.low, b.low) <= noise
                {
                    pairs.push((one.name.as_str(), other.name.as_str()));
                }
            }
        }
        pairs
    }
}
