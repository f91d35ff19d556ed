//! `quatrain serve --config FILE` and `quatrain config`: files of services, whose keys are the options of `quatrain serve`.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Parser, Subcommand};

use super::serve::{METRICS, ServeCommand};
use super::values::Address;

/// Options of a server that are not keys of a service: `listen` replaces the first two, and the others concern the process.
pub(crate) const NOT_KEYS: &[&str] = &["iface", "port", "stats", "metrics", "observe", "record"];

const DETAILS: &str = "\
Examples:
  quatrain config check services.toml     validates it and prints what would run
  quatrain serve --config services.toml   runs it

packaging/quatrain.toml in the source is an example with every key and its default. The keys of a service are the options of \
`quatrain serve` without their dashes; paths are relative to the file.
Exit status: 0 the file can be served, 2 it cannot; every flaw has its line and column.";

const SERVICES: &str = "\
With --config, one process runs any number of services, each with its model and limits. They start in the order of the file and \
stop in reverse; each has its own grace. SIGHUP reads the file again, SIGUSR1 writes the counts of each. See \
`quatrain config check --help`.";

#[derive(Args)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true, after_help = SERVICES)]
pub(crate) struct ServeArgs {
    /// Run the services of this TOML file instead of one server
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,

    /// Append the counts of every service to this file on SIGUSR1 and at exit, as lines of JSON [default: stderr]
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,

    #[arg(long, value_name = "[HOST:]PORT", value_parser = Address::to_listen, help = METRICS)]
    pub(crate) metrics: Option<Address>,

    #[command(subcommand)]
    pub(crate) command: Option<ServeCommand>,
}

#[derive(Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate a file of services, and print what would run
    #[command(after_help = DETAILS)]
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// The options of one service, as in a command line.
#[derive(Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
struct ServiceArgs {
    #[command(subcommand)]
    command: ServeCommand,
}

/// Parses the options of a service. The first of `arguments` is its role.
pub(crate) fn service<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<ServeCommand, clap::Error> {
    ServiceArgs::try_parse_from(arguments).map(|args| args.command)
}

/// Returns the definitions of the roles: subcommands, whose arguments are the keys.
pub(crate) fn roles() -> Command {
    ServiceArgs::command()
}

/// Returns the value of every option of a service that has one, also by default, by its identifier.
pub(crate) fn effective<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
) -> HashMap<String, String> {
    let roles = roles();
    let matches = roles.clone().try_get_matches_from(arguments).ok();
    let matches = matches.as_ref().and_then(|matches| matches.subcommand());
    let Some((matches, command)) =
        matches.and_then(|(role, matches)| Some((matches, roles.find_subcommand(role)?)))
    else {
        return HashMap::new();
    };
    let values = command.get_arguments().filter_map(|arg| {
        let id = arg.get_id().as_str();
        let raw = matches.try_get_raw(id).ok()??.next()?;
        Some((id.to_owned(), raw.to_string_lossy().into_owned()))
    });
    values.collect()
}
