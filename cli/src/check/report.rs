//! What `quatrain check` prints: a line for each case, and at the end the counts, the rules, and what skipped cases need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use conformance::check::Tested;
use conformance::{Case, Verdict};
use serde::Serialize;

use crate::failure::{Ended, Failure, Status};
use crate::output::json_line;
use crate::words::counted;

/// The verdicts so far.
pub(super) struct Report {
    json: bool,
    seed: u64,
    passed: usize,
    failed: usize,
    /// How many cases were skipped, by what they need.
    skipped: BTreeMap<String, usize>,
    tested: BTreeSet<Rule>,
    violated: BTreeSet<Rule>,
}

/// A rule, in the order of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rule(usize, &'static str);

/// The line of a case, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    role: &'a str,
    rules: &'a [&'a str],
    verdict: &'a str,
    why: Option<&'a str>,
    seconds: f64,
}

/// The last line, as JSON.
#[derive(Serialize)]
struct Summary {
    passed: usize,
    skipped: usize,
    failed: usize,
    rules_tested: Vec<&'static str>,
    rules_violated: Vec<&'static str>,
    seed: u64,
    seconds: f64,
}

/// A listed case, as JSON.
#[derive(Serialize)]
struct Listed<'a> {
    case: &'a str,
    role: &'a str,
    rules: &'a [&'a str],
    needs: Vec<&'a str>,
    smoke: bool,
}

impl Report {
    /// Creates a report of no verdict.
    pub(super) fn new(json: bool, seed: u64) -> Self {
        Self {
            json,
            seed,
            passed: 0,
            failed: 0,
            skipped: BTreeMap::new(),
            tested: BTreeSet::new(),
            violated: BTreeSet::new(),
        }
    }

    /// Counts a verdict, and returns its line.
    pub(super) fn add(&mut self, tested: &Tested) -> String {
        let rules = tested.case.rules.iter().map(|&rule| Rule::of(rule));
        let (verdict, why) = match &tested.verdict {
            Verdict::Passed => {
                self.passed += 1;
                self.tested.extend(rules);
                ("passed", None)
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                self.tested.extend(rules.clone());
                self.violated.extend(rules);
                ("failed", Some(without_rules(why, &tested.case)))
            }
            Verdict::Skipped(why) => {
                let need = why.strip_prefix("needs ").unwrap_or(why);
                *self.skipped.entry(need.to_owned()).or_default() += 1;
                ("skipped", Some(why.as_str()))
            }
        };
        let case = &tested.case;
        if self.json {
            return json_line(&Line {
                case: case.name,
                role: case.role.name(),
                rules: case.rules,
                verdict,
                why,
                seconds: seconds(tested.elapsed),
            });
        }
        let verdict = match verdict {
            "failed" => "FAILED",
            verdict => verdict,
        };
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let rules = case.rules.join(" ");
        format!("{verdict:<7}  {rules:<7}  {}{why}\n", case.name)
    }

    /// Returns the lines after all cases.
    pub(super) fn end(&self, elapsed: Duration) -> String {
        let skipped: usize = self.skipped.values().sum();
        if self.json {
            return json_line(&Summary {
                passed: self.passed,
                skipped,
                failed: self.failed,
                rules_tested: names(&self.tested),
                rules_violated: names(&self.violated),
                seed: self.seed,
                seconds: seconds(elapsed),
            });
        }
        let mut text = format!(
            "\n{} passed, {} failed, {skipped} skipped, in {:.1} s (seed {})\n",
            self.passed,
            self.failed,
            elapsed.as_secs_f64(),
            self.seed
        );
        let mut line = |name: &str, words: &[String], between: &str| {
            if !words.is_empty() {
                text += &format!("{name}: {}\n", words.join(between));
            }
        };
        let shown = |rules: &BTreeSet<Rule>| -> Vec<String> {
            names(rules).into_iter().map(str::to_owned).collect()
        };
        line("Rules tested", &shown(&self.tested), " ");
        line("Rules violated", &shown(&self.violated), " ");
        line("Skipped for lack of", &self.lacks(), ", ");
        text
    }

    /// Returns what skipped cases need and for how many, the most frequent first.
    fn lacks(&self) -> Vec<String> {
        let mut lacks: Vec<_> = self.skipped.iter().collect();
        lacks.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        lacks
            .into_iter()
            .map(|(need, count)| format!("{need} ({count})"))
            .collect()
    }

