//! The command line: the subcommands, the options they share, and wrong usage reported in one line.

mod bare;
mod check;
mod compare;
mod config;
mod fetch;
mod generate;
mod load;
mod measure;
mod report;
mod serve;
mod share;
mod show;
mod stats;
mod timeline;
mod values;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};
use poetry::Model;
use poetry::limits::CONNECTIONS_MAX;

pub(crate) use bare::BareArgs;
pub(crate) use check::CheckArgs;
pub(crate) use compare::CompareArgs;
pub(crate) use config::{
    ConfigArgs, ConfigCommand, NOT_KEYS, ServeArgs, effective, roles, service,
};
pub(crate) use fetch::{FetchArgs, Progress};
pub(crate) use generate::GenerateArgs;
pub(crate) use load::{
    FloorArgs, LoadArgs, LoadCommand, LoadIdleArgs, LoadLibraryArgs, LoadMergeArgs, LoadOptions,
    LoadPoemArgs, LoadTransformArgs, Spread,
};
pub(crate) use measure::MeasureArgs;
pub(crate) use report::ReportArgs;
pub(crate) use serve::{LibraryArgs, PoemArgs, ProxyArgs, ServeCommand, ServerArgs, TransformArgs};
pub(crate) use show::ShowArgs;
pub(crate) use stats::{StatsArgs, Target};
pub(crate) use timeline::TimelineArgs;
pub(crate) use values::{Address, random_seed};

use crate::closed_stdout;
use crate::failure::{Failure, Status};
use crate::line_writer::LineWriter;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  Serve a poem slowly, then fetch it from another terminal:
    quatrain serve poem poems/lantern.txt --port 10001 --delay 0.1
    quatrain fetch 10001

  Two poems at once, each turned into lower case by a transform server:
    quatrain serve poem poems/lantern.txt --port 10001 --delay 0.1 &
    quatrain serve poem poems/harbour.txt --port 10002 --delay 0.05 &
    quatrain serve transform --port 10100 &
    quatrain fetch 10001 10002 --transform cummingsify --via 10100

  A directory of poems by name, and a proxy that fetches a slow poem once for all its clients:
    quatrain serve library poems --port 10200 &
    quatrain fetch 10200 --poem lantern --poem harbour
    quatrain serve proxy 10001 --port 10300 &
    quatrain fetch 10300

  The four models side by side, with nothing to prepare:
    quatrain compare

  A server of your own, in any language, against the rules:
    quatrain check transform -- ./my_server --port {port} {mode}

  How long does a request take at 5,000 requests per second?
    quatrain serve transform --keep-alive --port 10100 &
    quatrain load transform 10100 --rate 5000

Exit status: 0 success, 1 something failed or was cut, 2 it could not start, 130 interrupted by Ctrl-C.";

/// The most columns of the help.
const WIDTH_MAX: usize = 100;

/// A poetry client and four servers, each written with callbacks, actors, streams and threads.
#[derive(Parser)]
#[command(name = "quatrain", version = env!("QUATRAIN_VERSION"), max_term_width = WIDTH_MAX, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on stderr: off, error, warn, info, debug, trace, or a filter such as `quatrain=debug`
    #[arg(long, global = true, display_order = 900, value_name = "LEVEL", default_value = "info", value_parser = values::log_filter)]
    pub(crate) log: String,

    /// How log lines are written: text, or json, an object each with timestamp, level and message
    #[arg(long, global = true, display_order = 901, value_name = "FORMAT", value_enum, hide_possible_values = true, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object for each line.
    Json,
}

/// Cases with the most connections have a thousand, and run one after another; the others have far fewer.
const CONNECTIONS_OF_CASES: usize = 2_000;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve poems or transforms until a signal stops it
    Serve(ServeArgs),
    /// Validate a file of services
    Config(ConfigArgs),
    /// Print the counts of a running server
    Stats(StatsArgs),
    /// Fetch poems, all at once, and print them
    Fetch(FetchArgs),
    /// Let each model do the same work, verify it, and print one table
    Compare(CompareArgs),
    /// Check a server, also in another language, against the conformance cases of its role
    Check(CheckArgs),
    /// Load a server, in a closed or an open loop, verify every reply, and report latencies
    Load(LoadArgs),
    /// Serve transforms at the least possible cost, to compare the models with
    #[command(hide = true)]
    Floor(FloorArgs),
    /// Measure the models in scenarios, and keep the results in a folder
    Measure(MeasureArgs),
    /// Show results again: tables, one page, one plot, several runs as one, or what has changed
    Report(ReportArgs),
    /// Show three slow poems, a busy server and a crash with each model: which thread ran which task when
    Show(ShowArgs),
    /// Draw which thread ran which task when, from records of `serve` and `fetch`
    Timeline(TimelineArgs),
    /// Write the manual pages and the completions of shells into a folder
    Generate(GenerateArgs),
    /// Serve or fetch with a bare loop, a baseline of the models
    #[command(hide = true)]
    Bare(BareArgs),
}

