//! Every step of the examples fetches the same poems: they differ in how, not in what.

#[path = "../examples/step_1_one_after_another.rs"]
#[allow(dead_code)] // its `main`
mod step_1;
#[path = "../examples/step_2_a_thread_each.rs"]
#[allow(dead_code)]
mod step_2;
#[path = "../examples/step_3_scoped_threads.rs"]
#[allow(dead_code)]
mod step_3;
#[path = "../examples/step_4_bounded.rs"]
#[allow(dead_code)]
mod step_4;
#[path = "../examples/step_5_deadlines.rs"]
#[allow(dead_code)]
mod step_5;
#[path = "../examples/step_6_the_client.rs"]
#[allow(dead_code)]
mod step_6;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use blocking::Blocking;
use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, Pace, PoemService, Server, Service};

const POEM: &str = "Two verses with an ü,\nand in no hurry.\n";

fn serve(pace: Pace) -> Box<dyn Server> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let poem = POEM.into();
    let service = Service::Poem(PoemService { poem, pace });
    let options = Options::new(Clock::stopped());
    Blocking::NEW
        .serve(listener, service, &options, Arc::new(Unobserved))
        .unwrap()
}

fn fetches_all(get_all: fn(&[SocketAddr]) -> Vec<io::Result<String>>) {
    let fast = serve(Pace::Fast);
    let slow = serve(Pace::Slow {
        num_bytes: NonZeroUsize::new(7).unwrap(),
        delay: Duration::from_millis(1),
    });
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let poems = get_all(&[slow.address(), nobody, fast.address(), slow.address()]);
    let poems: Vec<_> = poems.into_iter().map(Result::ok).collect();
    let poem = Some(POEM.to_owned());
    assert_eq!(poems, [poem.clone(), None, poem.clone(), poem]);
    assert!(get_all(&[]).is_empty());
}

/// Fetches from two servers, the first of which sends nothing until somebody has come to the second: whoever fetches
/// one poem after another never gets there.
fn fetches_at_once(get_all: fn(&[SocketAddr]) -> Vec<io::Result<String>>) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = listeners.each_ref().map(|it| it.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let clients = listeners.map(|listener| listener.accept().unwrap().0);
        for mut client in clients {
            client.write_all(POEM.as_bytes()).unwrap();
        }
    });
    let poems = get_all(&addresses);
    server.join().unwrap();
    assert!(
        poems
            .iter()
            .all(|poem| matches!(poem, Ok(poem) if poem == POEM))
    );
}

#[test]
fn step_1_one_after_another() {
    fetches_all(step_1::get_all);
}

#[test]
fn step_2_a_thread_each() {
    fetches_all(step_2::get_all);
    fetches_at_once(step_2::get_all);
}

#[test]
fn step_3_scoped_threads() {
    fetches_all(step_3::get_all);
    fetches_at_once(step_3::get_all);
}

#[test]
fn step_4_bounded() {
    fetches_all(step_4::get_all);
    fetches_at_once(step_4::get_all);
}

#[test]
fn step_5_deadlines() {
    fetches_all(step_5::get_all);
    fetches_at_once(step_5::get_all);
}

#[test]
fn step_6_the_client() {
    fetches_all(step_6::get_all);
    fetches_at_once(step_6::get_all);
}
