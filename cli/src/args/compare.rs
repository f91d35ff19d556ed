//! The options of `quatrain compare`.

use clap::Args;
use poetry::Model;

use super::values;

const EXAMPLES: &str = "\
Examples:
  quatrain compare                               all models, in about 20 s
  quatrain compare --models callbacks,blocking   two of them

For each model it starts three slow poem servers and a transform server, each a process of its own on a free port of this \
machine. It fetches the poems all at once and has each transformed, then loads a transform server for a moment. It \
verifies every byte, and the counts of both sides must agree.
Exit status: 0 all was right, 1 a model did something wrong, which is reported, 2 it could not start, 130 interrupted.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// The models to compare, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    chosen: Vec<&'static dyn Model>,
}

impl CompareArgs {
    /// Returns the chosen models, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.chosen)
    }
}