impl Command {
    /// Returns how many connections this process may have at once.
    pub(crate) fn connections(&self) -> usize {
        match self {
            // The connections of a file's services are known when it has been read.
            Self::Serve(args) => {
                let server = args.command.as_ref().map(ServeCommand::server);
                server.map_or(0, |server| server.connections_max)
            }
            Self::Fetch(args) => args.num_poems(),
            Self::Load(args) => args.connections(),
            Self::Floor(_) | Self::Bare(_) => CONNECTIONS_MAX,
            Self::Check(_) => CONNECTIONS_OF_CASES,
            Self::Config(_)
            | Self::Compare(_)
            | Self::Measure(_)
            | Self::Report(_)
            | Self::Show(_)
            | Self::Timeline(_)
            | Self::Stats(_)
            | Self::Generate(_) => 0,
        }
    }
}

impl Cli {
    /// Parses the arguments. Prints help and version.
    ///
    /// # Errors
    /// The status to end with, if nothing is left to do.
    pub(crate) fn read(stderr: &LineWriter) -> Result<Self, Status> {
        Self::try_parse().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                match closed_stdout::check().and_then(|()| error.print()) {
                    Ok(()) => Status::Success,
                    Err(error) => output::report_failure(&error, stderr),
                }
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                stderr.line(error.render().to_string().trim_end());
                Status::NotStarted
            }
            _ => Failure::new(one_line(&error.render().to_string())).report(stderr),
        })
    }
}

/// The option of every subcommand that runs one model.
#[derive(clap::Args)]
pub(crate) struct ModelArg {
    /// The concurrency model
    #[arg(long, value_name = "MODEL", default_value = "callbacks", value_parser = values::model())]
    pub(crate) model: &'static dyn Model,
}

/// Writes clap's paragraphs as one line: the error, its tips, and where to read more.
pub(crate) fn one_line(rendered: &str) -> String {
    let mut paragraphs = rendered.split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let error = paragraphs.next().unwrap_or_default();
    let mut line = error.strip_prefix("error: ").unwrap_or(&error).to_owned();
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            line += &format!(" ({tip})");
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            let command = usage
                .split(" [")
                .next()
                .and_then(|usage| usage.split(" <").next());
            let command: Vec<&str> = command
                .unwrap_or_default()
                .split(' ')
                .take_while(|word| !word.starts_with('-'))
                .collect();
            line += &format!("; see '{} --help'", command.join(" "));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn error_of(arguments: &[&str]) -> String {
        let arguments = ["quatrain"].iter().chain(arguments);
        match Cli::try_parse_from(arguments) {
            Ok(_) => panic!("the usage is correct"),
            Err(error) => one_line(&error.render().to_string()),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_helps_columns_fit_the_width_and_are_not_wrapped() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            let help = command.get_after_help().map(ToString::to_string);
            for line in help.iter().flat_map(|help| help.lines()) {
                let is_prose = !line.starts_with(' ');
                assert!(is_prose || line.chars().count() <= WIDTH_MAX, "{line}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn wrong_usage_is_one_line_that_names_the_culprit_and_the_help() {
        assert_eq!(
            error_of(&["serve", "poem"]),
            "the following required arguments were not provided: <FILE>; see 'quatrain serve poem --help'"
        );
        assert_eq!(
            error_of(&["serve", "transform", "--prot", "1"]),
            "unexpected argument '--prot' found (a similar argument exists: '--port'); \
             see 'quatrain serve transform --help'"
        );
        assert_eq!(
            error_of(&["fetch", "1", "--model", "callback"]),
            "invalid value 'callback' for '--model <MODEL>' \
             [possible values: callbacks, actors, streams, blocking] (a similar value exists: 'callbacks')"
        );
    }
}
