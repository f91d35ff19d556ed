//! The options of `quatrain compare`.

use clap::Args;
use poetry::Model;

use super::values;

const EXAMPLES: &str = "\
Examples:
  quatrain compare                               all models, in about 20 s
  quatrain compare --models callbacks,blocking   two of them

For each model it starts, on free ports of this machine, three slow poem servers and a transform server, each a process \
of its own; fetches the poems all at once and has each transformed; then loads a transform server for a moment. Every \
byte is verified, and the counts of both sides must agree: otherwise it says what is wrong, and the status is 1.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// The models to compare, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    asked: Vec<&'static dyn Model>,
}

impl CompareArgs {
    /// The models asked for, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.asked)
    }
}
