//! The folder of a run: a new one, or the one to go on with.

use std::path::{Path, PathBuf};

use measure::bundle::{self, Bundle, RESULTS};
use measure::results::Results;

use crate::args::MeasureArgs;
use crate::failure::Failure;

/// The folder by default; later runs get a number behind it.
const DEFAULT: &str = "quatrain-report";

/// Returns the folder for the results, and those that it holds if the run goes on with them.
pub(super) fn take(args: &MeasureArgs) -> Result<(PathBuf, Bundle, Option<Results>), Failure> {
    if args.resume {
        return resume(args.out.clone());
    }
    let folder = args.out.clone().unwrap_or_else(next_free);
    let bundle = Bundle::create(&folder).map_err(|error| {
        let advice = match holds_results(&folder) {
            true => "go on with it by --resume, or name another folder",
            false => "name a folder that can be written by --out",
        };
        Failure::new(format_args!("cannot measure into {error}; {advice}"))
    })?;
    Ok((folder, bundle, None))
}

fn resume(out: Option<PathBuf>) -> Result<(PathBuf, Bundle, Option<Results>), Failure> {
    let folder = match out.or_else(newest) {
        Some(folder) => folder,
        None => {
            let message =
                format!("nothing to resume: there is no {DEFAULT}; name the folder by --out");
            return Err(Failure::new(message));
        }
    };
    let results = bundle::read_results(&folder.join(RESULTS))
        .map_err(|error| Failure::new(format_args!("cannot resume: {error}")))?;
    Ok((folder.clone(), Bundle::open(&folder), Some(results)))
}

fn holds_results(folder: &Path) -> bool {
    folder.join(RESULTS).exists()
}

/// Returns the default folders in order: without a number, then 2, 3 and so on.
fn numbered() -> impl Iterator<Item = PathBuf> {
    let later = (2..).map(|number: u64| PathBuf::from(format!("{DEFAULT}-{number}")));
    [PathBuf::from(DEFAULT)].into_iter().chain(later)
}

fn next_free() -> PathBuf {
    let mut free = numbered().filter(|folder| !holds_results(folder));
    free.next().unwrap_or_else(|| DEFAULT.into())
}

/// Returns the last default folder that holds results, before the first that does not.
fn newest() -> Option<PathBuf> {
    numbered().take_while(|folder| holds_results(folder)).last()
}
