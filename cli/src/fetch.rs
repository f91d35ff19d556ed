//! `quatrain fetch`: resolves, fetches through one model, and prints (S10–S15).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use poetry::{Cancel, FetchRequest, Outcome, Peer, Via};

use crate::args::FetchArgs;
use crate::failure::{Ended, Failure, Status, cause};
use crate::lossy::Lossy;
use crate::output;
use crate::progress::Progress;
use crate::resolve;
use crate::signals;

/// Fetches the poems and prints what arrived.
pub(crate) fn run(args: FetchArgs, stderr: &Lossy) -> Ended {
    let cancel = Cancel::new();
    let fetched = give_up_on_interrupt(&cancel, stderr)?;
    let begun = Instant::now();
    let model = args.model.model;
    let client = model
        .client(&args.options(models::clock()))
        .map_err(|error| {
            Failure::new(format_args!(
                "cannot fetch with {}: {}",
                model.name(),
                cause(&error)
            ))
        })?;
    let requests = requests(&args, &cancel);
    let progress = Progress::begin(args.progress, &requests, args.strict_transform, stderr);
    let outcomes = client.fetch(&requests, progress.observer(), &cancel);
    fetched.store(true, Ordering::Release);
    let elapsed = begun.elapsed();
    let outcomes = settle(outcomes, args.strict_transform);
    progress.end(&outcomes);
    // On a terminal the poems come after their progress.
    stderr.finish();
    let printed = match args.json {
        true => output::json(&requests, &outcomes),
        false => output::poems(&outcomes),
    };
    match printed {
        Ok(()) => progress.sum_up(&outcomes, elapsed),
        Err(error) => return Ok(output::failed(&error, stderr)),
    }
    let arrived = outcomes.iter().all(|outcome| outcome.poem.is_ok());
    Ok(if arrived {
        Status::Fine
    } else {
        Status::Trouble
    })
}

/// The first interrupt cancels the fetch, so that what has arrived is printed. Once all is fetched, and printing
/// blocks, it ends the process. The flag says that all is fetched.
fn give_up_on_interrupt(cancel: &Cancel, stderr: &Lossy) -> Result<Arc<AtomicBool>, Failure> {
    let fetched = Arc::new(AtomicBool::new(false));
    let (cancel, stderr_too, over) = (cancel.clone(), stderr.clone(), Arc::clone(&fetched));
    signals::on_interrupt(stderr, move || match over.load(Ordering::Acquire) {
        true => signals::end(&stderr_too, Status::Trouble),
        false => cancel.all(),
    })?;
    Ok(fetched)
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
        via: via.clone(),
    };
    peers.into_iter().map(request).collect()
}

/// With `strict`, a poem whose transform failed has failed (S13).
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
