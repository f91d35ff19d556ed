//! What a reactor of a server consists of, for a person to read: its delayed calls and timeouts, the Deferreds that wait, and what
//! each is for. It is put together in the reactor's own thread, and only when another thread asks.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use poetry::event::Wait;
use poetry::{Peer, Service};

use crate::reactor::{Inlet, Reactor, Waits};
use crate::server_state::ServerState;

/// Calls, Deferreds and timeouts of each kind that are listed one by one, so that all three fit a terminal. The rest are counted.
const LISTED_MAX: usize = 5;
/// How long a reactor may take to answer. One that does not has been in one call for that long.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Asks a reactor for its description, with or without times left.
pub(super) struct Question {
    with_times: bool,
    answer: SyncSender<String>,
}

/// What the Deferreds of a server's connections wait for.
pub(super) enum Awaited {
    /// A thread of the pool (S25).
    Pool,
    /// The fetch of a proxy, in this reactor.
    Fetch(Peer),
    /// The fetch of a proxy, in the first reactor.
    FirstReactor,
    /// Its connections have none.
    Nothing,
}

impl Awaited {
    /// Returns what the Deferreds wait for in the reactor of this number.
    pub(super) fn of(service: &Service, worker: u32) -> Self {
        match service {
            Service::Transform(service) if service.offload => Self::Pool,
            Service::Proxy(service) if worker == 0 => Self::Fetch(service.upstream.clone()),
            Service::Proxy(_) => Self::FirstReactor,
            _ => Self::Nothing,
        }
    }
}

/// Returns where other threads ask for the description of `reactor`.
pub(super) fn answers(
    reactor: &Reactor,
    state: &Rc<ServerState>,
    awaited: Awaited,
) -> Inlet<Question> {
    let state = Rc::clone(state);
    reactor.inlet(move |reactor, question: Question| {
        let description = describe(reactor, &state, &awaited, question.with_times);
        // It fails if the thread that asked no longer waits.
        let _ = question.answer.try_send(description);
    })
}

/// Asks all reactors at once, and returns their answers one below the other.
pub(super) fn ask<'i>(
    inlets: impl Iterator<Item = &'i Inlet<Question>>,
    with_times: bool,
) -> String {
    let ask = |inlet: &Inlet<Question>| -> Option<Receiver<String>> {
        let (answer, answered) = sync_channel(1);
        inlet.send(Question { with_times, answer }).ok()?;
        Some(answered)
    };
    let asked: Vec<_> = inlets.map(ask).collect();
    // When the first one has been waited for, the others have had as long.
    let mut patience = ANSWER_TIMEOUT;
    let mut all = String::new();
    for (worker, answered) in asked.into_iter().enumerate() {
        let answer = answered.map(|answered| answered.recv_timeout(patience));
        match answer {
            Some(Ok(description)) => all += &description,
            Some(Err(_)) => {
                patience = Duration::ZERO;
                let seconds = ANSWER_TIMEOUT.as_secs_f64();
                line(
                    &mut all,
                    format_args!("reactor-{worker}: in one call for more than {seconds} s"),
                );
            }
            None => line(&mut all, format_args!("reactor-{worker}: has ended")),
        }
    }
    all
}

/// Writing to a string cannot fail.
fn line(text: &mut String, line: impl std::fmt::Display) {
    let _ = writeln!(text, "{line}");
}

fn describe(reactor: &Reactor, state: &ServerState, awaited: &Awaited, with_times: bool) -> String {
    let clock = reactor.clock();
    let waits: Vec<Waits> = reactor.waits().collect();
    let mut timeouts: Vec<(Duration, &Waits)> = waits
        .iter()
        .filter_map(|waits| Some((waits.timeout?, waits)))
        .collect();
    timeouts.sort_by_key(|&(due, _)| due);
    let deferreds: Vec<String> = waits
        .iter()
        .filter_map(|it| deferred(it, awaited))
        .collect();
    let mut text = format!(
        "reactor-{}: {}, {}, {}, {}\n",
        state.scene().worker,
        counted(waits.len(), "connection"),
        counted(clock.pending(), "delayed call"),
        counted(timeouts.len(), "timeout"),
        counted(deferreds.len(), "waiting Deferred"),
    );
    let left = |due: Duration| match with_times {
        true => format!(" in {:.1} s", due.saturating_sub(clock.now()).as_secs_f64()),
        false => String::new(),
    };
    let calls = clock.delayed_calls(LISTED_MAX);
    let calls = calls.iter().map(|call| {
        let name = call.what.rsplit("::").next().unwrap_or(call.what);
        format!("delayed call{}: {name}", left(call.due))
    });
    list(&mut text, calls, clock.pending());
    let total = deferreds.len();
    list(&mut text, deferreds.into_iter(), total);
    // A slow poem moves its timeout with every piece, so that without times the list would say little and change always.
    if with_times {
        let shown = timeouts
            .iter()
            .map(|&(due, waits)| timeout(waits, &left(due)));
        list(&mut text, shown, timeouts.len());
    }
    if let Awaited::Pool = awaited {
        let (running, waiting, max) = state.pool.load();
        line(
            &mut text,
            format_args!(
                "  pool of at most {max} threads: {running} compute, {waiting} requests wait"
            ),
        );
    }
    text
}

/// Lists the first of `total` lines.
fn list(text: &mut String, lines: impl Iterator<Item = String>, total: usize) {
    for shown in lines.take(LISTED_MAX) {
        line(text, format_args!("  {shown}"));
    }
    if total > LISTED_MAX {
        line(text, format_args!("  and {} more", total - LISTED_MAX));
    }
}

/// Returns what the timeout of a connection does, which is `left` away.
fn timeout(waits: &Waits, left: &str) -> String {
    let peer = waits.peer;
    match waits.wait {
        Wait::Pace => format!("timeout{left}: sends {peer} the next piece"),
        Wait::Connect => format!("timeout{left}: gives up connecting to {peer}"),
        Wait::Write => format!("timeout{left}, if {peer} takes nothing: resets it"),
        _ => format!("timeout{left}, if {peer} sends nothing: closes it"),
    }
}

/// Returns the Deferred of a connection, if it has one.
fn deferred(waits: &Waits, awaited: &Awaited) -> Option<String> {
    let peer = waits.peer;
    Some(match (awaited, waits.wait) {
        (Awaited::Fetch(upstream), _) if !waits.is_accepted => {
            format!("Deferred of the fetch: fires when the poem of {upstream} has arrived")
        }
        (Awaited::Fetch(_), Wait::Task) => {
            format!("Deferred of {peer}: fires when the fetch ends")
        }
        (Awaited::FirstReactor, Wait::Task) => {
            format!("Deferred of {peer}: fires when reactor-0 has fetched the poem")
        }
        (Awaited::Pool, Wait::Task) => {
            format!("Deferred of {peer}: fires when a thread of the pool has computed the reply")
        }
        _ => return None,
    })
}

/// Returns the count with `noun`, in the plural unless it is one.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
