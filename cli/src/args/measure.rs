//! The options of `quatrain measure`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use measure::Subject;
use measure::results::Kind;
use measure::scenario::{self, Extent, Scenario};
use measure::statistics::ROUNDS_MIN;
use poetry::Model;
use poetry::limits;

use super::values::{self, at_least_one, count};

/// More rounds than a user waits for: hours of them.
const ROUNDS_MAX: usize = 1_000;

const EXAMPLES: &str = "\
Examples:
  quatrain measure                                      a first look: four scenarios, short windows
  quatrain measure --full                               every scenario, to publish: 40 minutes
  quatrain measure --list                               the scenarios, and what each teaches
  quatrain measure --scenario idle --full --rounds 9    one of them, thoroughly
  quatrain measure --subject 'py=python3 server.py --port {port} {mode}'
                                                        another program, beside the models
  quatrain measure --subject 'old=old/quatrain serve {mode} --model actors {threads} {stats}'
                                                        another build, in the same rounds
  quatrain measure --full --resume                      go on after an interrupt
  quatrain measure --baseline quatrain-report           which differences from before are real

Every subject is verified before it is timed, and every byte of every reply is compared: an error or a wrong byte voids its \
row, visibly. The results are written to a folder after every row: results.json, rows as CSV, histograms, the environment.

A command for --subject is split into words as a shell does, and run without one. It has placeholders: {mode} stands for what it serves, such as `transform --keep-alive` or `poem FILE \
--fast`; {port} for the port to listen on (without it, the program prints `Serving … on HOST:PORT with …`); {threads}, {stats} and, \
for a client, {fetch} are explained in MEASURING.md. `quatrain check` takes the same commands.
Exit status: 0 all was right, 1 a row is void, 2 it could not start, 130 interrupted.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MeasureArgs {
    /// The scenarios, separated by commas or spaces [default: a quick choice; all with --full]
    #[arg(long = "scenario", value_name = "NAME", value_delimiter = ',', num_args = 1.., hide_possible_values = true, value_parser = names())]
    scenarios: Vec<String>,

    /// Long windows and all points, for figures to publish
    #[arg(long)]
    full: bool,

    /// The models to measure, separated by commas [default: all]
    #[arg(long = "models", value_name = "LIST", value_delimiter = ',', value_parser = values::model())]
    chosen: Vec<&'static dyn Model>,

    /// Another program to measure, a name and a command with placeholders; may be repeated
    #[arg(long = "subject", value_name = "NAME=CMD", value_parser = subject)]
    pub(crate) subjects: Vec<Subject>,

    /// How often each subject is measured; at least 3 show a spread [default: 3; 5 with --full]
    #[arg(long, value_name = "N", value_parser = count(ROUNDS_MAX))]
    rounds: Option<usize>,

    /// Threads of the servers
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN, value_parser = at_least_one(limits::THREADS_MAX))]
    pub(crate) threads: NonZeroUsize,

    /// Do not pin server and load generator to a core each
    #[arg(long)]
    pub(crate) unpinned: bool,

    /// Seed for the order of the rounds [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// The folder for the results; it must not hold those of another run [default: quatrain-report, or the next free number]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Go on with the interrupted run in the folder: measure only the rows that it lacks
    #[arg(long)]
    pub(crate) resume: bool,

    /// Compare with the results in this folder, and say which differences are real
    #[arg(long, value_name = "DIR")]
    pub(crate) baseline: Option<PathBuf>,

    /// The commit to note in the results [default: the one that this program was built from, if that is known]
    #[arg(long, value_name = "ID")]
    commit: Option<String>,

    /// Print the scenarios, and what each teaches
    #[arg(long)]
    pub(crate) list: bool,
}

fn names() -> PossibleValuesParser {
    let scenarios = scenario::all();
    let names = scenarios
        .iter()
        .map(|scenario| scenario.about(Extent::Quick).name);
    PossibleValuesParser::new(names.collect::<Vec<_>>())
}

fn subject(text: &str) -> Result<Subject, String> {
    let (name, command) = text
        .split_once('=')
        .ok_or("write NAME=CMD, such as py='python3 server.py --port {port} {mode}'")?;
    Subject::external(name, command)
}

