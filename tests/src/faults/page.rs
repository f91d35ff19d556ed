//! The page FAULTS.md: fault × program × model, with what was observed. The suite writes it, and reads it again to compare.
//!
//! Bare servers are compared only by whether they pass:
//! what happens to them may differ from run to run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{FaultCase, FaultRole, Mark};

/// How a bare server fared in a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bare {
    /// It did what the case requires.
    Passed,
    /// It did not; the text says what happened.
    Failed(String),
}

/// What was observed, by case and program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    observed: BTreeMap<(String, String), String>,
    bare: BTreeMap<(String, String), Bare>,
}

const HEAD: &str = "\
# What the programs do under faults

Each row is a fault on a running `quatrain`, what the program must do by the rules of [SEMANTICS.md](SEMANTICS.md), and what was
observed at its sockets, in its counters (S23) and in what the system says about its process. The fault cases write this page
and fail if it is not current; see [CONTRIBUTING.md](CONTRIBUTING.md). A row that a run does not test keeps the text of an
earlier run.

- *long*, *root*: the case runs only when asked for, the latter only as root.
- models: those with which this was observed; each case runs with every model.
- \"counted 2 done, 50 write\": the connections that the server closed, by reason. *done*: everything owed was delivered; *reset*: the
  client reset; *refused*: a bad request; *idle*, *deadline*, *write*: this timeout was over; *panic*: the handler panicked; *cut*:
  the grace was over; *left*: the client left a proxy's fetch; *upstream*: a proxy's fetch failed.
";

const BARE_HEAD: &str = "
The last column shows how *bare servers* fare in the same case: servers written the obvious way, with mio, actix, tokio and a
thread for each connection, and without this project's rules. They do not have to pass. An empty cell: not run against them; there
are no bare clients, and long cases are not run.
";

/// The separator of the bare servers in one cell.
const NEXT: &str = "<br>";

impl Page {
    /// Adds what `model` was observed to do in `case`.
    pub fn observe(&mut self, case: &FaultCase, model: &str, observed: &str) {
        let key = (case.path(), model.to_owned());
        self.observed.insert(key, cell(observed));
    }

    /// Adds how the bare server `kind` fared in `case`.
    pub fn fare(&mut self, case: &FaultCase, kind: &str, bare: Bare) {
        let bare = match bare {
            Bare::Failed(what) => Bare::Failed(cell(&what)),
            Bare::Passed => bare,
        };
        self.bare.insert((case.path(), kind.to_owned()), bare);
    }

    /// Replaces what `newer` has observed, too.
    pub fn merge(&mut self, newer: Self) {
        self.observed.extend(newer.observed);
        self.bare.extend(newer.bare);
    }

    /// Returns what differs in `newer`, a line for each row.
    pub fn differences(&self, newer: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, new) in &newer.observed {
            let (case, model) = key;
            match self.observed.get(key) {
                Some(old) if old == new => {}
                Some(old) => lines.push(format!(
                    "{case}, {model}: the page says '{old}', observed was '{new}'"
                )),
                None => lines.push(format!("{case}, {model}: not on the page")),
            }
        }
        for (key, new) in &newer.bare {
            let (case, kind) = key;
            let passed = |bare: &Bare| *bare == Bare::Passed;
            match self.bare.get(key) {
                Some(old) if passed(old) == passed(new) => {}
                Some(old) => lines.push(format!(
                    "{case}, bare {kind}: the page says {old:?}, observed was {new:?}"
                )),
                None => lines.push(format!("{case}, bare {kind}: not on the page")),
            }
        }
        lines
    }

    /// Returns the cases and models that the page lacks.
    pub fn missing(&self, cases: &[FaultCase], models: &[&str]) -> Vec<(String, String)> {
        let all = cases.iter().flat_map(|case| {
            let key = |model: &&str| (case.path(), (*model).to_owned());
            models.iter().map(key)
        });
        all.filter(|key| !self.observed.contains_key(key)).collect()
    }

    /// Returns the line of the README.
    pub fn summary(&self, cases: &[FaultCase], models: &[&str]) -> String {
        let faults: BTreeSet<_> = cases.iter().map(|case| case.fault).collect();
        let is_observed = |case: &&FaultCase| self.missing(&[**case], models).is_empty();
        let observed = cases.iter().filter(is_observed).count();
        let (number, of_models) = (faults.len(), models.len());
        format!(
            "Under {number} faults, each of {observed} cases has been run on real processes with each of the {of_models} models: \
             [FAULTS.md](FAULTS.md) shows what was observed."
        )
    }

    /// Writes the page, with the rows of `cases` in their order.
    pub fn render(&self, cases: &[FaultCase], models: &[&str]) -> String {
        let mut page = HEAD.to_owned();
        let has_bare = !self.bare.is_empty();
        if has_bare {
            page.push_str(BARE_HEAD);
        }
        let mut fault = "";
        for case in cases {
            if case.fault != fault {
                fault = case.fault;
                let _ = write!(page, "\n## {}\n\n", capitalized(fault));
                let (title, rule) = match has_bare {
                    true => (" bare servers |", "---|"),
                    false => ("", ""),
                };
                let _ = writeln!(page, "| program | does | models | observed |{title}");
                let _ = writeln!(page, "|---|---|---|---|{rule}");
            }
            self.render_case(case, models, has_bare, &mut page);
        }
        page
    }

    fn render_case(&self, case: &FaultCase, models: &[&str], has_bare: bool, page: &mut String) {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for model in models {
            let key = (case.path(), (*model).to_owned());
            let observed = self.observed.get(&key).map_or("–", String::as_str);
            match groups.iter_mut().find(|(text, _)| *text == observed) {
                Some((_, models)) => models.push(model),
                None => groups.push((observed, vec![model])),
            }
        }
        for (at, (observed, of)) in groups.iter().enumerate() {
            let names = match of.len() == models.len() {
                true => ALL_MODELS.to_owned(),
                false => of.join(", "),
            };
            let (program, does) = (case.role.name(), sentence(case));
            let _ = write!(page, "| {program} | {does} | {names} | {observed} |");
            match has_bare {
                true if at == 0 => writeln!(page, " {} |", self.bare_cell(case)),
                true => writeln!(page, " |"),
                false => writeln!(page),
            }
            .unwrap_or_default();
        }
    }

    fn bare_cell(&self, case: &FaultCase) -> String {
        let path = case.path();
        let of_case = self.bare.iter().filter(|((case, _), _)| *case == path);
        let show = |((_, kind), bare): (&(String, String), &Bare)| match bare {
            Bare::Passed => format!("{kind}: passes"),
            Bare::Failed(what) => format!("{kind}: **fails**: {what}"),
        };
        of_case.map(show).collect::<Vec<_>>().join(NEXT)
    }

    /// Reads a page that [`Page::render`] wrote. Rows of cases that no longer exist are left out.
    pub fn parse(text: &str, cases: &[FaultCase], models: &[&str]) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", program, does, names, observed, rest @ ..] = cells.as_slice() else {
                continue;
            };
            let is_it = |case: &&FaultCase| case.role.name() == *program && sentence(case) == *does;
            let Some(case) = cases.iter().find(is_it) else {
                continue;
            };
            if *observed != "–" {
                let is_named = |model: &&&str| {
                    *names == ALL_MODELS || names.split(", ").any(|name| name == **model)
                };
                for model in models.iter().filter(is_named) {
                    page.observe(case, model, observed);
                }
            }
            for bare in rest.first().into_iter().flat_map(|cell| cell.split(NEXT)) {
                match bare.split_once(": ") {
                    Some((kind, "passes")) => page.fare(case, kind, Bare::Passed),
                    Some((kind, what)) => {
                        let what = what.trim_start_matches("**fails**: ").to_owned();
                        page.fare(case, kind, Bare::Failed(what));
                    }
                    None => {}
                }
            }
        }
        page
    }
}

