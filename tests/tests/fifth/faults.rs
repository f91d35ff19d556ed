//! Fault cases are known to fail: the fifth model's commands pass them, and with one flaw at a time fail those that are named
//! for it. Some flaws are in the model, others in its commands.

use std::sync::Arc;
use std::time::Duration;

use conformance::Verdict;
use conformance::faults::{FaultCase, Program, cases};
use libtest_mimic::{Completion, Failed, Trial};

use crate::command::SERVE;
use crate::fetching::FETCH;
use crate::flaw::Flaw;

/// One wrong behaviour of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandFlaw {
    /// Writes its `Serving` line, its log and its counts itself, and so waits for their readers.
    BlocksOnSinks,
    /// Ignores signals while it stops.
    IgnoresSecondSignal,
    /// Binds its port without `SO_REUSEADDR`.
    ListensWithoutReuse,
    /// Panics when its output cannot be written.
    PanicsOnOutput,
    /// Does not notice that its output was not written.
    IgnoresLostOutput,
}

/// What is wrong with a command: nothing, or one flaw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wrong {
    pub(crate) model: Flaw,
    pub(crate) command: Option<CommandFlaw>,
}

impl Default for Wrong {
    fn default() -> Self {
        model(Flaw::None)
    }
}

impl Wrong {
    /// Returns what is called `name` in [`CAUGHT_BY`].
    pub(crate) fn find(name: &str) -> Self {
        let all = CAUGHT_BY.iter().map(|&(wrong, ..)| wrong);
        let mut found = all.filter(|wrong| wrong.name() == name);
        found.next().expect("a flaw")
    }

    fn name(self) -> String {
        match self.command {
            Some(flaw) => format!("{flaw:?}"),
            None => format!("{:?}", self.model),
        }
    }
}

const fn model(flaw: Flaw) -> Wrong {
    Wrong {
        model: flaw,
        command: None,
    }
}

const fn command(flaw: CommandFlaw) -> Wrong {
    Wrong {
        model: Flaw::None,
        command: Some(flaw),
    }
}

const SERVERS: &[&str] = &["poem_server", "transform_server", "library_server", "proxy"];
const FRAMED: &[&str] = &["transform_server", "library_server"];
const LONG_POEMS: &[&str] = &["poem_server", "library_server", "proxy"];
const PROXY: &[&str] = &["proxy"];
const CLIENT: &[&str] = &["client"];

