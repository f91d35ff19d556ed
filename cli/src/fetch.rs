//! `quatrain fetch`: resolves names, fetches through one model, and prints (S10–S15).

mod batches;
mod schedule;
mod task;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use poetry::{Cancel, Options, Outcome, PoemName};

use crate::args::FetchArgs;
use crate::failure::{Ended, Failure, Status, cause_at_start};
use crate::line_writer::LineWriter;
use crate::output;
use crate::progress::Progress;
use crate::recording::Recording;
use crate::resolve;
use crate::signals;

use self::batches::Batches;
pub(crate) use self::task::Task;
use self::task::ViaAddress;

/// Poems of one fetch: more than a list of addresses can have, but names multiply them.
const POEMS_MAX: usize = 1 << 20;

/// Fetches the poems and prints those that arrived.
pub(crate) fn run(args: FetchArgs, stderr: &LineWriter) -> Ended {
    let cancel = Cancel::new();
    let interrupt = Interrupt::watch(&cancel, stderr)?;
    let start = Instant::now();
    let tasks = tasks(&args)?;
    let model = args.model.model;
    let options = args.options(models::clock());
    let limited = |fetches_max| {
        let mut options: Options = options.clone();
        options.limits.fetches_max = fetches_max;
        model.client(&options)
    };
    let fetches_max = options.limits.fetches_max;
    let client = limited(fetches_max).map_err(|error| {
        let (name, cause) = (model.name(), cause_at_start(&error));
        Failure::new(format_args!("cannot fetch with {name}: {cause}"))
    })?;
    let recording = Recording::start(args.record.as_deref(), &options.clock)?;
    let progress = Progress::start(&args, &tasks, stderr);
    let batches = Batches {
        client: &*client,
        limited: &limited,
        fetches_max,
        lookup: resolve::system(),
        wait: args.connect_timeout.0,
        observer: recording.beside(progress.observer()),
        cancel: &cancel,
    };
    let outcomes = batches.fetch(&tasks);
    interrupt.fetched.store(true, Ordering::Release);
    let elapsed = start.elapsed();
    recording.finish();
    let outcomes = settle(outcomes, args.strict_transform);
    progress.end(&tasks, &outcomes);
    // On a terminal the progress comes before the poems.
    stderr.finish();
    let printed = match args.json {
        true => output::json(&tasks, &outcomes),
        false => output::poems(&outcomes),
    };
    match printed {
        Ok(()) => progress.summarize(&outcomes, elapsed),
        Err(error) => return Ok(output::report_failure(&error, stderr)),
    }
    let all_arrived = outcomes.iter().all(|outcome| outcome.poem.is_ok());
    Ok(match (all_arrived, interrupt.status.get()) {
        (true, _) => Status::Success,
        (false, Some(&status)) => status,
        (false, None) => Status::Trouble,
    })
}

/// Cancels the fetch at the first interrupt, so that the poems that arrived are printed. Once everything is fetched, an
/// interrupt ends the process, because printing may block.
#[derive(Clone, Default)]
struct Interrupt {
    fetched: Arc<AtomicBool>,
    /// The status to end with, once interrupted.
    status: Arc<OnceLock<Status>>,
}

impl Interrupt {
    fn watch(cancel: &Cancel, stderr: &LineWriter) -> Result<Self, Failure> {
        let interrupt = Self::default();
        let (noted, cancel, writer) = (interrupt.clone(), cancel.clone(), stderr.clone());
        signals::on_interrupt(stderr, move |status| {
            let _ = noted.status.set(status);
            match noted.fetched.load(Ordering::Acquire) {
                true => signals::exit(&writer, status),
                false => cancel.all(),
            }
        })?;
        Ok(interrupt)
    }
}

/// Returns the poems to fetch: those of the first address, by name, then those of the next.
fn tasks(args: &FetchArgs) -> Result<Vec<Task>, Failure> {
    let num_poems = args.num_poems();
    if num_poems > POEMS_MAX {
        return Err(Failure::new(format_args!(
            "{num_poems} poems are more than the {POEMS_MAX} of one fetch; name fewer"
        )));
    }
    let via = args.transform.as_ref().zip(args.via.as_ref());
    let via = via.map(|(transform, address)| {
        Arc::new(ViaAddress {
            transform: transform.clone(),
            address: address.clone(),
        })
    });
    // Without names, each address has one poem.
    let names: Vec<Option<&PoemName>> = match args.poems.is_empty() {
        true => vec![None],
        false => args.poems.iter().map(Some).collect(),
    };
    let of_address = |address| {
        let address = Arc::new(address);
        let task = |name: &Option<&PoemName>| Task {
            address: Arc::clone(&address),
            name: name.cloned(),
            via: via.clone(),
        };
        names.iter().map(task).collect::<Vec<_>>()
    };
    Ok(args
        .addresses
        .iter()
        .cloned()
        .flat_map(of_address)
        .collect())
}

/// With `strict`, turns a failed transform into a failed poem (S13).
fn settle(outcomes: Vec<Outcome>, strict: bool) -> Vec<Outcome> {
    let settle = |mut outcome: Outcome| {
        if strict
            && outcome.poem.is_ok()
            && let Some(failure) = outcome.transform_failure.take()
        {
            outcome.poem = Err(failure);
        }
        outcome
    };
    outcomes.into_iter().map(settle).collect()
}
