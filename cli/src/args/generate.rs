//! The options of `quatrain generate`.

use std::path::PathBuf;

use clap::Args;

const DETAILS: &str = "\
Examples:
  quatrain generate ~/.local/share   for one user: manual pages, and <TAB> in bash and fish
  quatrain generate /usr/local/share   for all users, zsh included

Written are man/man1/quatrain.1 with a page for each subcommand, bash-completion/completions/quatrain, \
zsh/site-functions/_quatrain and fish/vendor_completions.d/quatrain.fish: where Linux systems look for them below these folders. \
Files of an earlier run are replaced.
Exit status: 0 success, 1 a file could not be written, 2 wrong usage.";

#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct GenerateArgs {
    /// The folder to write them below; it is created if it is missing
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
