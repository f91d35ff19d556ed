//! The options of `quatrain report`.

use std::path::PathBuf;

use clap::Args;

const DETAILS: &str = "\
Examples:
  quatrain report quatrain-report                    # tables here, and quatrain-report/report.html
  quatrain report monday tuesday --out both          # two runs as one
  quatrain report quatrain-report --svg idle > idle.svg
  quatrain report quatrain-report --svg mixed:2      # its percentiles
  quatrain report quatrain-report --markdown idle
  quatrain report quatrain-report --all-columns      # every metric at every point
  quatrain report now --baseline before              # which differences are real

A folder is what 'quatrain measure' writes. The page needs no network and no scripts.
Exit status: 0 success, 1 it could not be written, 2 results could not be read or merged.";

#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct ReportArgs {
    /// Folders with results; several are merged
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,

    /// The new folder for merged results and their page
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Print the plot of this scenario as SVG, and nothing else; its N-th one by SCENARIO:N
    #[arg(long, value_name = "SCENARIO[:N]", conflicts_with_all = ["out", "markdown", "baseline"])]
    pub(crate) svg: Option<String>,

    /// Print the table of this scenario in Markdown, and nothing else
    #[arg(long, value_name = "SCENARIO", conflicts_with_all = ["out", "baseline"])]
    pub(crate) markdown: Option<String>,

    /// Tables with every metric at every point, also those that the first table leaves out
    #[arg(long, conflicts_with_all = ["svg", "baseline"])]
    pub(crate) all_columns: bool,

    /// Print which differences from the results in this folder are real, and nothing else
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub(crate) baseline: Option<PathBuf>,
}