    /// Returns the status for the verdicts.
    ///
    /// # Errors
    /// No case could be run, so `subject` has not been tested.
    pub(super) fn status(&self, subject: &str) -> Ended {
        match (self.failed, self.passed) {
            (0, 0) => {
                let skipped = self.skipped.values().sum::<usize>() as u64;
                let (skipped, needs) = (counted(skipped, "case"), self.lacks().join(", "));
                let hints = [
                    ("the poem", "--poem FILE"),
                    ("the library", "--library DIR"),
                ];
                let hint = hints.iter().find(|(what, _)| needs.contains(what));
                let hint = hint.map_or_else(String::new, |(_, option)| {
                    format!("; say what it serves with {option}")
                });
                Err(Failure::new(format_args!(
                    "{subject} has not been tested: {skipped} skipped for lack of {needs}{hint}"
                )))
            }
            (0, _) => Ok(Status::Success),
            _ => Ok(Status::Trouble),
        }
    }
}

impl Rule {
    fn of(name: &'static str) -> Self {
        let number = name.trim_start_matches(char::is_alphabetic);
        Self(number.parse().unwrap_or(usize::MAX), name)
    }
}

fn names(rules: &BTreeSet<Rule>) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.1).collect()
}

/// Returns why a case failed, without the rules that its line begins with.
fn without_rules<'a>(why: &'a str, case: &Case) -> &'a str {
    let rules = case.rules.join(", ");
    why.strip_prefix(&rules)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(why)
}

/// Returns the cases with their rules and needs, a line each.
pub(super) fn list(cases: &[Case], as_json: bool) -> String {
    let needs = |case: &Case| -> Vec<&str> { case.needs.iter().map(|need| need.name()).collect() };
    let line = |case: &Case| {
        if as_json {
            return json_line(&Listed {
                case: case.name,
                role: case.role.name(),
                rules: case.rules,
                needs: needs(case),
                smoke: case.smoke,
            });
        }
        let mark = if case.smoke { "smoke" } else { "" };
        let needs = match needs(case).join(", ") {
            needs if needs.is_empty() => String::new(),
            needs => format!(" (needs {needs})"),
        };
        let rules = case.rules.join(" ");
        format!("{rules:<7}  {mark:<5}  {}{needs}\n", case.name)
    };
    cases.iter().map(line).collect()
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(name: &'static str, rules: &'static [&'static str], verdict: Verdict) -> Tested {
        Tested {
            case: Case {
                name,
                role: conformance::Role::TransformServer,
                rules,
                needs: &[],
                smoke: false,
                run: |_| Ok(()),
            },
            verdict,
            elapsed: Duration::from_millis(1_250),
        }
    }

    fn all(json: bool) -> (Report, Vec<String>) {
        let mut report = Report::new(json, 7);
        let verdicts = [
            ("one", &["S10", "S2"][..], Verdict::Passed),
            (
                "two",
                &["S2", "S4"],
                Verdict::Failed("S2, S4: no FIN (seed 7)".to_owned()),
            ),
            (
                "three",
                &["S9"],
                Verdict::Skipped("needs counters".to_owned()),
            ),
        ];
        let mut lines: Vec<String> = verdicts
            .into_iter()
            .map(|(name, rules, verdict)| report.add(&tested(name, rules, verdict)))
            .collect();
        lines.push(report.end(Duration::from_secs(2)));
        (report, lines)
    }

    #[test]
    fn a_case_is_a_line_with_its_rules_and_the_end_counts_them() {
        let (report, lines) = all(false);
        let expected = [
            "passed   S10 S2   one\n",
            "FAILED   S2 S4    two: no FIN (seed 7)\n",
            "skipped  S9       three: needs counters\n",
            "\n1 passed, 1 failed, 1 skipped, in 2.0 s (seed 7)\nRules tested: S2 S4 S10\nRules violated: S2 S4\n\
             Skipped for lack of: counters (1)\n",
        ];
        assert_eq!(lines, expected);
        assert_eq!(report.status("it"), Ok(Status::Trouble));
    }

    #[test]
    fn json_has_a_line_for_each_case_and_one_for_the_counts() {
        let (_, lines) = all(true);
        let failed: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(failed["verdict"], "failed");
        assert_eq!(failed["why"], "no FIN (seed 7)");
        assert_eq!(failed["rules"], serde_json::json!(["S2", "S4"]));
        assert_eq!(failed["seconds"], 1.25);
        let end: serde_json::Value = serde_json::from_str(&lines[3]).unwrap();
        assert_eq!((&end["passed"], &end["failed"]), (&1.into(), &1.into()));
        assert_eq!(end["rules_violated"], serde_json::json!(["S2", "S4"]));
    }

    #[test]
    fn only_skipped_cases_are_no_test() {
        let mut report = Report::new(false, 7);
        report.add(&tested(
            "one",
            &["S1"],
            Verdict::Skipped("needs limits".to_owned()),
        ));
        let failure = report.status("it").unwrap_err();
        assert_eq!(
            failure,
            Failure::new("it has not been tested: 1 case skipped for lack of limits (1)")
        );
    }
}
