//! Runs every example of the ladder and checks what it prints and its exit status.
// Every example has `start` as a module of its own.
#![allow(clippy::duplicate_mod)]

#[allow(dead_code)]
#[path = "../examples/actors_01_process.rs"]
mod actors_01_process;
#[allow(dead_code)]
#[path = "../examples/actors_02_call.rs"]
mod actors_02_call;
#[allow(dead_code)]
#[path = "../examples/actors_03_monitor.rs"]
mod actors_03_monitor;
#[allow(dead_code)]
#[path = "../examples/actors_04_supervisor.rs"]
mod actors_04_supervisor;
#[allow(dead_code)]
#[path = "../examples/actors_05_server.rs"]
mod actors_05_server;
#[allow(dead_code)]
#[path = "../examples/actors_06_poet.rs"]
mod actors_06_poet;
#[allow(dead_code)]
#[path = "../examples/actors_07_library.rs"]
mod actors_07_library;
#[allow(dead_code)]
#[path = "../examples/actors_08_proxy.rs"]
mod actors_08_proxy;
#[allow(dead_code)]
#[path = "../examples/actors_09_poem_process.rs"]
mod actors_09_poem_process;
#[allow(dead_code)]
#[path = "../examples/actors_10_parent.rs"]
mod actors_10_parent;
#[allow(dead_code)]
#[path = "../examples/actors_11_monitors.rs"]
mod actors_11_monitors;
#[allow(dead_code)]
#[path = "../examples/actors_11b_reasons.rs"]
mod actors_11b_reasons;
#[path = "../examples/start/mod.rs"]
mod start;

use std::net::TcpListener;

use actors::{RunningServer, serve_poem};
use poetry::{Pace, PoemService, Server};

use start::{addresses, no_arguments, outcome};

const POEM: &str = "The lamp is out,\nthe harbour is not.";

fn prints(text: &str) -> (u8, String) {
    (0, text.to_owned())
}

#[test]
fn o1_step_1_a_process_has_its_state_to_itself() {
    let printed = outcome(&[], no_arguments, actors_01_process::run);
    assert_eq!(printed, prints(POEM));
}

#[test]
fn o7_step_2_a_call_has_a_reply() {
    let printed = outcome(&[], no_arguments, actors_02_call::run);
    assert_eq!(printed, prints(POEM));
}

#[test]
fn o4_step_3_a_crash_ends_one_process_and_its_monitor_receives_the_reason() {
    let printed = outcome(&[], no_arguments, actors_03_monitor::run);
    assert_eq!(
        printed,
        prints("The lamp is out,\ncrash: a line without words")
    );
}

#[test]
fn o5_step_4_a_crashed_process_is_restarted_under_its_name() {
    let printed = outcome(&[], no_arguments, actors_04_supervisor::run);
    let shown = "\
supervisor (supervisor, one_for_one, mailbox 0/64)
└─ poem (0 restarts, mailbox 0/64)
crashed: true
supervisor (supervisor, one_for_one, mailbox 0/64)
└─ poem (1 restart, mailbox 0/64)
   ↻ restarted: crash: a line without words
the harbour is not.";
    assert_eq!(printed, prints(shown));
}

#[test]
fn o6_step_5_the_server_is_a_tree_of_processes() {
    let (status, shown) = outcome(&[], no_arguments, actors_05_server::run);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(status, 0);
    assert_eq!(lines[..3], ["5:AHOY?,", "5:AHOY!,", "1 crashed"]);
    assert!(lines[3].starts_with("listener (supervisor, rest_for_one"));
    assert!(
        lines
            .last()
            .is_some_and(|line| line.starts_with("└─ acceptor"))
    );
}

#[test]
fn s12_step_6_a_poet_sends_its_parent_one_poem() {
    let printed = outcome(&[], addresses, actors_06_poet::run);
    assert_eq!(printed, prints(POEM));
}

