//! The options of `quatrain check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use conformance::Role;

use super::values::Address;

const DETAILS: &str = "\
Examples:
  quatrain check transform -- ./my_server --port {port} {mode}
  quatrain check library --smoke -- quatrain serve {mode} --model actors
  quatrain check proxy -- quatrain serve {mode} {limits} {threads} {stats} {grace}
  quatrain check transform 10100 --keep-alive
  quatrain check poem 10001 --poem poems/lantern.txt
  quatrain check transform --list

CMD is started for each case, without a shell. These words in it are replaced, and a case that needs a missing one \
is skipped:
  {port}     a free port of 127.0.0.1; without it the command takes one itself and first prints
             'Serving … on HOST:PORT with …'
  {mode}     what to serve:
               poem FILE (--fast | --num-bytes N --delay S)
               transform [--keep-alive] [--lab]
               library DIR [--keep-alive], which reads DIR again on SIGHUP
               proxy HOST:PORT [--cache-ttl S]
  {poem}     FILE, for a poem server without {mode}
  {limits}   the limits that a case needs: --idle-timeout S and so on, as 'quatrain serve' has them
  {threads}  --threads N
  {stats}    --stats FILE: on SIGUSR1 and at its end the command appends its counts, a line of JSON
  {grace}    --grace S: on SIGTERM the command stops
A server at ADDR is not started: options say what it serves, and cases that need another are skipped.

With --json each case is a line with \"case\", \"role\", \"rules\", \"verdict\" (passed, skipped or failed),
\"why\" and \"seconds\"; the last line has \"passed\", \"skipped\", \"failed\", \"rules_tested\",
\"rules_violated\", \"seed\" and \"seconds\". The rules are those of SEMANTICS.md.
Exit status: 0 no case failed, 1 one did, 2 it could not start or no case applies, 130 interrupted.";

/// The programs that a command or a server can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// Serves one poem
    Poem,
    /// Answers transform requests
    Transform,
    /// Serves poems by name
    Library,
    /// Serves the cached poem of another server
    Proxy,
}

impl Program {
    /// Returns its name in sentences.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poem => "poem server",
            Self::Transform => "transform server",
            Self::Library => "library server",
            Self::Proxy => "proxy",
        }
    }

    /// Returns the role of its cases.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Poem => Role::PoemServer,
            Self::Transform => Role::TransformServer,
            Self::Library => Role::LibraryServer,
            Self::Proxy => Role::Proxy,
        }
    }
}

#[derive(Args)]
#[command(after_help = DETAILS)]
#[command(
    override_usage = "quatrain check [OPTIONS] <ROLE> <ADDR>\n       quatrain check [OPTIONS] <ROLE> -- <CMD>..."
)]
pub(crate) struct CheckArgs {
    /// What the server is: poem, transform, library or proxy
    #[arg(value_enum, value_name = "ROLE", hide_possible_values = true)]
    pub(crate) program: Program,

    #[arg(value_name = "ADDR", help = "A server that runs already, [host:]port")]
    #[arg(conflicts_with = "command")]
    pub(crate) address: Option<Address>,

    /// The command that starts a server, and its arguments
    #[arg(last = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,

    /// Only the few cases that catch a server that is plainly wrong, in about a second
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Only cases whose name contains this; repeat it for more
    #[arg(long = "case", value_name = "TEXT")]
    pub(crate) filters: Vec<String>,

    /// List the cases with their rules and what they need, and run none
    #[arg(long)]
    pub(crate) list: bool,

    /// The poem that the server at ADDR serves (poem, proxy)
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) poem: Option<PathBuf>,

    /// The directory that the server at ADDR serves (library)
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) library: Option<PathBuf>,

    /// The server at ADDR answers any number of requests on a connection (transform, library)
    #[arg(long, conflicts_with = "command")]
    pub(crate) keep_alive: bool,

    /// Seed for what is random in cases: replays the cuts of a failed run
    #[arg(long, value_name = "N", default_value_t = 22)]
    pub(crate) seed: u64,

    /// Print lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
}
