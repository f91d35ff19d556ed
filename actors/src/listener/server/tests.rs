//! Servers on loopback: what a shutdown counts, and a supervisor whose observer panics.

use std::io::{Read, Write};
use std::net::{Shutdown as Half, TcpStream};
use std::sync::mpsc;

use poetry::event::Interest;
use poetry::{Event, Pace, PoemService, TransformService};

use super::*;
use crate::poem_server::serve_poem_with;
use crate::process::{Me, Next, Process, ProcessRef, Received};
use crate::testing::real_listener;
use crate::transform_server::serve_transforms_with;

/// The timeout of every wait in these tests.
const DEADLINE: Duration = Duration::from_secs(30);

/// Reports every event.
struct Watch(mpsc::Sender<Event>);

impl Observer for Watch {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        let _ = self.0.send(event.clone());
    }
}

/// Awaits an event of the kind that `is` accepts, and returns the arbiter it happened in.
fn wait_for(events: &mpsc::Receiver<Event>, is: impl Fn(&Kind) -> bool) -> u32 {
    loop {
        let event = events.recv_timeout(DEADLINE).unwrap();
        if is(&event.kind) {
            return event.scene.worker;
        }
    }
}

fn connect(server: &RunningServer) -> TcpStream {
    let client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

/// Calls `then` when `process` is down. Its arbiter does nothing else meanwhile.
struct OnDown {
    process: ProcessRef,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl Process for OnDown {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.monitor(&self.process);
        Next::Receive
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        self.then.take().into_iter().for_each(|then| then());
        Next::Receive
    }
}

#[test]
fn s21_a_request_that_is_finished_while_the_acceptor_stops_was_in_flight() {
    let (observer, events) = mpsc::channel();
    let options = Options {
        threads: std::num::NonZeroUsize::new(2).unwrap(),
        ..crate::default_options()
    };
    let service = TransformService::default();
    let observer = Arc::new(Watch(observer));
    let server = serve_transforms_with(real_listener(), service, &options, observer).unwrap();
    // Sends a part of a request to a connection in another arbiter than the acceptor's.
    let mut client = loop {
        let mut client = connect(&server);
        client.write_all(b"7:sho").unwrap();
        if wait_for(&events, |kind| matches!(kind, Kind::Read { .. })) == 1 {
            break client;
        }
        drop(client);
        wait_for(&events, |kind| matches!(kind, Kind::Closed(_)));
    };
    let children = server
        .node
        .call(&server.root, DEADLINE, ToSupervisor::WhichChildren)
        .unwrap();
    let mut children = children.children.into_iter();
    let acceptor = children.find(|child| child.name == ACCEPTOR).unwrap();
    let (replied, reply) = mpsc::channel();
    let finish = move || {
        client.write_all(b"ut.a,").unwrap();
        client.shutdown(Half::Write).unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).unwrap();
        wait_for(&events, |kind| matches!(kind, Kind::Closed(_)));
        replied.send(reply).unwrap();
    };
    let process = acceptor.process.unwrap();
    let then: Option<Box<dyn FnOnce() + Send>> = Some(Box::new(finish));
    server.node.spawn("on-down", OnDown { process, then });
    let summary = Box::new(server).shutdown(DEADLINE);
    assert_eq!(reply.try_recv().unwrap(), b"1:A,");
    assert_eq!((summary.finished, summary.cut), (1, 0));
}

/// Panics when the first connection is accepted, and when its end is reported.
struct Fragile;

impl Observer for Fragile {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn observe(&self, event: &Event) {
        assert_ne!(event.scene.task, 0, "an observer that panics");
    }
}

#[test]
fn s20_an_observer_that_panics_at_an_accept_costs_that_connection_only() {
    poetry::panics::silence_contained();
    let (poem, pace) = ("Stars fall".into(), Pace::Fast);
    let service = PoemService { poem, pace };
    let options = crate::default_options();
    let observer = Arc::new(Fragile);
    let server = serve_poem_with(real_listener(), service, &options, observer).unwrap();
    let mut read = Vec::new();
    let lost = connect(&server).read_to_end(&mut read).unwrap_err();
    assert_eq!(lost.kind(), io::ErrorKind::ConnectionReset);
    connect(&server).read_to_end(&mut read).unwrap();
    assert_eq!(read, b"Stars fall");
    let tree = server.details().unwrap();
    assert!(tree.contains("0 crashed, 0 restarts"), "{tree}");
    let summary = Box::new(server).shutdown(DEADLINE);
    let closed = summary.counters.closed;
    assert_eq!(
        (closed.panic, closed.done, summary.counters.open),
        (1, 1, 0)
    );
}
