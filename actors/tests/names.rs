//! Registered names (O9), on virtual time.

mod common;

use std::sync::mpsc::{self, Receiver};

use actors::{
    Intensity, Name, Next, NoPort, Pid, Reason, RegisterError, Shutdown, Spec, Strategy, Supervisor,
};

use common::{Action, Puppet, Seen, TestNode, all};

const LAUREATE: Name = Name::new("laureate");

fn found(test: &TestNode) -> Option<Pid<Action>> {
    test.node.whereis(LAUREATE)
}

#[test]
fn o9_a_name_finds_its_process_until_that_ends_and_is_free_again_then() {
    let test = TestNode::new();
    let (first, _) = test.puppet("first");
    let (second, _) = test.puppet("second");
    assert_eq!(test.node.register(LAUREATE, &first), Ok(()));
    let holder = first.process().id();
    let name = LAUREATE;
    let taken = Err(RegisterError::Taken { name, holder });
    assert_eq!(test.node.register(LAUREATE, &second), taken);
    assert!(test.node.whereis::<u8>(LAUREATE).is_none());
    test.exit(&first, Reason::Normal);
    assert!(found(&test).is_none());
    assert_eq!(test.node.register(LAUREATE, &second), Ok(()));
    assert_eq!(found(&test).unwrap().process().id(), second.process().id());
    let ended = Err(RegisterError::NoProcess(Name::new("other")));
    assert_eq!(test.node.register("other", &first), ended);
}

#[test]
fn o9_an_unregistered_name_is_free_although_its_process_lives() {
    let test = TestNode::new();
    let (first, _) = test.puppet("first");
    let (second, _) = test.puppet("second");
    assert!(!test.node.unregister(LAUREATE));
    test.node.register(LAUREATE, &first).unwrap();
    // A process may have several names.
    test.node.register("poet", &first).unwrap();
    assert!(test.node.unregister(LAUREATE));
    assert!(test.node.whereis::<Action>("poet").is_some());
    assert!(found(&test).is_none() && first.process().is_alive());
    assert_eq!(test.node.register(LAUREATE, &second), Ok(()));
}

#[test]
fn o9_a_process_registers_itself_and_is_told_if_the_name_is_taken() {
    let test = TestNode::new();
    let (first, _) = test.puppet("first");
    let (second, seen) = test.puppet("second");
    let register = |puppet| {
        test.make(puppet, |puppet, me| {
            if let Err(error) = me.register("laureate") {
                puppet.say(error);
                return Next::Exit(Reason::other(error));
            }
            Next::Receive
        });
    };
    register(&first);
    register(&second);
    let (name, holder) = (LAUREATE, first.process().id());
    let error = RegisterError::Taken { name, holder };
    let seen = all(&seen);
    assert_eq!(seen[1..], [Seen::Ended(Reason::other(error))]);
    assert!(matches!(&seen[0], Seen::Said(said) if said.ends_with("is registered as laureate")));
    assert_eq!(found(&test).unwrap().process().id(), holder);
}

/// Starts a supervisor whose child is registered before it runs, and returns whether the name was free at each start.
fn supervised(test: &TestNode) -> (Pid<actors::ToSupervisor>, Receiver<bool>) {
    let (starts, started) = mpsc::channel();
    let child = Spec::new(LAUREATE, move |me| {
        let before = me.node().whereis::<Action>(LAUREATE);
        starts.send(before.is_none()).unwrap();
        let (puppet, _) = Puppet::new(false);
        let child = me.spawn_link_registered(LAUREATE, puppet, NoPort)?;
        // It has not run yet.
        assert!(me.node().whereis::<Action>(LAUREATE).is_some());
        Ok(child.into())
    })
    .shutdown(Shutdown::Kill);
    let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![child]);
    let supervisor = test.node.spawn("supervisor", supervisor);
    test.clock.settle();
    (supervisor, started)
}

#[test]
fn o9_the_name_of_a_supervised_process_survives_its_restart() {
    let test = TestNode::new();
    let (supervisor, started) = supervised(&test);
    let first = found(&test).unwrap();
    test.make(&first, |_, _| panic!("no rhyme"));
    let second = found(&test).unwrap();
    assert_ne!(second.process().id(), first.process().id());
    assert!(second.process().is_alive() && supervisor.process().is_alive());
    // Between the end and the restart there was none.
    assert_eq!(started.try_iter().collect::<Vec<_>>(), [true, true]);
}

#[test]
fn o9_a_child_whose_name_is_taken_does_not_start() {
    let test = TestNode::new();
    let (thief, _) = test.puppet("thief");
    test.node.register(LAUREATE, &thief).unwrap();
    let (supervisor, started) = supervised(&test);
    assert_eq!(started.try_iter().collect::<Vec<_>>(), [false]);
    assert!(!supervisor.process().is_alive());
    let holder = found(&test).unwrap();
    assert_eq!(holder.process().id(), thief.process().id());
}
