//! The machine a figure comes from, in a few words (MEASURING 9). What it does not tell is left out.

use std::fs;
use std::thread;

/// Such as `2 cores of Some Processor, linux 6.1`.
pub(super) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cores = match cores {
        0 => "an unknown number of cores".to_owned(),
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let of = processor()
        .map(|name| format!(" of {name}"))
        .unwrap_or_default();
    let version = kernel()
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    format!("{cores}{of}, {}{version}", std::env::consts::OS)
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn kernel() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim().to_owned())
}
