//! The fifth model's client as a command.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use poetry::event::Unobserved;
use poetry::{Cancel, FetchRequest, Model, Options, Outcome, Peer, PoemName, Via};

use crate::faults::{CommandFlaw, Wrong};
use crate::sink::Sink;

/// The first argument with which this program fetches.
pub(crate) const FETCH: &str = "fetch";

/// Fetches as `words` say, and ends the process.
pub(crate) fn fetch(words: &[String]) -> ! {
    let mut options = Options::new(models::clock());
    let (mut peers, mut json, mut strict) = (Vec::new(), false, false);
    let (mut name, mut transform, mut via) = (None, None, None);
    let mut wrong = Wrong::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        let mut seconds = || Duration::from_secs_f64(value().parse().expect("seconds"));
        match word {
            "--json" => json = true,
            "--idle-timeout" => options.limits.idle_timeout = seconds(),
            "--deadline" => options.limits.total_deadline = Some(seconds()),
            "--connect-timeout" => options.limits.connect_timeout = seconds(),
            "--poem-bytes-max" => {
                options.limits.poem_bytes_max = value().parse().expect("a number");
            }
            "--poem" => name = Some(value().parse::<PoemName>().expect("a name")),
            "--transform" => transform = Some(value().to_owned()),
            "--via" => via = Some(value().parse::<Peer>().expect("an address")),
            "--strict-transform" => strict = true,
            "--progress" => drop(value()),
            "--flaw" => wrong = Wrong::find(value()),
            address => peers.push(address.parse::<Peer>().expect("an address")),
        }
    }
    let via = transform.zip(via);
    let via = via.map(|(transform, peer)| Via { transform, peer });
    let request = |peer| FetchRequest {
        peer,
        name: name.clone(),
        via: via.clone(),
    };
    let requests: Vec<FetchRequest> = peers.into_iter().map(request).collect();
    let cancel = Cancel::new();
    let signal = cancel_at_signal(&cancel);
    let client = crate::Fifth(wrong.model)
        .client(&options)
        .expect("a client");
    let mut outcomes = client.fetch(&requests, Arc::new(Unobserved), &cancel);
    if strict {
        outcomes.iter_mut().for_each(fail_with_transform);
    }
    let stderr = Sink::to(std::io::stderr());
    for (request, outcome) in requests.iter().zip(&outcomes) {
        if let Err(error) = &outcome.poem {
            stderr.line(&format!("{}: {}", request.peer, error.failure));
        }
    }
    let text = if json {
        as_json(&outcomes)
    } else {
        poems(&outcomes)
    };
    let printed = print(&text, wrong.command);
    let broken = printed.as_ref().err().map(std::io::Error::kind);
    if broken.is_some_and(|kind| kind != ErrorKind::BrokenPipe) {
        stderr.line("quatrain: cannot write to stdout: it takes nothing");
    }
    stderr.flush();
    let failed = broken.is_some() || outcomes.iter().any(|outcome| outcome.poem.is_err());
    match signal.load(Ordering::SeqCst) {
        0 => std::process::exit(i32::from(failed)),
        signal => std::process::exit(128 + signal),
    }
}

/// Cancels everything at SIGINT or SIGTERM; returns where the signal is noted.
fn cancel_at_signal(cancel: &Cancel) -> Arc<AtomicI32> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block().expect("blocked signals");
    let noted = Arc::new(AtomicI32::new(0));
    let (note, cancel) = (Arc::clone(&noted), cancel.clone());
    thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            note.store(signal as i32, Ordering::SeqCst);
            cancel.all();
        }
    });
    noted
}

fn poems(outcomes: &[Outcome]) -> String {
    outcomes
        .iter()
        .flat_map(|outcome| outcome.poem.as_deref())
        .collect()
}

fn fail_with_transform(outcome: &mut Outcome) {
    if let (Ok(_), Some(failure)) = (&outcome.poem, outcome.transform_failure.take()) {
        outcome.poem = Err(failure);
    }
}

fn as_json(outcomes: &[Outcome]) -> String {
    let line = |outcome: &Outcome| {
        let failed = outcome.poem.as_ref().err();
        let transform_failed = outcome.transform_failure.as_ref();
        let object = serde_json::json!({
            "status": failed.map_or("arrived", |error| error.failure.status()),
            "poem": outcome.poem.as_ref().ok(),
            "bytes": outcome.bytes,
            "error": failed.map(ToString::to_string),
            "transform_error": transform_failed.map(ToString::to_string),
        });
        format!("{object}\n")
    };
    outcomes.iter().map(line).collect()
}

fn print(text: &str, flaw: Option<CommandFlaw>) -> std::io::Result<()> {
    match flaw {
        Some(CommandFlaw::PanicsOnOutput) => {
            print!("{text}");
            return Ok(());
        }
        Some(CommandFlaw::IgnoresLostOutput) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return Ok(());
        }
        _ => {}
    }
    // Rust opens `/dev/null` in place of a stdout that was closed before the start.
    if std::fs::read_link("/proc/self/fd/1").is_ok_and(|path| path.as_os_str() == "/dev/null") {
        return Err(std::io::Error::other("stdout is closed"));
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
