//! Records of real runs of every model: their form, and what they say about threads.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poetry::event::{Event, Interest, Kind, Observer, Role, Unobserved};
use poetry::{
    Cancel, FetchRequest, Model, Options, Pace, PoemService, Server, Service, TransformService,
    Via, netstring,
};
use timeline::sheet::{Program, State, Task};
use timeline::{Header, Memory, Record, Recorder, Sheet};

const POEM: &str = "one two three four five six\n";

fn listen() -> std::net::TcpListener {
    models::listen(([127, 0, 0, 1], 0).into()).unwrap()
}

fn memory() -> Arc<Memory> {
    Arc::new(Memory::new(100_000))
}

fn slow() -> Service {
    Service::Poem(PoemService {
        poem: POEM.into(),
        pace: Pace::Slow {
            num_bytes: NonZeroUsize::new(10).unwrap(),
            delay: Duration::from_millis(60),
        },
    })
}

fn serve(model: &dyn Model, service: Service, observer: Arc<dyn Observer>) -> Box<dyn Server> {
    let options = Options::new(models::clock());
    model.serve(listen(), service, &options, observer).unwrap()
}

/// Three slow poems at once, of which `observer` sees the client.
fn fetch_three(model: &dyn Model, observer: Arc<dyn Observer>) {
    let server = serve(model, slow(), Arc::new(Unobserved));
    let client = model.client(&Options::new(models::clock())).unwrap();
    let requests = [0; 3].map(|_| FetchRequest::new(server.address()));
    for outcome in client.fetch(&requests, observer, &Cancel::new()) {
        assert_eq!(outcome.poem.as_deref(), Ok(POEM));
    }
}

fn record(memory: &Memory) -> Record {
    memory.take(Header::new("a test"))
}

fn programs(memory: &Memory, role: Role) -> Program {
    let sheet = Sheet::of(&[record(memory)]);
    let mut programs = sheet.programs.into_iter();
    programs
        .find(|program| program.role == role)
        .expect("the role is recorded")
}

fn tasks(program: &Program) -> impl Iterator<Item = &Task> {
    program.threads.iter().flat_map(|thread| &thread.tasks)
}

/// A thread runs one task at a time.
fn assert_work_never_overlaps(program: &Program) {
    for thread in &program.threads {
        let spans = thread.tasks.iter().flat_map(|task| &task.spans);
        let mut work: Vec<_> = spans.filter(|span| span.is_work()).collect();
        work.sort_by_key(|span| span.from);
        for pair in work.windows(2) {
            assert!(pair[0].to <= pair[1].from, "{}: {pair:?}", program.model);
        }
    }
}

#[test]
fn one_thread_runs_three_fetches_and_blocking_has_a_thread_for_each() {
    for model in models::ALL {
        let memory = memory();
        fetch_three(*model, memory.clone());
        let client = programs(&memory, Role::PoemClient);
        assert_work_never_overlaps(&client);
        let working = client
            .threads
            .iter()
            .filter(|thread| !thread.busy().is_zero());
        let expected = if model.name() == "blocking" { 3 } else { 1 };
        assert_eq!(working.count(), expected, "{}", model.name());
        assert_eq!(
            (client.tasks(), client.most_at_once()),
            (3, 3),
            "{}",
            model.name()
        );
    }
}

#[test]
fn a_fetch_waits_for_its_connection_and_then_for_bytes() {
    for model in models::ALL {
        let memory = memory();
        fetch_three(*model, memory.clone());
        let client = programs(&memory, Role::PoemClient);
        for task in tasks(&client).filter(|task| !task.spans.is_empty()) {
            let waits = |state: &State| matches!(state, State::Waits(poetry::event::Wait::Read));
            let reads = task.spans.iter().filter(|span| waits(&span.state)).count();
            assert!(reads >= 1, "{}: {:?}", model.name(), task.spans);
            let last = task.spans.last().unwrap();
            assert!(last.is_work(), "{}: {:?}", model.name(), task.spans);
        }
    }
}

#[test]
fn a_slow_poem_waits_for_its_pace() {
    for model in models::ALL {
        let memory = memory();
        let server = serve(*model, slow(), memory.clone());
        let mut text = String::new();
        TcpStream::connect(server.address())
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, POEM);
        server.shutdown(Duration::from_secs(1));
        let program = programs(&memory, Role::PoemServer);
        assert_work_never_overlaps(&program);
        let paced = tasks(&program).flat_map(|task| &task.spans);
        let paced = paced.filter(|span| span.state == State::Waits(poetry::event::Wait::Pace));
        // Between three chunks, and before FIN.
        assert!(paced.count() >= 3, "{}", model.name());
    }
}

fn ask(address: SocketAddr, requests: &[&str], replies: &[u8]) {
    let mut wire = Vec::new();
    for request in requests {
        netstring::encode(request.as_bytes(), &mut wire);
    }
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(&wire).unwrap();
    let mut arrived = vec![0; replies.len()];
    socket.read_exact(&mut arrived).unwrap();
    assert_eq!(arrived, replies);
}

