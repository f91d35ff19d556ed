//! The finding of a scenario: a few sentences computed from its rows.

use super::words::{self, list};
use super::{Analysis, Place, bare_loops, growth};
use crate::results::{Axis, Better, Entrant, Metric};
use crate::statistics::{Comparison, ROUNDS_MIN, Verdict};

/// Returns what the rows say, in plain sentences: which subject is best and by how much, which are too close to call, how figures
/// grow along the axis, how each model compares with the bare loop of its kind, and which subjects are void.
pub fn finding(analysis: &Analysis<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some((metric, place)) = analysis.main() {
        let ranking = Ranking::of(analysis, metric, place);
        sentences.extend(ranking.sentences());
        sentences.extend(growth::sentence(analysis));
        sentences.extend(bare_loops::sentence(analysis, metric, place));
    }
    sentences.extend(voids(analysis));
    if sentences.is_empty() {
        sentences.push("Nothing was measured.".to_owned());
    }
    sentences
}

/// The contestants with their medians of one metric at one place, the best first.
struct Ranking<'a, 'r> {
    analysis: &'a Analysis<'r>,
    metric: &'a Metric,
    place: Place,
    ranked: Vec<(&'r Entrant, f64)>,
}

impl<'a, 'r> Ranking<'a, 'r> {
    fn of(analysis: &'a Analysis<'r>, metric: &'a Metric, place: Place) -> Self {
        let with_median = |entrant: &'r Entrant| {
            let spread = analysis.spread(&entrant.name, metric, place)?;
            Some((entrant, spread.median))
        };
        let contestants = analysis.contestants().into_iter();
        let mut ranked: Vec<_> = contestants.filter_map(with_median).collect();
        ranked.sort_by(|one, other| match metric.better {
            Better::Higher => other.1.total_cmp(&one.1),
            Better::Lower | Better::Neither => one.1.total_cmp(&other.1),
        });
        Self {
            analysis,
            metric,
            place,
            ranked,
        }
    }

    fn sentences(&self) -> Vec<String> {
        let [(best, median), rest @ ..] = &self.ranked[..] else {
            return Vec::new();
        };
        let figure = words::value(*median, &self.metric.unit);
        let beside = self.beside_the_floor(best);
        let (at, title) = (self.at(), self.title());
        let superlative = self.superlative();
        let name = &best.name;
        if rest.is_empty() {
            return vec![format!("{at}{name} has a {title} of {figure}{beside}.")];
        }
        if let Some(few) = few_rounds(self.analysis.rounds()) {
            return vec![format!(
                "{at}{name} has {superlative} {title}, {figure}{beside}, but {few} too few to call any difference."
            )];
        }
        let (tied, behind): (Vec<_>, Vec<_>) = rest
            .iter()
            .partition(|(other, _)| !self.is_real(other, best));
        let mut sentences = Vec::new();
        if tied.is_empty() {
            let next = rest[0].0;
            let by = self.by(next, best);
            sentences.push(format!(
                "{at}{name} has {superlative} {title}, {figure}{beside}; the next, {}, has {by}.",
                next.name
            ));
        } else {
            sentences.push(self.tie(best, *median, &tied));
        }
        if let Some((last, median)) = behind.last()
            && rest.len() > 1
        {
            let figure = words::value(*median, &self.metric.unit);
            let by = self.by(last, best);
            let mut others = self.ranked.iter().filter(|(other, _)| other != last);
            let is_last = others.all(|(other, _)| self.is_worse(last, other));
            let verb = if is_last { "comes last with" } else { "has" };
            sentences.push(format!("{} {verb} {figure}, {by}.", last.name));
        }
        sentences.extend(self.other_ties(&behind));
        sentences
    }

    /// The best and all that cannot be told from it.
    fn tie(&self, best: &Entrant, median: f64, tied: &[&(&Entrant, f64)]) -> String {
        let mut names = vec![best.name.as_str()];
        names.extend(tied.iter().map(|(entrant, _)| entrant.name.as_str()));
        let furthest = tied.last().map_or(median, |(_, median)| *median);
        let (low, high) = (median.min(furthest), median.max(furthest));
        format!(
            "{}{} are too close to call: their {} is {}.",
            self.at(),
            list(&names),
            self.title(),
            words::range(low, high, &self.metric.unit)
        )
    }

    /// Pairs among those behind that are too close to call.
    fn other_ties(&self, behind: &[&(&Entrant, f64)]) -> Option<String> {
        let mut pairs = Vec::new();
        for (index, (one, _)) in behind.iter().enumerate() {
            for (other, _) in &behind[index + 1..] {
                if !self.is_real(one, other) {
                    pairs.push(format!("{} and {}", one.name, other.name));
                }
            }
        }
        (!pairs.is_empty()).then(|| format!("Also too close to call: {}.", pairs.join("; ")))
    }

    fn compare(&self, one: &Entrant, other: &Entrant) -> Option<Comparison> {
        self.analysis
            .compare(&one.name, &other.name, self.metric, self.place)
    }