/// Every flaw, and in these roles the fault cases that must catch it.
const CAUGHT_BY: &[(Wrong, &[&str], &[&str])] = &[
    (
        model(Flaw::LoopsWithoutDescriptors),
        SERVERS,
        &["serves_its_clients_and_accepts_the_others_as_descriptors_become_free"],
    ),
    (
        model(Flaw::FailsWithoutDescriptors),
        CLIENT,
        &["waits_for_its_own_descriptors"],
    ),
    (
        model(Flaw::ClosesOwedWithFin),
        LONG_POEMS,
        &[
            "fifty_stopped_readers_cost_little_memory_and_are_reset",
            "a_thousand_stopped_readers_cost_little_memory_and_are_reset",
        ],
    ),
    (
        model(Flaw::ClosesOwedWithFin),
        SERVERS,
        &["resets_what_outlasts_the_grace"],
    ),
    (
        model(Flaw::ExtendsRequestDeadline),
        FRAMED,
        &["closes_a_trickled_request_at_its_deadline"],
    ),
    (
        model(Flaw::CutsTheEnd),
        LONG_POEMS,
        &["sends_a_slow_reader_the_whole_poem"],
    ),
    (
        model(Flaw::ExtendsTotalDeadline),
        CLIENT,
        &["gives_up_a_trickled_poem_at_the_total_deadline"],
    ),
    (
        model(Flaw::IgnoresIdleTimeout),
        FRAMED,
        &["closes_silent_connections_after_the_idle_timeout"],
    ),
    (
        model(Flaw::TreatsFinAsDisconnect),
        &["poem_server"],
        &["answers_a_peer_that_has_finished_sending"],
    ),
    (
        model(Flaw::CutsTheEnd),
        &["transform_server", "library_server", "proxy"],
        &["answers_a_peer_that_has_finished_sending"],
    ),
    (
        model(Flaw::IgnoresWaitingFin),
        &["proxy"],
        &["cancels_the_fetch_when_the_last_waiting_client_has_finished_sending"],
    ),
    (
        model(Flaw::StopsAfterReset),
        SERVERS,
        &[
            "survives_a_reset_at_every_moment",
            "survives_resets_before_it_accepts",
        ],
    ),
    (
        model(Flaw::TreatsResetAsEnd),
        CLIENT,
        &["reports_a_poem_as_lost_only_if_the_reset_came_before_its_end"],
    ),
    (
        model(Flaw::ServesOneAtATime),
        SERVERS,
        &[
            "answers_five_hundred_that_connected_while_it_was_stopped",
            "answers_ten_thousand_at_once",
        ],
    ),
    (
        model(Flaw::IgnoresConnectionLimit),
        SERVERS,
        &["makes_connections_beyond_its_limit_wait"],
    ),
    (
        model(Flaw::LingersForEver),
        FRAMED,
        &["refuses_a_flood_of_empty_frames"],
    ),
    (
        model(Flaw::CutsTheEnd),
        FRAMED,
        &["leaves_others_their_turn_in_a_flood_of_requests"],
    ),
    (
        model(Flaw::CutsTheEnd),
        &["poem_server", "proxy"],
        &["discards_a_flood_of_input"],
    ),
    (
        model(Flaw::SpendsOnAnnouncements),
        FRAMED,
        &["allocates_nothing_for_an_announced_length"],
    ),
    (
        model(Flaw::DropsRepliesBeforePanic),
        &["transform_server"],
        &["delivers_the_replies_before_the_panic_and_closes_only_that_connection"],
    ),
    (
        model(Flaw::IgnoresGrace),
        SERVERS,
        &["finishes_what_is_in_flight"],
    ),
    (
        command(CommandFlaw::IgnoresSecondSignal),
        SERVERS,
        &["ends_at_once_at_a_second_signal"],
    ),
    (
        command(CommandFlaw::ListensWithoutReuse),
        &["poem_server", "proxy"],
        &["restarts_on_the_same_port_at_once"],
    ),
    (
        model(Flaw::CutsTheEnd),
        FRAMED,
        &["restarts_on_the_same_port_at_once"],
    ),
    (
        command(CommandFlaw::BlocksOnSinks),
        SERVERS,
        &[
            "serves_and_stops_with_stdout_full",
            "serves_and_stops_with_a_full_log_pipe",
            "serves_and_stops_when_the_reader_of_its_log_has_gone",
            "serves_and_stops_though_no_process_reads_its_counts",
        ],
    ),
    (
        model(Flaw::CutsTheEnd),
        SERVERS,
        &[
            "serves_and_stops_with_stdout_closed",
            "serves_and_stops_with_stderr_closed",
        ],
    ),
    (
        model(Flaw::IgnoresReloads),
        &["library_server"],
        &["keeps_every_connection_and_every_reply_whole"],
    ),
    (
        model(Flaw::FailsAlways),
        CLIENT,
        &[
            "an_unknown_name_fails_alone",
            "a_reply_that_is_no_netstring_fails_alone",
            "a_reply_that_is_cut_short_fails_alone",
            "a_reset_by_a_library_fails_alone",
            "a_silent_library_is_given_up_after_the_idle_timeout",
            "a_poem_over_the_limit_fails_alone",
            "a_reply_that_is_not_utf8_fails_alone",
            "a_refused_connection_fails_alone",
            "a_reset_at_any_moment_loses_only_its_poem",
            "a_poem_that_was_complete_before_a_reset_arrives",
            "an_empty_poem_is_a_poem",
            "a_silent_server_is_given_up_after_the_idle_timeout",
            "an_endless_poem_is_cut_off_at_the_limit",
            "a_poem_that_is_not_utf8_fails_alone",
            "a_full_stderr_does_not_stall_the_fetch",
            "a_closed_stderr_does_not_disturb_the_fetch",
            "poems_arrive_whole_over_a_slow_network",
            "poems_arrive_whole_over_a_lossy_network",
            "a_server_that_vanished_is_given_up_after_the_idle_timeout",
        ],
    ),
    (
        model(Flaw::HidesTransformFailure),
        CLIENT,
        &[
            "a_refused_transform_keeps_the_original",
            "a_dead_transform_server_keeps_the_original",
            "a_reset_by_a_transform_server_keeps_the_original",
            "a_silent_transform_server_keeps_the_original",
            "a_huge_reply_keeps_the_original",
            "a_reply_that_is_no_netstring_keeps_the_original",
            "a_reply_that_is_cut_short_keeps_the_original",
            "a_reply_that_is_not_utf8_keeps_the_original",
            "with_strict_transform_a_failed_transform_fails_the_poem",
        ],
    ),
    (
        command(CommandFlaw::PanicsOnOutput),
        CLIENT,
        &[
            "a_stdout_whose_reader_has_gone_ends_it_quietly",
            "a_reader_that_leaves_in_the_middle_ends_it_quietly",
        ],
    ),
    (
        command(CommandFlaw::IgnoresLostOutput),
        CLIENT,
        &[
            "a_stdout_closed_before_the_start_is_reported",
            "a_stdout_without_room_is_reported",
        ],
    ),
    (
        model(Flaw::ClosesOwedWithFin),
        PROXY,
        &[
            "a_refused_connection_resets_those_that_wait",
            "a_reset_before_the_first_byte_resets_those_that_wait",
            "a_reset_in_the_middle_resets_those_that_wait",
            "a_silent_upstream_is_given_up_after_the_idle_timeout",
            "an_endless_poem_is_not_cached",
            "a_poem_that_is_not_utf8_is_not_cached",
            "an_upstream_that_vanished_is_given_up_after_the_idle_timeout",
        ],
    ),
    (
        model(Flaw::CachesEmptyPoems),
        PROXY,
        &["an_empty_poem_is_not_cached"],
    ),
    (
        model(Flaw::CutsTheEnd),
        SERVERS,
        &[
            "a_slow_network_changes_no_byte",
            "a_lossy_network_changes_no_byte",
        ],
    ),
    (
        model(Flaw::IgnoresIdleTimeout),
        FRAMED,
        &["a_connection_whose_peer_vanished_is_closed_by_its_timeout"],
    ),
    (
        model(Flaw::IgnoresWriteTimeout),
        &["poem_server", "proxy"],
        &["a_connection_whose_peer_vanished_is_closed_by_its_timeout"],
    ),
    (
        model(Flaw::CutsTheEnd),
        LONG_POEMS,
        &[
            "two_hundred_stalled_readers_cost_little_memory_each",
            "ten_thousand_stalled_readers_cost_little_memory_each",
        ],
    ),
    (
        model(Flaw::CutsTheEnd),
        &["transform_server"],
        &[
            "every_report_of_two_hundred_devices_is_answered",
            "every_report_of_a_thousand_devices_is_answered",
        ],
    ),
];

