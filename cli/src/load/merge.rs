//! `quatrain load merge`: the latencies of several loads as those of one.

use std::time::Duration;

use hdrhistogram::Histogram;
use measure::analysis::words::number;
use measure::bundle::{Interval, intervals};
use measure::report::Table;
use serde::Serialize;

use crate::args::LoadMergeArgs;
use crate::failure::{Ended, Failure, Status, without_number};
use crate::line_writer::LineWriter;
use crate::words::{counted, shown};
use crate::{output, table_layout};

use super::histogram_file::HistogramFile;
use super::json::Latencies;
use super::text::{COLUMNS, row, seconds};

/// The significant digits of merged latencies, as of those of a load.
const DIGITS: u8 = 3;

/// All latencies of one request.
struct Merged {
    request: String,
    latency: Histogram<u64>,
    /// The rates of the loads, added; none if a log does not say how long its load lasted.
    rate: Option<f64>,
    /// The shortest and the longest load.
    lengths: (Duration, Duration),
}

/// Reads the logs, and prints them as one.
pub(crate) fn run(args: &LoadMergeArgs, stderr: &LineWriter) -> Ended {
    let mut merged = Vec::new();
    for path in &args.logs {
        let read = intervals(path).map_err(|error| {
            Failure::new(format_args!(
                "cannot merge {}: {}; name files that `quatrain load --histogram` wrote",
                shown(path),
                without_number(&error.problem)
            ))
        })?;
        if read.is_empty() {
            return Err(Failure::new(format_args!(
                "cannot merge {}: it has no latencies; name files that `quatrain load --histogram` wrote",
                shown(path)
            )));
        }
        for interval in read {
            add(&mut merged, interval);
        }
    }
    if let Some(path) = &args.histogram {
        let mut file = HistogramFile::create(path)?;
        for Merged {
            request,
            latency,
            lengths,
            ..
        } in &merged
        {
            file.append(request, lengths.1, latency)?;
        }
    }
    let text = match args.json {
        true => json(args.logs.len(), &merged),
        false => text(args.logs.len(), &merged),
    };
    Ok(output::last_text(&text, Status::Success, stderr))
}

/// Adds the latencies of a load to those of the same request.
fn add(merged: &mut Vec<Merged>, interval: Interval) {
    let Interval {
        tag,
        length,
        histogram,
    } = interval;
    let rate = (!length.is_zero()).then(|| histogram.len() as f64 / length.as_secs_f64());
    match merged.iter_mut().find(|merged| merged.request == tag) {
        Some(of_request) => {
            of_request.latency += &histogram;
            of_request.rate = of_request.rate.zip(rate).map(|(one, other)| one + other);
            let (shortest, longest) = of_request.lengths;
            of_request.lengths = (shortest.min(length), longest.max(length));
        }
        None => {
            // Grows to any latency.
            let mut latency = Histogram::new(DIGITS).expect("a number of digits that is allowed");
            latency += &histogram;
            merged.push(Merged {
                request: tag,
                latency,
                rate,
                lengths: (length, length),
            });
        }
    }
}

fn text(logs: usize, merged: &[Merged]) -> String {
    let mut table = Table::new(&COLUMNS);
    let rows = merged
        .iter()
        .map(|merged| row(&merged.request, &merged.latency));
    table.rows = rows.collect();
    for Merged {
        request,
        rate,
        lengths: (shortest, longest),
        ..
    } in merged
    {
        let rate = match rate {
            Some(rate) => format!("{} per second", number(*rate)),
            None => "no rate, since a log does not say how long its load lasted".to_owned(),
        };
        let lengths = match shortest == longest {
            true => String::new(),
            false => format!(
                "; the loads lasted {} to {}",
                seconds(*shortest),
                seconds(*longest)
            ),
        };
        table.notes.push(format!("{request}: {rate}{lengths}."));
    }
    let loads = counted(logs as u64, "load");
    format!("{loads} as one\n\n{}", table_layout::for_stdout(&table))
}

#[derive(Serialize)]
struct Object<'m> {
    logs: usize,
    requests: Vec<Request<'m>>,
}

#[derive(Serialize)]
struct Request<'m> {
    request: &'m str,
    replies: u64,
    replies_per_second: Option<f64>,
    latency_us: Latencies,
}

fn json(logs: usize, merged: &[Merged]) -> String {
    let requests = merged.iter().map(|merged| Request {
        request: &merged.request,
        replies: merged.latency.len(),
        replies_per_second: merged.rate,
        latency_us: Latencies::of(&merged.latency),
    });
    output::json_line(&Object {
        logs,
        requests: requests.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(tag: &str, seconds: u64, latencies: &[u64]) -> Interval {
        let mut histogram = Histogram::new(DIGITS).unwrap();
        for latency in latencies {
            histogram.record(*latency).unwrap();
        }
        Interval {
            tag: tag.to_owned(),
            length: Duration::from_secs(seconds),
            histogram,
        }
    }

    #[test]
    fn percentiles_are_those_of_all_requests_and_rates_are_added() {
        let mut merged = Vec::new();
        // One load has 99 quick replies, the other a slow one: the median is quick, which no average of medians would be.
        add(&mut merged, interval("shout", 1, &[1_000; 99]));
        add(&mut merged, interval("shout", 2, &[1_000_000]));
        add(&mut merged, interval("burn", 2, &[7_000]));
        let [shout, burn] = &merged[..] else {
            panic!("two requests")
        };
        assert_eq!(shout.latency.len(), 100);
        assert!(shout.latency.value_at_quantile(0.99) < 1_010);
        assert!(shout.latency.max() >= 1_000_000);
        assert_eq!(shout.rate, Some(99.5));
        assert_eq!(burn.rate, Some(0.5));
        let text = text(2, &merged);
        assert!(
            text.contains("shout: 99.5 per second; the loads lasted 1.000 s to 2.000 s."),
            "{text}"
        );
    }

    #[test]
    fn a_load_of_unknown_length_leaves_no_rate() {
        let mut merged = Vec::new();
        add(&mut merged, interval("shout", 1, &[1_000]));
        add(&mut merged, interval("shout", 0, &[1_000]));
        assert_eq!(merged[0].rate, None);
    }
}
