//! Results with every kind of figure, made by arithmetic: known medians, and noise from a seed.

use std::collections::BTreeMap;

use fastrand::Rng;
use hdrhistogram::Histogram;
use measure::Pinning;
use measure::environment::Environment;
use measure::plot::Histograms;
use measure::results::{
    Axis, Better, Entrant, FORMAT, Figure, Kind, Metric, Results, Row, Run, ScenarioResults,
};

/// A subject: its name, its kind, the name of its bare loop or of the subject that it is again, and its cost; the floor's is 1.
struct Subject(&'static str, Kind, Option<&'static str>, f64);

const SUBJECTS: &[Subject] = &[
    Subject("floor", Kind::Floor, None, 1.0),
    Subject("callbacks", Kind::Model, Some("bare mio"), 1.5),
    Subject("actors", Kind::Model, Some("bare actor"), 1.7),
    Subject("streams", Kind::Model, Some("bare task"), 1.505),
    Subject("blocking", Kind::Model, Some("bare thread"), 2.6),
    Subject("bare mio", Kind::Bare, None, 1.3),
    Subject("bare actor", Kind::Bare, None, 1.9),
    Subject("bare task", Kind::Bare, None, 1.6),
    Subject("bare thread", Kind::Bare, None, 2.5),
    Subject("python <asyncio> & \"co\"", Kind::External, None, 9.0),
    Subject("callbacks again", Kind::Model, Some("callbacks"), 1.5),
];

/// The reason of every scenario.
pub(crate) const REASON: &str = "A model keeps promises that a bare loop does not make.";

/// Rounds of every scenario.
pub(crate) const ROUNDS: usize = 5;

pub(crate) fn entrants() -> Vec<Entrant> {
    let entrant = |&Subject(name, kind, other, _): &Subject| {
        let again = other.filter(|_| name.ends_with("again"));
        Entrant {
            name: name.to_owned(),
            kind,
            baseline: other.filter(|_| again.is_none()).map(str::to_owned),
            again: again.map(str::to_owned),
            command: format!("quatrain serve transform --model {name} --port {{port}}"),
        }
    };
    SUBJECTS.iter().map(entrant).collect()
}

/// One run with a scenario for every kind of figure.
pub(crate) fn results() -> Results {
    Results {
        format: FORMAT,
        runs: vec![Run {
            command: "quatrain measure --full --seed 7".to_owned(),
            tool: "quatrain 0.1.0".to_owned(),
            environment: Environment::now(Some("0123abc".to_owned()), Pinning::NONE, 7),
            complete: true,
        }],
        subjects: entrants(),
        scenarios: vec![
            keep_alive(),
            connections(),
            idle(),
            overload(),
            slow_poems(),
        ],
    }
}

fn scenario(
    name: &str,
    axis: Option<Axis>,
    metrics: Vec<Metric>,
    figures: Vec<Figure>,
) -> ScenarioResults {
    ScenarioResults {
        name: name.to_owned(),
        question: format!("What does one unit of {name} cost, and whom?"),
        lesson: "A model costs what its waiting costs. What is shared by all models cannot tell them apart.".to_owned(),
        method: "64 connections in a closed loop, 600-byte poems, 1 s after 0.25 s of warm-up, in five rounds.".to_owned(),
        reason: Some(REASON.to_owned()),
        command: format!("quatrain measure --scenario {name} --seed 7"),
        axis,
        metrics,
        figures,
        rows: Vec::new(),
    }
}

fn axis(title: &str, unit: &str, logarithmic: bool) -> Option<Axis> {
    Some(Axis {
        title: title.to_owned(),
        unit: unit.to_owned(),
        logarithmic,
    })
}

fn cost_metrics() -> Vec<Metric> {
    vec![
        Metric::new("cpu_us", "CPU per request", "µs", Better::Lower),
        Metric::new("rate", "Requests", "requests/s", Better::Higher),
        Metric::new("peak", "Peak memory", "B", Better::Lower),
        Metric::new("threads", "Threads", "", Better::Neither),
    ]
}