/// Faults and cases for which this model is too small: it has no thread in reserve, resolves no names and shows no progress.
const EXEMPT: &[&str] = &[
    "no further thread",
    "no thread at all",
    "sigint_prints_what_has_arrived",
    "sigterm_prints_what_has_arrived",
    "a_name_that_does_not_resolve_fails_alone",
];

/// A case that this model need not pass: its threads sleep in their writes.
const TOO_HARD: &str = "sends_a_slow_reader_the_whole_poem";

/// Returns a test for each case that the commands must pass, and for each that must catch a flaw.
pub(crate) fn trials() -> Vec<Trial> {
    let cases = applicable();
    let must_pass = cases.iter().filter(|case| case.name != TOO_HARD);
    let mut trials: Vec<Trial> = must_pass.map(|case| passes(*case)).collect();
    for &(wrong, roles, names) in CAUGHT_BY {
        let is_named = |case: &&FaultCase| {
            roles
                .iter()
                .any(|role| path(role, case.name) == case.path())
                && names.contains(&case.name)
        };
        trials.extend(
            cases
                .iter()
                .filter(is_named)
                .map(|case| catches(*case, wrong)),
        );
    }
    trials.push(Trial::test(
        "every_fault_case_catches_a_flaw",
        every_case_catches_a_flaw,
    ));
    trials
}

