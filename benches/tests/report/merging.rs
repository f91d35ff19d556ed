//! Merged results: rounds of different runs stay apart, and what was measured differently is refused.

use measure::analysis::{Analysis, Place};
use measure::merge::{MergeError, merge};
use measure::results::{Kind, Results};

use crate::sample;

/// The same, measured a second time.
fn another_run() -> Results {
    let mut results = sample::results();
    results.runs[0].environment.seed += 1;
    results
}

#[test]
fn a_run_is_not_merged_with_itself() {
    let results = sample::results();
    let parts = [results.clone(), results].map(|results| (results, Default::default()));
    let error = merge(parts).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("two of them hold the same run"),
        "{error}"
    );
}

#[test]
fn rows_keep_their_run_and_histograms_their_rows() {
    let part = |results| (results, sample::histograms());
    let (results, histograms) = merge([part(sample::results()), part(another_run())]).unwrap();
    assert_eq!(results.runs.len(), 2);
    assert_eq!(results.subjects.len(), sample::results().subjects.len());
    let scenario = &results.scenarios[0];
    let analysis = Analysis::of(&results, scenario);
    let sample_of = analysis.sample("callbacks", &scenario.metrics[0], Place::Point(0.0));
    assert_eq!(sample_of.rounds(), 2 * sample::ROUNDS);
    let overload = results.scenario("overload").unwrap();
    let at = overload.rows.iter().filter(|row| row.point == 100_000.0);
    let tags: Vec<&String> = at.filter_map(|row| row.histogram.as_ref()).collect();
    assert_eq!(histograms["overload"].len(), tags.len());
    assert!(
        tags.iter()
            .all(|tag| histograms["overload"].contains_key(*tag))
    );
}

#[test]
fn runs_of_different_scenarios_and_subjects_complete_one_another() {
    let (mut one, mut other) = (sample::results(), another_run());
    one.scenarios.truncate(1);
    other.scenarios.drain(..1);
    one.subjects.retain(|subject| subject.kind != Kind::Bare);
    for subject in &mut one.subjects {
        subject.baseline = None;
    }
    let (results, _) = merge([(one, Default::default()), (other, Default::default())]).unwrap();
    assert_eq!(results.scenarios.len(), sample::results().scenarios.len());
    assert_eq!(results.subjects[1].baseline.as_deref(), Some("bare mio"));
}

#[test]
fn what_was_measured_differently_is_not_merged() {
    let with = |results| (results, Default::default());
    let mut other = another_run();
    other.scenarios[1].method = "in half a second".to_owned();
    let error = merge([with(sample::results()), with(other)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform-connections was measured differently: its method differs; merge runs of the same options"
    );
    let mut other = another_run();
    other.scenarios[3].figures.pop();
    let error = merge([with(sample::results()), with(other)]).unwrap_err();
    assert!(
        error.to_string().contains("its list of figures differs"),
        "{error}"
    );
    let mut other = another_run();
    other.subjects[1].kind = Kind::External;
    let error = merge([with(sample::results()), with(other)]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("callbacks is not the same subject in all of them: its kind")
    );
    assert_eq!(merge([]), Err(MergeError::Nothing));
}
