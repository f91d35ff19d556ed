//! What a supervisor is asked to do with one child, and children that are significant (O5).

use std::sync::mpsc;

use actors::{
    AutoShutdown, ChildError, Intensity, Name, Pid, Reason, Reply, Restart, Strategy, Supervisor,
    ToSupervisor,
};

use crate::common::{DEADLINE, TestNode};
use crate::supervised::{Act, Known, Note, Supervised, spec};

/// A request about the child of a name.
type Request = fn(Name, Reply<Result<(), ChildError>>) -> ToSupervisor;

fn ask(supervised: &Supervised, number: u64, request: Request) -> Result<(), ChildError> {
    let ask = move |reply| request(Name::numbered("child", number), reply);
    let node = &supervised.test.node;
    node.call(&supervised.supervisor, DEADLINE, ask).unwrap()
}

/// A permanent child and a temporary one.
fn two_children() -> Supervised {
    let children = [(Restart::Permanent, false), (Restart::Temporary, false)];
    let supervised = Supervised::new(Strategy::OneForOne, Intensity::default(), &children);
    assert_eq!(supervised.notes(), [0, 1].map(Note::Started));
    supervised
}

#[test]
fn o5_a_child_that_was_terminated_is_kept_until_it_is_deleted() {
    let it = two_children();
    assert_eq!(ask(&it, 0, ToSupervisor::Restart), Err(ChildError::Running));
    assert_eq!(ask(&it, 0, ToSupervisor::Delete), Err(ChildError::Running));
    assert_eq!(ask(&it, 0, ToSupervisor::Terminate), Ok(()));
    assert_eq!(ask(&it, 0, ToSupervisor::Terminate), Ok(()));
    assert_eq!(it.notes(), [Note::Ended(0, Reason::Shutdown)]);
    assert_eq!(ask(&it, 0, ToSupervisor::Restart), Ok(()));
    assert_eq!(it.notes(), [Note::Started(0)]);
    assert_eq!(ask(&it, 0, ToSupervisor::Terminate), Ok(()));
    assert_eq!(ask(&it, 0, ToSupervisor::Delete), Ok(()));
    let requests: [Request; 3] = [
        ToSupervisor::Terminate,
        ToSupervisor::Restart,
        ToSupervisor::Delete,
    ];
    for request in requests {
        assert_eq!(ask(&it, 0, request), Err(ChildError::NotFound));
    }
}

#[test]
fn o5_a_temporary_child_that_was_terminated_is_not_kept() {
    let it = two_children();
    assert_eq!(ask(&it, 1, ToSupervisor::Terminate), Ok(()));
    assert_eq!(ask(&it, 1, ToSupervisor::Delete), Err(ChildError::NotFound));
}

#[test]
fn o5_a_terminated_child_that_does_not_start_again_is_kept() {
    let it = two_children();
    assert_eq!(ask(&it, 0, ToSupervisor::Terminate), Ok(()));
    it.at_once(vec![Act::Refuse(0, 1)]);
    let failed = ChildError::NotStarted(Reason::crash("indisposed"));
    assert_eq!(ask(&it, 0, ToSupervisor::Restart), Err(failed));
    assert_eq!(ask(&it, 0, ToSupervisor::Restart), Ok(()));
}

#[test]
fn o5_a_terminated_child_starts_again_with_all_its_siblings() {
    let children = [(Restart::Permanent, false); 2];
    let it = Supervised::new(Strategy::OneForAll, Intensity::default(), &children);
    assert_eq!(ask(&it, 0, ToSupervisor::Terminate), Ok(()));
    it.notes();
    it.at_once(vec![Act::Kill(1)]);
    let ended = Note::Ended(1, Reason::Killed);
    assert_eq!(it.notes(), [ended, Note::Started(0), Note::Started(1)]);
}

