//! Every step of the examples, run, with what it has to show.

#[allow(dead_code)]
#[path = "../examples/step_1_process.rs"]
mod step_1_process;
#[allow(dead_code)]
#[path = "../examples/step_2_call.rs"]
mod step_2_call;
#[allow(dead_code)]
#[path = "../examples/step_3_monitor.rs"]
mod step_3_monitor;
#[allow(dead_code)]
#[path = "../examples/step_4_supervisor.rs"]
mod step_4_supervisor;
#[allow(dead_code)]
#[path = "../examples/step_5_server.rs"]
mod step_5_server;
#[allow(dead_code)]
#[path = "../examples/step_6_poet.rs"]
mod step_6_poet;

const POEM: &str = "The lamp is out,\nthe harbour is not.";

#[test]
fn o1_step_1_a_process_has_its_state_to_itself() {
    assert_eq!(step_1_process::run().unwrap(), POEM);
}

#[test]
fn o7_step_2_a_call_has_a_reply() {
    assert_eq!(step_2_call::run().unwrap(), POEM);
}

#[test]
fn o4_step_3_a_crash_ends_one_process_and_its_monitor_hears_why() {
    let shown = "The lamp is out,\ncrash: a line without words";
    assert_eq!(step_3_monitor::run().unwrap(), shown);
}

#[test]
fn o5_step_4_what_crashed_is_started_anew_under_its_name() {
    let shown = "\
supervisor (supervisor, one_for_one, mailbox 0/64)
└─ poem (0 restarts, mailbox 0/64)
crashed: true
supervisor (supervisor, one_for_one, mailbox 0/64)
└─ poem (1 restarts, mailbox 0/64)
the harbour is not.";
    assert_eq!(step_4_supervisor::run().unwrap(), shown);
}

#[test]
fn o6_step_5_the_server_is_a_tree_of_processes() {
    let shown = step_5_server::run().unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..3], ["5:AHOY?,", "5:AHOY!,", "1 crashed"]);
    assert!(lines[3].starts_with("listener (supervisor, rest_for_one"));
    assert!(
        lines
            .last()
            .is_some_and(|line| line.starts_with("└─ acceptor"))
    );
}

#[test]
fn s12_step_6_a_poet_brings_one_poem_home() {
    assert_eq!(step_6_poet::run().unwrap(), POEM);
}
