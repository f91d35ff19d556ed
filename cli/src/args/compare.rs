//! The options of `quatrain compare`.

use clap::Args;
use poetry::Model;

use super::values::{self, count};

const EXAMPLES: &str = "\
Examples:
  quatrain compare                               all models, in about 30 s
  quatrain compare --models callbacks,blocking   two of them
  quatrain compare --rounds 12                   for smaller differences

For each model it starts three slow poem servers and a transform server, each a process of its own on a free port of this \
machine. It fetches the poems all at once and has each transformed. Then it loads a transform server of each model for a moment, \
in several rounds and each time in another order; the first model takes part twice, which shows the noise. It verifies every byte, \
the counts of both sides must agree, and what the rounds do not separate is too close to call.
Exit status: 0 all was right, 1 a model did something wrong, which is reported, 2 it could not start, 130 interrupted.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// The models to compare, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    chosen: Vec<&'static dyn Model>,

    /// How often each model is loaded; fewer than 3 call no difference
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(ROUNDS_MAX))]
    pub(crate) rounds: usize,

    /// Seed for the order of the rounds [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// More rounds than a user waits for: an hour of them.
const ROUNDS_MAX: usize = 1_000;

impl CompareArgs {
    /// Returns the chosen models, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.chosen)
    }
}
