//! Which events an observer receives, and their serialisation.

use super::*;
use std::sync::Mutex;

struct Recorder(Interest, Mutex<Vec<Event>>);

impl Observer for Recorder {
    fn interest(&self) -> Interest {
        self.0
    }

    fn observe(&self, event: &Event) {
        self.1.lock().unwrap().push(event.clone());
    }
}

#[test]
fn an_observer_receives_only_the_kinds_it_asks_for() {
    let recorder = Arc::new(Recorder(
        Interest::READ | Interest::CLOSED,
        Mutex::default(),
    ));
    let reporter = Reporter::new(
        "callbacks",
        Role::PoemClient,
        Clock::stopped(),
        recorder.clone(),
    );
    reporter.report(Scene::default(), Kind::Connecting);
    reporter.report(
        Scene {
            task: 3,
            ..Scene::default()
        },
        Kind::Read { bytes: 10 },
    );
    let observed = recorder.1.lock().unwrap();
    assert_eq!(observed.len(), 1);
    assert_eq!(
        (observed[0].scene.task, &observed[0].kind),
        (3, &Kind::Read { bytes: 10 })
    );
}

#[test]
fn events_survive_serialisation() {
    let event = Event {
        at: Duration::from_millis(5),
        model: "actors".into(),
        role: Role::TransformServer,
        scene: Scene {
            peer: Some(([127, 0, 0, 1], 9).into()),
            ..Scene::default()
        },
        kind: Kind::Refused(Refusal::UnknownTransform { name: "x".into() }),
    };
    let line = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
}