fn transforms(offload: bool) -> Service {
    Service::Transform(TransformService {
        keep_alive: true,
        lab: Some(models::clock()),
        offload,
    })
}

#[test]
fn a_request_that_computes_keeps_its_thread_for_as_long() {
    for model in models::ALL {
        let memory = memory();
        let server = serve(*model, transforms(false), memory.clone());
        ask(server.address(), &["burn.X"], b"1:X,");
        server.shutdown(Duration::from_secs(1));
        let program = programs(&memory, Role::TransformServer);
        let longest = program
            .threads
            .iter()
            .filter_map(|thread| thread.longest_turn());
        let longest = longest.map(|(_, span)| span.length()).max().unwrap();
        // `burn` computes for 10 ms of processor time.
        assert!(
            longest >= Duration::from_millis(9),
            "{}: {longest:?}",
            model.name()
        );
    }
}

#[test]
fn a_request_that_is_computed_elsewhere_is_a_wait_for_another_task() {
    for model in models::ALL
        .iter()
        .filter(|model| model.name() != "blocking")
    {
        let memory = memory();
        let server = serve(*model, transforms(true), memory.clone());
        ask(server.address(), &["burn.X"], b"1:X,");
        server.shutdown(Duration::from_secs(1));
        let program = programs(&memory, Role::TransformServer);
        let waits = tasks(&program).flat_map(|task| &task.spans);
        let other = State::Waits(poetry::event::Wait::Task);
        assert!(
            waits.filter(|span| span.state == other).count() >= 1,
            "{}",
            model.name()
        );
    }
}

#[test]
fn a_transform_is_in_the_row_of_its_fetch() {
    for model in models::ALL {
        let memory = memory();
        let poems = serve(*model, slow(), Arc::new(Unobserved));
        let transforms = serve(*model, transforms(false), Arc::new(Unobserved));
        let via = Via {
            transform: "shout".to_owned(),
            peer: transforms.address().into(),
        };
        let client = model.client(&Options::new(models::clock())).unwrap();
        let request = FetchRequest::new(poems.address()).via(via);
        let outcomes = client.fetch(&[request], memory.clone(), &Cancel::new());
        assert_eq!(
            outcomes[0].poem.as_deref(),
            Ok(POEM.to_uppercase().as_str())
        );
        let sheet = Sheet::of(&[record(&memory)]);
        let [program] = &sheet.programs[..] else {
            panic!("{}: {:?}", model.name(), sheet.programs);
        };
        assert_eq!(program.tasks(), 1, "{}", model.name());
        let finished = tasks(program).flat_map(|task| &task.marks);
        let finished = finished.filter(|mark| matches!(mark.kind, Kind::Finished { .. }));
        assert_eq!(finished.count(), 2, "{}", model.name());
    }
}

/// Wants everything but turns.
struct WithoutTurns(Mutex<BTreeSet<String>>);

impl Observer for WithoutTurns {
    fn interest(&self) -> Interest {
        Interest::READ | Interest::FINISHED
    }

    fn observe(&self, event: &Event) {
        let kind = format!("{:?}", event.kind);
        let name = kind.split([' ', '(']).next().unwrap_or_default().to_owned();
        self.0.lock().unwrap().insert(name);
    }
}

#[test]
fn turns_are_reported_only_to_observers_that_want_them() {
    for model in models::ALL {
        let observer = Arc::new(WithoutTurns(Mutex::default()));
        fetch_three(*model, observer.clone());
        let kinds: Vec<String> = observer.0.lock().unwrap().iter().cloned().collect();
        assert_eq!(kinds, ["Finished", "Read"], "{}", model.name());
    }
}

/// A file in memory.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_of_a_record_is_as_the_schema_says() {
    let schema = serde_json::from_str(include_str!("../record.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for model in models::ALL {
        let file = File::default();
        let recorder = Recorder::start(file.clone(), &Header::new("a test")).unwrap();
        let server = serve(*model, transforms(false), recorder.observer());
        ask(server.address(), &["shout.x", "burn.y"], b"1:X,1:y,");
        ask(server.address(), &["no.such"], b"");
        server.shutdown(Duration::from_secs(1));
        fetch_three(*model, recorder.observer());
        let written = recorder.finish(Duration::from_secs(30)).unwrap();
        assert!(written.events > 15 && written.dropped == 0, "{written:?}");
        let text = String::from_utf8(file.0.lock().unwrap().clone()).unwrap();
        for line in text.lines() {
            let value = serde_json::from_str(line).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| error.to_string())
                .collect();
            assert!(errors.is_empty(), "{line}: {errors:?}");
        }
        assert!(
            validator
                .iter_errors(&serde_json::json!({"at": 1}))
                .next()
                .is_some()
        );
        Record::read(text.as_bytes()).unwrap();
    }
}