impl MeasureArgs {
    /// Returns the chosen models, each once.
    pub(crate) fn models(&self) -> Vec<&'static dyn Model> {
        values::each_once(&self.chosen)
    }

    /// Returns how much is measured.
    pub(crate) fn extent(&self) -> Extent {
        match self.full {
            true => Extent::Full,
            false => Extent::Quick,
        }
    }

    /// Returns the commit to note in the results.
    pub(crate) fn commit(&self) -> Option<String> {
        let built = || option_env!("QUATRAIN_COMMIT").map(str::to_owned);
        self.commit.clone().or_else(built)
    }

    /// Returns how often each subject is measured.
    pub(crate) fn rounds(&self) -> usize {
        let default = match self.full {
            true => 5,
            false => ROUNDS_MIN,
        };
        self.rounds.unwrap_or(default)
    }

    /// Whether a scenario was named on the command line.
    pub(crate) fn names(&self, scenario: &str) -> bool {
        self.scenarios.iter().any(|name| name == scenario)
    }

    /// Returns the chosen scenarios, each once and in the order of measuring.
    pub(crate) fn scenarios(&self) -> Vec<Box<dyn Scenario>> {
        let mut scenarios = scenario::all();
        scenarios.retain(|scenario| {
            let about = scenario.about(self.extent());
            match self.scenarios.is_empty() {
                true => self.full || about.quick,
                false => self.names(about.name),
            }
        });
        scenarios
    }

    /// Returns the command line that repeats this measurement with `seed`, of one scenario if it is given.
    pub(crate) fn command(&self, seed: u64, scenario: Option<&str>) -> String {
        let mut words = vec!["quatrain measure".to_owned()];
        let scenarios = match scenario {
            Some(name) => name.to_owned(),
            None => self.scenarios.join(","),
        };
        let mut option = |name: &str, value: String| {
            words.extend((!value.is_empty()).then(|| format!("--{name} {value}")));
        };
        option("scenario", scenarios);
        let models: Vec<&str> = self.chosen.iter().map(|model| model.name()).collect();
        option("models", models.join(","));
        for subject in &self.subjects {
            debug_assert_eq!(subject.kind, Kind::External);
            let command = subject.entrant().command;
            let text = format!("{}={command}", subject.name);
            // A command line has no NUL, which is all that cannot be quoted.
            let quoted = shlex::try_quote(&text).map_or_else(|_| text.clone(), Into::into);
            option("subject", quoted);
        }
        option(
            "rounds",
            self.rounds
                .map_or_else(String::new, |rounds| rounds.to_string()),
        );
        option("seed", seed.to_string());
        if self.threads > NonZeroUsize::MIN {
            option("threads", self.threads.to_string());
        }
        words.extend(self.full.then(|| "--full".to_owned()));
        words.extend(self.unpinned.then(|| "--unpinned".to_owned()));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: MeasureArgs,
    }

    fn parsed(words: &[&str]) -> MeasureArgs {
        Only::parse_from(["measure"].iter().chain(words)).args
    }

    #[test]
    fn the_command_line_of_a_run_repeats_it() {
        let words = ["--models", "actors", "--full", "--rounds", "4"];
        let subject = ["--subject", "py=python3 s.py {port} {mode}"];
        let args = parsed(&[&words[..], &subject].concat());
        let command = args.command(7, Some("idle"));
        let expected = "quatrain measure --scenario idle --models actors --subject 'py=python3 s.py {port} {mode}' \
                        --rounds 4 --seed 7 --full";
        assert_eq!(command, expected);
        assert_eq!(parsed(&[]).command(1, None), "quatrain measure --seed 1");
    }

    #[test]
    fn the_command_line_of_a_run_quotes_what_the_subject_quotes() {
        let text = "py=sh -c 'exec python3 \"$0\" {port}' s.py";
        let command = parsed(&["--subject", text]).command(7, None);
        let words = shlex::split(&command).unwrap();
        assert_eq!(words[3], text, "{command}");
    }

    #[test]
    fn scenarios_are_chosen_by_name_or_by_extent() {
        let count = |words: &[&str]| parsed(words).scenarios().len();
        assert_eq!(count(&["--scenario", "idle,pipelined"]), 2);
        assert_eq!(count(&["--scenario", "idle", "pipelined", "idle"]), 2);
        assert_eq!(count(&["--full"]), scenario::all().len());
        assert!(count(&[]) < count(&["--full"]));
    }
}
