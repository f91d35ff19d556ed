//! The options of `quatrain show`.

use std::path::PathBuf;

use clap::Args;
use poetry::Model;

use super::values;

const DETAILS: &str = "\
Examples:
  quatrain show                                   a sheet in quatrain-show.html, for a browser
  quatrain show --open                            and open it
  quatrain show --models callbacks,blocking       two of them

The sheet shows real runs, made for it: three slow poems fetched at once by each model, and one after another; and a transform \
server of each model with one client whose requests compute for long, without and with --offload.
Exit status: 0 success, 1 a run failed or the sheet could not be written, 2 it could not start.";

#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct ShowArgs {
    /// The models to show, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    chosen: Vec<&'static dyn Model>,

    /// Where to write the sheet
    #[arg(short, long, value_name = "FILE", default_value = "quatrain-show.html")]
    pub(crate) out: PathBuf,

    /// Open the sheet with the program that the system has for it
    #[arg(long)]
    pub(crate) open: bool,
}

impl ShowArgs {
    /// Returns the chosen models, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.chosen)
    }
}
