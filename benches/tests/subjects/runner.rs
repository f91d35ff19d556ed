//! The runner and the bundle that it writes, with a scenario that takes no time.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hdrhistogram::Histogram;
use measure::analysis::{Analysis, Place};
use measure::bundle::{self, Bundle};
use measure::pinning::Pinning;
use measure::results::{Axis, Better, Figure, Kind, Metric, Results};
use measure::runner::{self, Caller, Options, Progress};
use measure::scenario::{About, Extent, Reading, Setting};
use measure::subject::Role;
use measure::{Scenario, Subject};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "runner::every_round_has_every_entrant_at_every_point",
        every_round,
    ),
    ("runner::the_order_is_shuffled_by_its_seed", shuffled),
    ("runner::a_void_row_has_its_reason_and_no_values", void_rows),
    (
        "runner::a_subject_that_fails_its_verification_is_not_measured",
        not_verified,
    ),
    (
        "runner::an_interrupted_run_resumes_to_the_same_rows",
        resumes,
    ),
    (
        "runner::a_run_of_other_subjects_is_not_resumed",
        other_subjects,
    ),
    (
        "runner::there_is_nothing_to_measure_without_a_subject",
        no_subject,
    ),
    ("bundle::what_was_kept_is_read_again", read_again),
    (
        "bundle::the_results_of_another_run_are_never_overwritten",
        not_overwritten,
    ),
    ("bundle::unreadable_results_say_what_is_wrong", unreadable),
];

/// Measures the length of the subject's name, and fails for the one called `wrong`.
struct Length {
    /// The subjects in the order they were measured.
    measured: Rc<RefCell<Vec<String>>>,
}

impl Scenario for Length {
    fn about(&self, _: Extent) -> About {
        About {
            name: "length",
            question: "How long is the name?",
            lesson: "Names differ.",
            method: "Counted.".to_owned(),
            reason: None,
            axis: Some(Axis::linear("factor", "")),
            quick: true,
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Transform)
    }

    fn points(&self, _: Extent) -> Vec<f64> {
        vec![1.0, 2.0]
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::new("length", "length", "", Better::Lower)]
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::bars("length")]
    }

    fn seconds(&self, _: f64, _: Extent) -> f64 {
        1.0
    }

    fn measure(&self, subject: &Subject, point: f64, _: &Setting) -> Result<Reading, String> {
        self.measured.borrow_mut().push(subject.name.clone());
        if subject.name == "wrong" {
            return Err("a wrong byte, \"x\"".to_owned());
        }
        let length = subject.name.len() as f64 * point;
        let mut reading = Reading::default();
        reading.add("length", Some(length));
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record(length as u64).unwrap();
        reading.histogram = Some(histogram);
        Ok(reading)
    }
}

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("quatrain-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _none = std::fs::remove_dir_all(&self.0);
    }
}

/// A caller that accepts all subjects but `liar`, and interrupts after a number of rows.
struct Listener<'f> {
    bundle: Bundle,
    folder: &'f Path,
    interrupt_after: usize,
    kept: usize,
    progress: Vec<String>,
}

impl<'f> Listener<'f> {
    fn new(bundle: Bundle, folder: &'f Folder) -> Self {
        Self {
            bundle,
            folder: &folder.0,
            interrupt_after: usize::MAX,
            kept: 0,
            progress: Vec::new(),
        }
    }
}

impl Caller for Listener<'_> {
    fn verify(&mut self, subject: &Subject, _: Role) -> Result<(), String> {
        match subject.name.as_str() {
            "liar" => Err("it lies".to_owned()),
            _ => Ok(()),
        }
    }

    fn keep(
        &mut self,
        results: &Results,
        scenario: usize,
        histogram: Option<&Histogram<u64>>,
    ) -> io::Result<()> {
        let kept = self.bundle.keep(results, scenario, histogram);
        kept.map_err(io::Error::other)?;
        // Whatever is kept is whole at every moment.
        let (read, _) = bundle::read(self.folder).map_err(io::Error::other)?;
        assert_eq!(&read, results);
        self.kept += 1;
        Ok(())
    }

    fn show(&mut self, progress: &Progress<'_>) {
        self.progress.push(match progress {
            Progress::Verifying(subject, role) => {
                format!("verify {} {}", subject.name, role.name())
            }
            Progress::Measuring { subject, of, .. } => format!("{subject} {}/{}", of.0, of.1),
            Progress::Void { row, .. } => format!("void {}", row.subject),
        });
    }

    fn is_interrupted(&self) -> bool {
        self.kept >= self.interrupt_after
    }
}