#[test]
fn o5_a_second_child_of_a_name_does_not_start() {
    let it = two_children();
    let again = spec(0, Restart::Permanent, false, &it.note, &it.known);
    let start = |reply| ToSupervisor::Start(again, reply);
    let node = &it.test.node;
    assert_eq!(node.call(&it.supervisor, DEADLINE, start), Ok(false));
    assert_eq!(it.notes(), []);
}

#[test]
fn o5_a_supervisor_does_not_start_with_children_that_do_not_fit() {
    let test = TestNode::new();
    let (note, notes) = mpsc::channel();
    let known = Known::default();
    let supervisor = |specs| Supervisor::new(Strategy::OneForOne, Intensity::default(), specs);
    let child = |restart| spec(0, restart, false, &note, &known);
    let twice = vec![child(Restart::Permanent), child(Restart::Permanent)];
    let never = vec![child(Restart::Transient).significant()];
    let permanent = vec![child(Restart::Permanent).significant()];
    let permanent = supervisor(permanent).auto_shutdown(AutoShutdown::AnySignificant);
    for (supervisor, words) in [
        (supervisor(twice), "two children have the name child-0"),
        (supervisor(never), "set the supervisor's auto_shutdown"),
        (permanent, "make it transient or temporary"),
    ] {
        let supervisor = test.node.spawn("supervisor", supervisor).process();
        test.clock.settle();
        let reason = supervisor.exit_reason();
        let names_it = |flaw: &str| flaw.contains("child-0") && flaw.contains(words);
        let is_told = matches!(&reason, Some(Reason::Crash(flaw)) if names_it(flaw));
        assert!(is_told, "{reason:?}");
    }
    assert_eq!(notes.try_recv().ok(), None);
}

/// Two significant children and one that is not.
fn significant(auto_shutdown: AutoShutdown) -> (TestNode, Pid<ToSupervisor>, Known) {
    let test = TestNode::new();
    let (note, _) = mpsc::channel();
    let known = Known::default();
    let child = |number, restart| spec(number, restart, false, &note, &known);
    let specs = vec![
        child(0, Restart::Transient).significant(),
        child(1, Restart::Temporary).significant(),
        child(2, Restart::Temporary),
    ];
    let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), specs);
    let supervisor = supervisor.auto_shutdown(auto_shutdown);
    let supervisor = test.node.spawn("supervisor", supervisor);
    test.clock.settle();
    (test, supervisor, known)
}

#[test]
fn o5_a_supervisor_exits_when_significant_children_have_ended_by_themselves() {
    use AutoShutdown::{AllSignificant, AnySignificant};
    let crash = || Reason::crash("no rhyme");
    for (auto_shutdown, ends, exits) in [
        (AnySignificant, vec![(2, Reason::Normal)], false),
        // It is restarted.
        (AnySignificant, vec![(0, crash())], false),
        (AnySignificant, vec![(0, Reason::Normal)], true),
        (AllSignificant, vec![(1, crash())], false),
        (AllSignificant, vec![(1, crash()), (0, crash())], false),
        (
            AllSignificant,
            vec![(1, crash()), (0, Reason::Normal)],
            true,
        ),
    ] {
        let (test, supervisor, known) = significant(auto_shutdown);
        for (child, reason) in ends {
            let child = known.lock().unwrap().pids[&child].clone();
            child.try_send(reason).unwrap();
            test.clock.settle();
        }
        let expected = exits.then_some(Reason::Shutdown);
        assert_eq!(supervisor.process().exit_reason(), expected);
    }
}

#[test]
fn o5_a_supervisor_does_not_exit_for_a_significant_child_that_it_was_told_to_stop() {
    let (test, supervisor, _) = significant(AutoShutdown::AnySignificant);
    let name = Name::numbered("child", 0);
    let stop = move |reply| ToSupervisor::Terminate(name, reply);
    assert_eq!(test.node.call(&supervisor, DEADLINE, stop), Ok(Ok(())));
    assert!(supervisor.process().is_alive());
}