#[test]
fn s10_step_6_fetches_from_the_ports_it_is_given() {
    let (_server, port) = stars();
    let printed = outcome(&[port.clone(), port], addresses, actors_06_poet::run);
    assert_eq!(printed, prints("Stars fall.\nStars fall."));
}

#[test]
fn s8_step_7_poems_are_fetched_by_name_and_replaced_meanwhile() {
    let printed = outcome(&[], no_arguments, actors_07_library::run);
    let shown = format!("{POEM}\nrefused: closed without a reply");
    assert_eq!(printed, prints(&shown));
}

#[test]
fn s9_step_8_readers_share_one_fetch() {
    let (status, shown) = outcome(&[], no_arguments, actors_08_proxy::run);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(status, 0);
    assert_eq!(lines[..4], ["Ahoy.", "Ahoy.", "Ahoy.", "1 fetch"]);
    assert!(shown.contains("├─ cache (a poem of 5 bytes, 0 restarts, mailbox 0/64)"));
}

fn stars() -> (RunningServer, String) {
    let service = PoemService {
        poem: "Stars fall.".into(),
        pace: Pace::Fast,
    };
    let server = serve_poem(TcpListener::bind("127.0.0.1:0").unwrap(), service).unwrap();
    let port = server.address().port().to_string();
    (server, port)
}

#[test]
fn s12_step_9_a_poem_is_a_process_with_a_socket() {
    let printed = outcome(&[], addresses, actors_09_poem_process::run);
    assert_eq!(printed, prints("The lamp is out,"));
    let (_server, port) = stars();
    let printed = outcome(&[port], addresses, actors_09_poem_process::run);
    assert_eq!(printed, prints("Stars fall."));
    let (status, message) = outcome(&["1".to_owned()], addresses, actors_09_poem_process::run);
    assert_eq!((status, message.contains("refused")), (1, true));
}

#[test]
fn s12_step_10_the_parent_receives_a_message_from_each() {
    let printed = outcome(&[], addresses, actors_10_parent::run);
    let shown = "0: The lamp is out,\n1: no poem: connection refused\n2: the harbour is not.";
    assert_eq!(printed, prints(shown));
    let (_server, port) = stars();
    let printed = outcome(&[port.clone(), port], addresses, actors_10_parent::run);
    assert_eq!(printed, prints("0: Stars fall.\n1: Stars fall."));
}

#[test]
fn o2_step_11_the_parent_receives_the_end_of_each() {
    let printed = outcome(&[], addresses, actors_11_monitors::run);
    let shown =
        "0: The lamp is out,\n1: no poem: crash: connection refused\n2: the harbour is not.";
    assert_eq!(printed, prints(shown));
    let (_server, port) = stars();
    let printed = outcome(&[port.clone(), port], addresses, actors_11_monitors::run);
    assert_eq!(printed, prints("0: Stars fall.\n1: Stars fall."));
}

#[test]
fn o4_step_11b_the_end_of_each_is_its_poem() {
    let printed = outcome(&[], addresses, actors_11b_reasons::run);
    let shown =
        "0: The lamp is out,\n1: no poem: crash: connection refused\n2: the harbour is not.";
    assert_eq!(printed, prints(shown));
    let (_server, port) = stars();
    let printed = outcome(&[port.clone(), port], addresses, actors_11b_reasons::run);
    assert_eq!(printed, prints("0: Stars fall.\n1: Stars fall."));
}

#[test]
fn s11_examples_report_wrong_arguments_with_status_2_and_failures_with_status_1() {
    let wrong = ["nonsense".to_owned()];
    let (status, message) = outcome(&wrong, no_arguments, actors_01_process::run);
    assert_eq!((status, message.contains("nonsense")), (2, true));
    let (status, message) = outcome(&wrong, addresses, actors_06_poet::run);
    assert_eq!((status, message.is_empty()), (2, false));
    let refused = ["1".to_owned()];
    let (status, message) = outcome(&refused, addresses, actors_06_poet::run);
    assert_eq!((status, message.contains("connection failed")), (1, true));
}