fn subject(name: &str, kind: Kind) -> Subject {
    Subject {
        kind,
        ..Subject::external(name, "serve {mode}").unwrap()
    }
}

type Order = Rc<RefCell<Vec<String>>>;

fn options(names: &[&str], seed: u64) -> (Options, Order) {
    let order = Order::default();
    let length = Length {
        measured: Rc::clone(&order),
    };
    let kind = |name: &&str| match *name {
        "floor" => Kind::Floor,
        _ => Kind::Model,
    };
    let options = Options {
        subjects: names.iter().map(|name| subject(name, kind(name))).collect(),
        scenarios: vec![(
            Box::new(length),
            "quatrain measure --scenario length".to_owned(),
        )],
        rounds: 3,
        setting: Setting::new(Extent::Quick, Pinning::NONE, 1, seed).unwrap(),
        commit: Some("abc".to_owned()),
        command: "quatrain measure".to_owned(),
        tool: "quatrain 0".to_owned(),
    };
    (options, order)
}

fn run(names: &[&str], seed: u64) -> (Results, Vec<String>, Vec<String>) {
    let folder = Folder::new(&format!("run-{}", fastrand::u64(..)));
    let (options, order) = options(names, seed);
    let mut listener = Listener::new(Bundle::create(&folder.0).unwrap(), &folder);
    let results = runner::run(&options, None, &mut listener).unwrap();
    let order = order.borrow().clone();
    (results, order, listener.progress)
}

fn every_round() {
    let (results, ..) = run(&["floor", "actors", "streams"], 1);
    let names: Vec<&str> = results.subjects.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["floor", "actors", "streams", "actors again"]);
    assert_eq!(results.subjects[3].again.as_deref(), Some("actors"));
    let scenario = &results.scenarios[0];
    assert_eq!(scenario.rows.len(), 3 * 4 * 2);
    for name in names {
        for point in [1.0, 2.0] {
            let rounds: Vec<usize> = scenario.rows_of(name, point).map(|row| row.round).collect();
            assert_eq!(rounds, [0, 1, 2]);
        }
    }
    assert!(results.runs[0].complete);
}