fn applicable() -> Vec<FaultCase> {
    let mut cases = cases::all();
    cases.retain(|case| !EXEMPT.contains(&case.fault) && !EXEMPT.contains(&case.name));
    cases
}

fn path(role: &str, name: &str) -> String {
    format!("{role}::{name}")
}

fn passes(case: FaultCase) -> Trial {
    run(format!("fault::{}", case.path()), case, None, |verdict| {
        matches!(verdict, Verdict::Passed)
    })
}

fn catches(case: FaultCase, wrong: Wrong) -> Trial {
    let name = format!(
        "fault::flaw::{}::is_caught_by::{}",
        wrong.name(),
        case.path()
    );
    run(name, case, Some(wrong), |verdict| {
        matches!(verdict, Verdict::Failed(_))
    })
}

fn run(
    name: String,
    case: FaultCase,
    wrong: Option<Wrong>,
    is_expected: fn(&Verdict) -> bool,
) -> Trial {
    let asked_for = std::env::var("QUATRAIN_FAULTS").is_ok_and(|which| which == "all");
    Trial::ignorable_test(name, move || {
        if let Some(lacking) = case.lacks(asked_for) {
            return Ok(Completion::ignored_with(format!("needs {lacking}")));
        }
        match case.test(&program(wrong)).0 {
            verdict if is_expected(&verdict) => Ok(Completion::Completed),
            Verdict::Skipped(why) => Ok(Completion::ignored_with(format!("skipped: {why}"))),
            verdict => Err(Failed::from(format!("{wrong:?}: {verdict:?}"))),
        }
    })
}

/// Returns this program's commands, perhaps with a flaw.
fn program(wrong: Option<Wrong>) -> Arc<Program> {
    /// A command with a flaw does not do later what it has not done by then.
    const PATIENCE: Duration = Duration::from_secs(4);
    let own = std::env::current_exe().expect("the path of this program");
    let own = own.to_string_lossy().into_owned();
    let flaw = wrong.map_or(Vec::new(), |wrong| vec!["--flaw".to_owned(), wrong.name()]);
    let words = |template: &str| -> Vec<String> {
        let words = template.split(' ').map(str::to_owned);
        [own.clone()]
            .into_iter()
            .chain(words)
            .chain(flaw.clone())
            .collect()
    };
    let serve = words(&format!(
        "{SERVE} {{mode}} {{listen}} {{limits}} {{stats}} {{grace}} {{log}}"
    ));
    let program = Program::new("fifth", serve).with_client(words(&format!("{FETCH} {{fetch}}")));
    Arc::new(match wrong {
        Some(_) => program.with_patience(PATIENCE),
        None => program,
    })
}

/// Checks that no case is without a flaw that it must catch: a case that nothing fails tests nothing.
fn every_case_catches_a_flaw() -> Result<(), Failed> {
    let catches = |case: &FaultCase| {
        CAUGHT_BY.iter().any(|(_, roles, names)| {
            roles
                .iter()
                .any(|role| path(role, case.name) == case.path())
                && names.contains(&case.name)
        })
    };
    let all = applicable();
    let without = all
        .iter()
        .filter(|case| !catches(case))
        .map(FaultCase::path);
    match without.collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        paths => Err(format!("no flaw is caught by {}", paths.join(", ")).into()),
    }
}