/// Fills a scenario: for every point, `values` of a subject's cost (the floor's is 1), each with 1 % of noise.
pub(crate) fn fill(
    scenario: &mut ScenarioResults,
    points: &[f64],
    values: impl Fn(f64, f64) -> Vec<(&'static str, f64)>,
) {
    let mut rng = Rng::with_seed(scenario.name.len() as u64);
    for round in 0..ROUNDS {
        for &point in points {
            for &Subject(name, _, _, cost) in SUBJECTS {
                let noisy = |(key, value): (&str, f64)| {
                    let noise = 1.0 + 0.02 * (rng.f64() - 0.5);
                    let whole = key == "threads";
                    (key.to_owned(), if whole { value } else { value * noise })
                };
                let values: BTreeMap<String, f64> =
                    values(cost, point).into_iter().map(noisy).collect();
                scenario.rows.push(Row {
                    run: 0,
                    round,
                    subject: name.to_owned(),
                    point,
                    values,
                    histogram: None,
                    void: None,
                });
            }
        }
    }
}

/// Voids the rows of `subject` at `point` from round 2 on.
pub(crate) fn void(scenario: &mut ScenarioResults, subject: &str, point: f64, reason: &str) {
    for row in &mut scenario.rows {
        if row.subject == subject && row.point == point && row.round >= 2 {
            row.values.clear();
            row.void = Some(reason.to_owned());
        }
    }
}

/// Bars, one point.
pub(crate) fn keep_alive() -> ScenarioResults {
    let figure = Figure::bars("cpu_us");
    let mut scenario = scenario("transform-keepalive", None, cost_metrics(), vec![figure]);
    fill(&mut scenario, &[0.0], |cost, _| {
        vec![
            ("cpu_us", 2.5 * cost),
            ("rate", 400_000.0 / cost),
            ("peak", 4e6 * cost),
            ("threads", 2.0),
        ]
    });
    scenario
}

/// Lines over a logarithmic axis, with one subject void at one point.
pub(crate) fn connections() -> ScenarioResults {
    let figure = Figure::Lines {
        metric: "cpu_us".to_owned(),
        logarithmic: true,
        ideal: None,
        slope: None,
    };
    let axis = axis("Connections", "", true);
    let mut scenario = scenario("transform-connections", axis, cost_metrics(), vec![figure]);
    fill(&mut scenario, &[1.0, 64.0, 1_000.0], |cost, point| {
        let cpu = 2.5 * cost * (1.0 + 3.0 / point.sqrt());
        vec![("cpu_us", cpu), ("rate", 1e6 / cpu), ("threads", 2.0)]
    });
    let reason = "a reply of 612 bytes where 600 were right, at byte 17 <of> connection 3";
    void(&mut scenario, "python <asyncio> & \"co\"", 1_000.0, reason);
    scenario
}

/// Memory as a slope.
pub(crate) fn idle() -> ScenarioResults {
    let figure = Figure::Lines {
        metric: "memory".to_owned(),
        logarithmic: false,
        ideal: None,
        slope: Some(Metric::new(
            "slope",
            "Memory per idle connection",
            "B",
            Better::Lower,
        )),
    };
    let metrics = vec![
        Metric::new("memory", "Memory", "B", Better::Lower),
        Metric::new("kernel", "Kernel memory", "B", Better::Neither),
    ];
    let mut scenario = scenario(
        "idle",
        axis("Idle connections", "", false),
        metrics,
        vec![figure],
    );
    fill(
        &mut scenario,
        &[1_000.0, 5_000.0, 10_000.0],
        |cost, point| {
            vec![
                ("memory", 2e6 + 300.0 * cost.powi(3) * point),
                ("kernel", 4_000.0 * point),
            ]
        },
    );
    scenario
}

/// Lines, and percentiles at one point.
pub(crate) fn overload() -> ScenarioResults {
    let metrics = vec![
        Metric::new("p99", "p99 latency", "ns", Better::Lower),
        Metric::new("goodput", "Goodput", "requests/s", Better::Higher),
    ];
    let axis = axis("Offered rate", "requests/s", false);
    let mut scenario = scenario(
        "overload",
        axis,
        metrics,
        vec![
            Figure::Lines {
                metric: "p99".to_owned(),
                logarithmic: true,
                ideal: None,
                slope: None,
            },
            Figure::Percentiles { at: 100_000 },
        ],
    );
    fill(
        &mut scenario,
        &[50_000.0, 100_000.0, 200_000.0],
        |cost, point| {
            let load = (point / 250_000.0 * cost).min(0.98);
            let goodput = point.min(200_000.0 / cost);
            vec![
                ("p99", 40_000.0 * cost / (1.0 - load)),
                ("goodput", goodput),
            ]
        },
    );
    for row in &mut scenario.rows {
        row.histogram = Some(format!("{}/{}/{}", row.subject, row.point, row.round));
    }
    scenario
}

/// Lines with an ideal.
pub(crate) fn slow_poems() -> ScenarioResults {
    let figure = Figure::Lines {
        metric: "to_ideal".to_owned(),
        logarithmic: false,
        ideal: Some(1),
        slope: None,
    };
    let metrics = vec![
        Metric::new("to_ideal", "Elapsed over ideal", "", Better::Lower),
        Metric::new("cpu", "CPU", "s", Better::Lower),
    ];
    let mut scenario = scenario(
        "slow-poems",
        axis("Poems at once", "", true),
        metrics,
        vec![figure],
    );
    fill(
        &mut scenario,
        &[1.0, 100.0, 1_000.0, 10_000.0],
        |cost, point| {
            vec![
                ("to_ideal", 1.02 + 0.1 * cost * point / 10_000.0),
                ("cpu", cost * point / 10_000.0),
            ]
        },
    );
    scenario
}

/// The histograms of [`overload`], by scenario and tag: a log-normal body and a tail that grows with the cost.
pub(crate) fn histograms() -> BTreeMap<String, Histograms> {
    let mut rng = Rng::with_seed(11);
    let mut by_tag = Histograms::new();
    for row in overload().rows.iter().filter(|row| row.point == 100_000.0) {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        let p99 = row.values["p99"];
        for _ in 0..5_000 {
            let body = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            let latency = p99 * (0.5 * (body - 2.326)).exp();
            histogram.saturating_record(latency as u64);
        }
        by_tag.insert(row.histogram.clone().unwrap(), histogram);
    }
    [("overload".to_owned(), by_tag)].into()
}
