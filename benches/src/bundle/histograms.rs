//! Histograms in HdrHistogram's log format, which its tools in all languages read: one interval for each row, with its tag.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use super::BundleError;

/// The lines that begin a log.
const HEADER: &str = "#[Latencies in nanoseconds; the tag of each interval is that of its row]
#[Histogram log format version 1.3]
\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"
";

/// A histogram of a log.
#[derive(Debug, Clone)]
pub struct Interval {
    /// What it is of.
    pub tag: String,
    /// The time in which its latencies were recorded; zero if the log does not say.
    pub length: Duration,
    /// Latencies in nanoseconds.
    pub histogram: Histogram<u64>,
}

/// Appends `histogram`, recorded in the last `length`, to the log in `file`, which is begun if there is none or it is empty.
///
/// # Errors
/// The file cannot be written.
pub fn append(
    file: &Path,
    tag: &str,
    length: Duration,
    histogram: &Histogram<u64>,
) -> Result<(), BundleError> {
    let problem = |problem: &dyn ToString| BundleError::new(file, problem.to_string());
    let is_new = fs::metadata(file).map_or(true, |file| file.len() == 0);
    let mut line = match is_new {
        true => HEADER.as_bytes().to_vec(),
        false => Vec::new(),
    };
    let mut serializer = V2DeflateSerializer::new();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    IntervalLogWriterBuilder::new()
        .begin_log_with(&mut line, &mut serializer)
        .map_err(|error| problem(&error))?
        .write_histogram(histogram, now.saturating_sub(length), length, Tag::new(tag))
        .map_err(|error| problem(&error))?;
    let append = || -> io::Result<()> {
        let mut log = OpenOptions::new().create(true).append(true).open(file)?;
        log.write_all(&line)
    };
    append().map_err(|error| problem(&error))
}

/// Reads all histograms in `file`, by their tags. Of several with the same tag, which an interrupt may leave, the last counts.
pub(super) fn read(file: &Path) -> Result<BTreeMap<String, Histogram<u64>>, BundleError> {
    let intervals = intervals(file)?.into_iter();
    Ok(intervals
        .map(|interval| (interval.tag, interval.histogram))
        .collect())
}

/// Reads all histograms in `file` that have a tag, in order.
///
/// # Errors
/// The file cannot be read, or is not a log of histograms.
pub fn intervals(file: &Path) -> Result<Vec<Interval>, BundleError> {
    let problem = |problem: &dyn ToString| BundleError::new(file, problem.to_string());
    let log = fs::read(file).map_err(|error| problem(&error))?;
    let mut intervals = Vec::new();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(&log) {
        let entry = entry.map_err(|_| problem(&"it is not a log of histograms, or is cut"))?;
        let LogEntry::Interval(interval) = entry else {
            continue;
        };
        let Some(tag) = interval.tag() else { continue };
        let bytes = BASE64_STANDARD
            .decode(interval.encoded_histogram())
            .map_err(|error| problem(&error))?;
        let histogram = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| problem(&format!("{error:?}")))?;
        intervals.push(Interval {
            tag: tag.as_str().to_owned(),
            length: interval.duration(),
            histogram,
        });
    }
    Ok(intervals)
}
