//! `quatrain fetch`: resolves names, fetches through one model, and prints (S10–S15).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use poetry::{Cancel, FetchRequest, Outcome, Peer, Via};

use crate::args::FetchArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::line_writer::LineWriter;
use crate::output;
use crate::progress::Progress;
use crate::resolve;
use crate::signals;

/// Fetches the poems and prints those that arrived.
pub(crate) fn run(args: FetchArgs, stderr: &LineWriter) -> Ended {
    let cancel = Cancel::new();
    let interrupt = Interrupt::watch(&cancel, stderr)?;
    let start = Instant::now();
    let model = args.model.model;
    let client = model
        .client(&args.options(models::clock()))
        .map_err(|error| {
            let (name, cause) = (model.name(), cause(&error));
            Failure::new(format_args!("cannot fetch with {name}: {cause}"))
        })?;
    let requests = requests(&args, &cancel);
    let progress = Progress::start(&args, &requests, stderr);
    let outcomes = client.fetch(&requests, progress.observer(), &cancel);
    interrupt.fetched.store(true, Ordering::Release);
    let elapsed = start.elapsed();
    let outcomes = settle(outcomes, args.strict_transform);
    progress.end(&requests, &outcomes);
    // On a terminal the progress comes before the poems.
    stderr.finish();
    let printed = match args.json {
        true => output::json(&requests, &outcomes),
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

fn requests(args: &FetchArgs, cancel: &Cancel) -> Vec<FetchRequest> {
    let addresses: Vec<_> = args.addresses.iter().chain(&args.via).collect();
    let mut peers = resolve::peers(&addresses, args.connect_timeout.0, cancel);
    let via = match &args.transform {
        Some(transform) => peers.pop().map(|peer| Via {
            transform: transform.clone(),
            peer,
        }),
        None => None,
    };
    let request = |peer: Peer| FetchRequest {
        peer,
        name: None,
        via: via.clone(),
    };
    peers.into_iter().map(request).collect()
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