    fn is_real(&self, one: &Entrant, other: &Entrant) -> bool {
        self.compare(one, other)
            .is_some_and(|comparison| comparison.is_real())
    }

    fn is_worse(&self, one: &Entrant, other: &Entrant) -> bool {
        self.compare(one, other)
            .is_some_and(|comparison| comparison.verdict == Verdict::Worse)
    }

    /// How much more or less `one` has than `other`, with the interval.
    fn by(&self, one: &Entrant, other: &Entrant) -> String {
        self.compare(one, other).map_or_else(
            || "an incomparable value".to_owned(),
            |comparison| difference(&comparison, &other.name),
        )
    }

    /// `, 1.42 times the floor's`, if there is a floor.
    fn beside_the_floor(&self, subject: &Entrant) -> String {
        match self.analysis.to_floor(subject, self.metric, self.place) {
            Some(ratio) => format!(" ({} times the floor)", words::number(ratio.median)),
            None => String::new(),
        }
    }

    fn title(&self) -> String {
        lower_first(&self.metric.title)
    }

    /// Where on the axis, if the scenario has several points.
    fn at(&self) -> String {
        match self.place {
            Place::Point(point) => at(self.analysis, point),
            Place::Slope => String::new(),
        }
    }

    fn superlative(&self) -> &'static str {
        match self.metric.better {
            Better::Higher => "the highest",
            Better::Lower | Better::Neither => "the lowest",
        }
    }
}

/// `At 64 connections, `, or nothing in a scenario of one point.
fn at(analysis: &Analysis<'_>, point: f64) -> String {
    match &analysis.scenario.axis {
        Some(axis) if analysis.scenario.points().len() > 1 => {
            format!("At {}, ", on_axis(point, axis))
        }
        _ => String::new(),
    }
}

/// `64 connections`, or `1,000 requests/s` on an axis with a unit.
pub(crate) fn on_axis(point: f64, axis: &Axis) -> String {
    match axis.unit.as_str() {
        "" if point == 1.0 => format!("1 {}", singular(&lower_first(&axis.title))),
        "" => format!("{} {}", words::number(point), lower_first(&axis.title)),
        unit => words::value(point, unit),
    }
}

/// Makes the first word that ends in `s` singular: `poems at once` becomes `poem at once`.
fn singular(title: &str) -> String {
    let mut words: Vec<&str> = title.split(' ').collect();
    if let Some(plural) = words
        .iter_mut()
        .find(|word| word.len() > 2 && word.ends_with('s'))
    {
        *plural = &plural[..plural.len() - 1];
    }
    words.join(" ")
}

/// `2 rounds are`, if so few call nothing.
fn few_rounds(rounds: usize) -> Option<String> {
    match rounds {
        1 => Some("1 round is".to_owned()),
        rounds if rounds < ROUNDS_MIN => Some(format!("{rounds} rounds are")),
        _ => None,
    }
}

/// `8.1 % more than streams (5.0 % to 11 %)`.
pub(crate) fn difference(comparison: &Comparison, than: &str) -> String {
    let Some(ratio) = comparison.ratio else {
        return match comparison.verdict {
            Verdict::TooClose => format!("about as much as {than}"),
            _ => format!("values apart from those of {than}"),
        };
    };
    let words = words::ratio(ratio, than);
    let Some(interval) = comparison.interval else {
        return words;
    };
    let bounds = match ratio {
        ratio if ratio >= words::TIMES => {
            format!(
                "{} to {}",
                words::number(interval.low),
                words::number(interval.high)
            )
        }
        ratio if ratio >= 1.0 => percents(interval.low - 1.0, interval.high - 1.0),
        _ => percents(1.0 - interval.high, 1.0 - interval.low),
    };
    format!("{words} ({bounds})")
}

fn percents(low: f64, high: f64) -> String {
    let signed = |value: f64| match value < 0.0 {
        true => format!("−{}", words::percent(value)),
        false => words::percent(value),
    };
    format!("{} to {}", signed(low), signed(high))
}

/// The void subjects with their reason.
fn voids(analysis: &Analysis<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    for subject in analysis.subjects() {
        let name = &subject.name;
        let voids = analysis.voids(name);
        let Some((_, reason)) = voids.first() else {
            continue;
        };
        let places = match &analysis.scenario.axis {
            Some(axis) if voids.len() < analysis.scenario.points().len() => {
                let points: Vec<String> = voids
                    .iter()
                    .map(|(point, _)| words::number(*point))
                    .collect();
                format!(" at {} {}", list(&points), lower_first(&axis.title))
            }
            _ => String::new(),
        };
        sentences.push(format!(
            "{name} is void{places}: {}.",
            reason.trim_end_matches('.')
        ));
    }
    sentences
}

/// Lowers the first letter, unless the first word is an abbreviation such as `CPU`, or a symbol such as `p99`.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().collect::<String>() + &text[first.len_utf8()..]
        }
        _ => text.to_owned(),
    }
}
