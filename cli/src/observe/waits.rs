//! What a task waits for, in the words of each model: one view, four shapes.

use poetry::event::Wait;

/// Returns what a task of `model` does while it waits for `wait`.
pub(super) fn words(model: &str, wait: Wait) -> &'static str {
    match model {
        "callbacks" => callbacks(wait),
        "actors" => actors(wait),
        "streams" => streams(wait),
        "blocking" => blocking(wait),
        _ => timeline::words::wait(wait),
    }
}

fn callbacks(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "its factory waits for build_protocol",
        Wait::Read => "its protocol waits for data_received",
        Wait::Write => "its protocol waits for resume_producing",
        Wait::Pace => "a pending call will continue the poem",
        Wait::Turn => "its bytes wait for next_turn",
        Wait::Permit => "its port waits for a connection to close",
        Wait::Task => "a Deferred will fire",
    }
}

fn actors(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "receives: its port's connection",
        Wait::Read => "receives: bytes of its port",
        Wait::Write => "receives: room in its port",
        Wait::Pace => "receives … after the time of the next piece",
        Wait::Turn => "waits for its arbiter's next round",
        Wait::Permit => "receives: room below a limit",
        Wait::Task => "receives: a message of another process",
    }
}

fn streams(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "pending: the connection",
        Wait::Read => "pending: the next chunk of its source",
        Wait::Write => "pending: demand of its sink",
        Wait::Pace => "pending: the time of the next item",
        Wait::Turn => "pending: its turn",
        Wait::Permit => "pending: a permit",
        Wait::Task => "pending: another future",
    }
}

fn blocking(wait: Wait) -> &'static str {
    match wait {
        Wait::Connect => "blocks in connect",
        Wait::Read => "blocks in recv",
        Wait::Write => "blocks in send",
        Wait::Pace => "is parked until the next piece is due",
        Wait::Turn => "has yielded",
        Wait::Permit => "blocks on a permit",
        Wait::Task => "blocks on a condition variable",
    }
}
