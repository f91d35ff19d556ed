//! Every step of the examples, run against servers of this model.

#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_1_whole.rs"]
mod step_1_whole;
#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_2_lines.rs"]
mod step_2_lines;
#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_3_title.rs"]
mod step_3_title;
#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_4_in_order.rs"]
mod step_4_in_order;
#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_5_as_they_come.rs"]
mod step_5_as_they_come;
#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_6_read_aloud.rs"]
mod step_6_read_aloud;
#[allow(dead_code)] // Its `main` is not run here.
#[path = "../examples/step_7_transformed.rs"]
mod step_7_transformed;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::{Clock, Model, Options, Pace, Poem, PoemService, Server, Service, TransformService};
use streams::Streams;

const ONE: &str = "One,\nand the end of ONE.\n";
const TWO: &str = "Two,\nand the end of TWO.\n";

fn serve(service: Service) -> Box<dyn Server> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options::new(Clock::stopped());
    Streams
        .serve(listener, service, &options, Arc::new(Unobserved))
        .unwrap()
}

fn serve_poem(text: &str) -> Box<dyn Server> {
    let pace = Pace::Slow {
        num_bytes: NonZeroUsize::new(7).unwrap(),
        delay: Duration::from_millis(2),
    };
    let poem = Poem::from(text);
    serve(Service::Poem(PoemService { poem, pace }))
}

/// What `show` shows of two poems and, for those that want it, a transform server.
fn shown<'o, F>(
    transformed: bool,
    out: &'o mut Vec<u8>,
    show: impl FnOnce(Vec<SocketAddr>, &'o mut Vec<u8>) -> F,
) where
    F: Future<Output = Result<(), Box<dyn std::error::Error>>>,
{
    let transforms = serve(Service::Transform(TransformService::default()));
    let servers = [serve_poem(ONE), serve_poem(TWO)];
    let mut addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
    addresses.extend(transformed.then(|| transforms.address()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(show(addresses, out)).unwrap();
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn step_1_shows_a_poem() {
    let mut out = Vec::new();
    shown(false, &mut out, step_1_whole::show);
    assert_eq!(String::from_utf8(out).unwrap(), ONE);
}

#[test]
fn step_2_shows_its_lines() {
    let mut out = Vec::new();
    shown(false, &mut out, step_2_lines::show);
    assert_eq!(String::from_utf8(out).unwrap(), ONE);
}

#[test]
fn step_3_shows_its_first_line() {
    let mut out = Vec::new();
    shown(false, &mut out, step_3_title::show);
    assert_eq!(out, b"One,\n");
}

#[test]
fn step_4_shows_poems_in_order() {
    let mut out = Vec::new();
    shown(false, &mut out, step_4_in_order::show);
    assert_eq!(String::from_utf8(out).unwrap(), [ONE, TWO].concat());
}

#[test]
fn steps_5_and_6_show_every_line_of_all_poems() {
    let mut out = Vec::new();
    shown(false, &mut out, step_5_as_they_come::show);
    assert_eq!(
        sorted_lines(&String::from_utf8(out).unwrap()),
        sorted_lines(&[ONE, TWO].concat())
    );
    let mut out = Vec::new();
    shown(false, &mut out, step_6_read_aloud::show);
    assert_eq!(
        sorted_lines(&String::from_utf8(out).unwrap()),
        sorted_lines(&[ONE, TWO].concat())
    );
}

#[test]
fn step_7_shows_poems_transformed() {
    let mut out = Vec::new();
    shown(true, &mut out, step_7_transformed::show);
    let expected = [ONE, TWO].concat().to_lowercase();
    assert_eq!(
        sorted_lines(&String::from_utf8(out).unwrap()),
        sorted_lines(&expected)
    );
}