fn shuffled() {
    let order = |seed| run(&["a", "b", "c"], seed).1;
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

fn void_rows() {
    let (results, _, progress) = run(&["right", "wrong"], 1);
    let scenario = &results.scenarios[0];
    assert_eq!(scenario.void("wrong", 1.0), Some("a wrong byte, \"x\""));
    let values = |name, point| {
        let analysis = Analysis::of(&results, scenario);
        let sample = analysis.sample(name, &scenario.metrics[0], Place::Point(point));
        sample.values()
    };
    assert!(values("wrong", 1.0).is_empty());
    assert_eq!(values("right", 2.0), [10.0; 3]);
    assert_eq!(
        progress.iter().filter(|line| *line == "void wrong").count(),
        6
    );
}

fn not_verified() {
    let (results, measured, progress) = run(&["honest", "liar"], 1);
    assert_eq!(results.scenarios[0].void("liar", 2.0), Some("it lies"));
    assert!(!measured.contains(&"liar".to_owned()));
    let verified = progress.iter().filter(|line| line.starts_with("verify"));
    assert_eq!(verified.count(), 2, "each once");
}

fn keys(results: &Results) -> Vec<(usize, String, String)> {
    let rows = results.scenarios[0].rows.iter();
    rows.map(|row| (row.round, row.subject.clone(), row.point.to_string()))
        .collect()
}

fn resumes() {
    let names = ["floor", "actors", "wrong"];
    let whole = run(&names, 5).0;
    for rows in [1, 7, 20] {
        let folder = Folder::new(&format!("resume-{rows}"));
        let (options, _) = options(&names, 5);
        let mut listener = Listener::new(Bundle::create(&folder.0).unwrap(), &folder);
        listener.interrupt_after = rows;
        let cut = runner::run(&options, None, &mut listener).unwrap();
        assert!(!cut.runs[0].complete);
        assert_eq!(cut.scenarios[0].rows.len(), rows);

        let (kept, _) = bundle::read(&folder.0).unwrap();
        assert_eq!(kept, cut);
        let mut listener = Listener::new(Bundle::open(&folder.0), &folder);
        let resumed = runner::run(&options, Some(kept), &mut listener).unwrap();
        assert!(resumed.runs[0].complete);
        assert_eq!(keys(&resumed), keys(&whole));
        let first = listener
            .progress
            .iter()
            .find(|line| line.contains('/'))
            .unwrap();
        assert!(first.ends_with(&format!(" {rows}/24")), "{first}");
    }
}

fn other_subjects() {
    let kept = run(&["floor", "actors"], 5).0;
    let folder = Folder::new("others");
    let (options, _) = options(&["floor", "streams"], 5);
    let mut listener = Listener::new(Bundle::create(&folder.0).unwrap(), &folder);
    let mut merged = kept.clone();
    merged.runs.extend(kept.runs.clone());
    let error = runner::run(&options, Some(kept), &mut listener).unwrap_err();
    let expected =
        "the run to resume is of other subjects: floor, actors, actors again; repeat its options";
    assert_eq!(error.to_string(), expected);
    let error = runner::run(&options, Some(merged), &mut listener).unwrap_err();
    assert!(error.to_string().contains("merged of 2 runs"), "{error}");
}

fn no_subject() {
    let folder = Folder::new("nothing");
    let (options, _) = options(&[], 5);
    let mut listener = Listener::new(Bundle::create(&folder.0).unwrap(), &folder);
    let error = runner::run(&options, None, &mut listener).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

fn read_again() {
    let folder = Folder::new("again");
    let (options, _) = options(&["actors", "wrong"], 5);
    let mut listener = Listener::new(Bundle::create(&folder.0).unwrap(), &folder);
    let results = runner::run(&options, None, &mut listener).unwrap();
    let (read, histograms) = bundle::read(&folder.0).unwrap();
    assert_eq!(read, results);
    let tags: BTreeSet<&str> = histograms["length"].keys().map(String::as_str).collect();
    let rows = results.scenarios[0].rows.iter();
    let expected: BTreeSet<&str> = rows.filter_map(|row| row.histogram.as_deref()).collect();
    assert_eq!(tags, expected);
    assert_eq!(histograms["length"]["actors.2.0"].max(), 12);

    let csv = std::fs::read_to_string(folder.0.join("rows/length.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("run,round,subject,point,length,histogram,void")
    );
    assert_eq!(lines.clone().count(), results.scenarios[0].rows.len());
    assert!(
        lines.any(|line| line.ends_with(r#",,,"a wrong byte, ""x""""#)),
        "{csv}"
    );
    let environment = std::fs::read_to_string(folder.0.join("environment.txt")).unwrap();
    assert!(environment.starts_with("quatrain measure\n") && environment.contains("seed 5"));
}

fn not_overwritten() {
    let folder = Folder::new("twice");
    let (options, _) = options(&["actors"], 5);
    let mut listener = Listener::new(Bundle::create(&folder.0).unwrap(), &folder);
    // A folder without results is free.
    Bundle::create(&folder.0).unwrap();
    runner::run(&options, None, &mut listener).unwrap();
    let error = Bundle::create(&folder.0).unwrap_err().to_string();
    assert!(
        error.ends_with("results.json: it holds the results of another run"),
        "{error}"
    );
}

fn unreadable() {
    let folder = Folder::new("unreadable");
    let file = folder.0.join(bundle::RESULTS);
    let error = || bundle::read(&folder.0).unwrap_err().to_string();
    assert!(error().contains("there is no such file"), "{}", error());
    std::fs::create_dir(&folder.0).unwrap();
    for (text, problem) in [
        ("{", "it is empty or cut in its first line"),
        ("{\"format\": 99}", "its format is 99"),
        ("{\"format\": 1}", "missing field `runs`"),
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(error().contains(problem), "{}", error());
    }
}