const ALL_MODELS: &str = "all";

/// Returns the text as a cell of a table: one line, without its separator.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "/").replace(NEXT, " ")
}

/// Returns what the program does in `case`, the rules, and the marks.
fn sentence(case: &FaultCase) -> String {
    let mut sentence = format!("{} ({}", case.name.replace('_', " "), case.rules.join(", "));
    for mark in case.marks {
        match mark {
            Mark::Long => sentence.push_str("; *long*"),
            Mark::Root => sentence.push_str("; *root*"),
            Mark::Linux | Mark::OneAtATime => {}
        }
    }
    sentence.push(')');
    sentence
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// Sorts cases as the page shows them: by fault in the order of the list, then by program, then in the order of the list.
pub fn sorted(mut cases: Vec<FaultCase>) -> Vec<FaultCase> {
    let mut faults: Vec<&str> = Vec::new();
    for case in &cases {
        if !faults.contains(&case.fault) {
            faults.push(case.fault);
        }
    }
    let place = |case: &FaultCase| {
        let fault = faults.iter().position(|fault| *fault == case.fault);
        let role = FaultRole::ALL.iter().position(|role| *role == case.role);
        (fault, role)
    };
    cases.sort_by_key(place);
    cases
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;

    const MODELS: &[&str] = &["one", "two"];

    fn case(name: &'static str, role: FaultRole) -> FaultCase {
        FaultCase {
            name,
            fault: "a fault",
            role,
            rules: &["S1", "S2"],
            marks: &[Mark::Long],
            run: |_| Err(Failure::broken("never run")),
        }
    }

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let cases = [
            case("goes_on", FaultRole::Proxy),
            case("ends", FaultRole::Client),
        ];
        let mut page = Page::default();
        page.observe(&cases[0], "one", "served\non | all");
        page.observe(&cases[0], "two", "served on / all");
        page.observe(&cases[1], "two", "ended");
        page.fare(
            &cases[0],
            "mio",
            Bare::Failed("stalled: for ever".to_owned()),
        );
        page.fare(&cases[0], "tokio", Bare::Passed);
        let text = page.render(&cases, MODELS);
        assert!(text.contains("| proxy | goes on (S1, S2; *long*) | all | served on / all | mio: **fails**: stalled: for ever<br>tokio: passes |"), "{text}");
        assert_eq!(Page::parse(&text, &cases, MODELS), page);
        let missing = ("client::ends".to_owned(), "one".to_owned());
        assert_eq!(page.missing(&cases, MODELS), [missing]);
    }

    #[test]
    fn a_newer_run_differs_by_what_it_observed_and_by_whether_a_bare_server_passed() {
        let case = case("goes_on", FaultRole::Proxy);
        let (mut old, mut new) = (Page::default(), Page::default());
        old.observe(&case, "one", "served");
        old.fare(&case, "mio", Bare::Failed("stalled".to_owned()));
        new.fare(&case, "mio", Bare::Failed("refused".to_owned()));
        assert!(old.differences(&new).is_empty());
        new.observe(&case, "one", "stalled");
        new.fare(&case, "mio", Bare::Passed);
        assert_eq!(old.differences(&new).len(), 2);
    }
}
