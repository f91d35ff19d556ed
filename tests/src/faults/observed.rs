//! What a case observed, in words. It contains no number that differs from run to run, so that runs can be compared.

use std::fmt::{self, Display};

use poetry::Counts;

use crate::connection::End;

/// What a case observed: a few facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed(Vec<String>);

impl Observed {
    /// Creates the observation of one fact.
    pub fn that(fact: impl Into<String>) -> Self {
        Self(vec![fact.into()])
    }

    /// Adds a fact.
    #[must_use]
    pub fn and(mut self, fact: impl Into<String>) -> Self {
        self.0.push(fact.into());
        self
    }

    /// Adds how the connections of some peers ended, of which each is a `peer`.
    #[must_use]
    pub fn ends(self, peer: &str, ends: &[End]) -> Self {
        let peers = |count| plural(count, peer);
        let reset = ends.iter().filter(|&&end| end == End::Reset).count();
        match (reset, ends.len() - reset) {
            (0, all) => self.and(format!("{} closed by FIN", peers(all))),
            (all, 0) => self.and(format!("{} reset", peers(all))),
            (reset, closed) => self.and(format!("{} closed by FIN, {reset} reset", peers(closed))),
        }
    }

    /// Adds for which reasons the server counted its connections as closed, if it has counters.
    #[must_use]
    pub fn closed(self, counts: Option<&Counts>) -> Self {
        match counts.map(closed) {
            Some(reasons) if !reasons.is_empty() => self.and(format!("counted {reasons}")),
            _ => self,
        }
    }
}

impl Display for Observed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("; "))
    }
}

/// Returns the number and the noun: `1 reader`, `2 readers`.
fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns the reasons for which connections were closed, with their numbers: `50 write, 1 done`.
fn closed(counts: &Counts) -> String {
    let json = serde_json::to_value(&counts.closed).unwrap_or_default();
    let reasons = json.as_object().into_iter().flatten();
    let counted = reasons.filter_map(|(reason, count)| match count.as_u64()? {
        0 => None,
        count => Some(format!("{count} {reason}")),
    });
    counted.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_joined_and_ends_and_reasons_are_counted() {
        let mut counts = Counts::default();
        (counts.closed.write, counts.closed.done) = (2, 1);
        let observed = Observed::that("served on")
            .ends("reader", &[End::Reset, End::Reset])
            .ends("other", &[End::Fin, End::Reset])
            .closed(Some(&counts))
            .closed(None);
        let text =
            "served on; 2 readers reset; 1 other closed by FIN, 1 reset; counted 1 done, 2 write";
        assert_eq!(observed.to_string(), text);
    }
}
