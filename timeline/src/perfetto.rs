//! A sheet as a trace in the JSON format that Chrome (`chrome://tracing`) and Perfetto open: a process for each program, a thread for
//! each worker, work as slices, waits as asynchronous slices, events as instants.

use std::time::Duration;

use serde_json::{Value, json};

use crate::sheet::{Program, Sheet, State, Task, Thread};
use crate::words;

/// Renders a sheet as a trace.
pub fn trace(sheet: &Sheet) -> String {
    let mut events = Vec::new();
    for (index, program) in sheet.programs.iter().enumerate() {
        let pid = index + 1;
        let name = format!("{} · {}", program.model, words::role(program.role));
        events.push(named("process_name", pid, 0, &name));
        for thread in &program.threads {
            let name = format!("thread {}", thread.worker);
            events.push(named("thread_name", pid, thread.worker, &name));
            for task in &thread.tasks {
                add_task(&mut events, program, thread, task, pid);
            }
        }
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
}

fn add_task(events: &mut Vec<Value>, program: &Program, thread: &Thread, task: &Task, pid: usize) {
    let (name, tid) = (words::task_name(program, task), thread.worker);
    for span in &task.spans {
        let (from, length) = (micros(span.from), micros(span.length()));
        match span.state {
            State::Works => events.push(json!({
                "ph": "X", "cat": "work", "name": name, "pid": pid, "tid": tid, "ts": from, "dur": length,
            })),
            State::Waits(wait) => {
                let id = format!("{pid}/{}", task.number);
                for (phase, at) in [("b", from), ("e", micros(span.to))] {
                    events.push(json!({
                        "ph": phase, "cat": name, "id": id, "name": words::wait(wait), "pid": pid, "tid": tid, "ts": at,
                    }));
                }
            }
        }
    }
    for mark in &task.marks {
        if let Some(what) = words::event(&mark.kind) {
            events.push(json!({
                "ph": "i", "s": "t", "name": format!("{name} {what}"), "pid": pid, "tid": tid, "ts": micros(mark.at),
            }));
        }
    }
}

fn named(what: &str, pid: usize, tid: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": { "name": name } })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use poetry::event::{Event, Kind, Role, Scene, Wait};

    use super::*;
    use crate::record::{Header, Record};

    #[test]
    fn work_waits_and_events_are_of_their_phases() {
        let event = |millis, kind| Event {
            at: Duration::from_millis(millis),
            model: Cow::Borrowed("actors"),
            role: Role::TransformServer,
            scene: Scene {
                worker: 2,
                task: 5,
                ..Scene::default()
            },
            kind,
        };
        let record = Record {
            header: Header::new("a test"),
            events: vec![
                event(0, Kind::Accepted),
                event(1, Kind::Running),
                event(3, Kind::Waiting(Wait::Read)),
                event(7, Kind::Closed(poetry::CloseReason::Done)),
            ],
            dropped: Some(0),
        };
        let trace: Value = serde_json::from_str(&trace(&Sheet::of(&[record]))).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |phase: &str| {
            events
                .iter()
                .filter(|event| event["ph"] == phase)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("M").len(), 2);
        let work = of("X")[0];
        assert_eq!(
            (&work["ts"], &work["dur"], &work["tid"]),
            (&json!(1000.0), &json!(2000.0), &json!(2))
        );
        assert_eq!(work["name"], "connection 5");
        assert_eq!(
            (&of("b")[0]["ts"], &of("e")[0]["ts"]),
            (&json!(3000.0), &json!(7000.0))
        );
        assert_eq!(of("i").len(), 2);
    }
}
