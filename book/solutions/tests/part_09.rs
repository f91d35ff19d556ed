//! Part 9: failures go down the chain.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::mpsc;

use actors::{Me, Next, NoPort, Node, Process, Reason, Received};
use callbacks::{Deferred, Failure, FetchFailure, MemoryReactor, Peer, Poem};
use callbacks::{get_poetry, log};

/// The poem that is fetched; or, if nobody serves it, one that is known by heart. Other failures pass.
fn or_by_heart(fetched: Deferred<Poem>) -> Deferred<Poem> {
    fetched.add_errback(|failure| -> Result<Poem, Failure> {
        match failure.trap::<FetchFailure>()? {
            FetchFailure::ConnectionFailed { .. } => Ok(Poem::from("Stars fall.")),
            other => Err(other.into()),
        }
    })
}

#[test]
fn only_the_failure_that_is_known_is_handled() {
    let reactor = MemoryReactor::new();
    let peer: Peer = "10001".parse().unwrap();
    let fetch = || or_by_heart(get_poetry(&reactor, peer.clone()));
    let [down, garbled] = [fetch(), fetch()];
    let servers = reactor.dialled();
    servers[0].fail(ErrorKind::ConnectionRefused);
    servers[1].accept();
    servers[1].send(b"Ahoy\xff");
    servers[1].finish();
    reactor.settle();
    let poem = down.take_result().unwrap().unwrap();
    assert_eq!(poem.as_str(), "Stars fall.");
    let failure = garbled.take_result().unwrap().unwrap_err();
    let not_utf8 = FetchFailure::NotUtf8 { at: 4 };
    assert_eq!(failure.downcast_ref::<FetchFailure>(), Some(&not_utf8));

    // A failure of another type has not been trapped.
    let other = or_by_heart(Deferred::fail(Failure::message("no ink")));
    let failure = other.take_result().unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "no ink");
}

#[test]
fn a_failure_is_handled_or_reported() {
    poetry::panics::silence_contained();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&reports);
    log::set_hook(move |trouble| noted.borrow_mut().push(trouble.to_string()));
    let reported = || reports.take();
    let refused = || Deferred::<Poem>::fail(FetchFailure::Refused);
    let unhandled = "unhandled failure in a Deferred: ";

    // It passes each callback. While the Deferred lives, an errback may still come.
    let length = refused().add_callback(|poem| Ok(poem.as_bytes().len()));
    let twice = length.add_callback(|length| Ok(2 * length));
    assert!(reported().is_empty());
    drop(twice);
    let refusal = format!("{unhandled}refused: closed without a reply");
    assert_eq!(reported(), [refusal]);

    // One errback at the end is enough.
    let length = refused().add_callback(|poem| Ok(poem.as_bytes().len()));
    drop(length.add_errback(|_| Ok(0)));
    assert!(reported().is_empty());

    // An errback may fail too, and nothing handles that.
    drop(refused().add_errback(|_| Err(Failure::message("the log is full"))));
    assert_eq!(reported(), [format!("{unhandled}the log is full")]);

    // A panic in a callback is a failure for the next errback, and not for the one beside it.
    let poem = Deferred::succeed(Poem::from(""));
    let title = |poem: Poem| Ok(poem.as_str().lines().next().unwrap().to_owned());
    drop(poem.add_callbacks(title, |_| Ok("beside".to_owned())));
    let report = reported().remove(0);
    assert!(report.contains("a callback panicked"), "{report}");
}

/// Panics when it is told to write.
struct Poet;

impl Process for Poet {
    type Message = ();
    type Port = NoPort;

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        panic!("no rhyme")
    }
}

/// Has a poet write. It does not know what to do when a poet crashes, and does not say so anywhere.
struct Editor;

impl Process for Editor {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        let poet = me.spawn_link("poet", Poet, NoPort);
        me.send(&poet, ());
        Next::Receive
    }

    fn receive(&mut self, _: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        Next::Receive
    }
}

/// Has an editor, and traps exits: it is told how the editor ended.
struct Publisher {
    told: mpsc::Sender<Reason>,
}

impl Process for Publisher {
    type Message = ();
    type Port = NoPort;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        me.spawn_link("editor", Editor, NoPort);
        Next::Receive
    }

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Exit(exit) = received {
            let _ = self.told.send(exit.reason);
        }
        Next::Exit(Reason::Normal)
    }
}

#[test]
fn a_crash_passes_along_the_links_to_whom_traps_exits() {
    poetry::panics::silence_contained();
    let node = Node::start_one().unwrap();
    let (told, reason) = mpsc::channel();
    node.spawn("publisher", Publisher { told });
    // The editor has ended for the poet's reason.
    assert_eq!(reason.recv().unwrap(), Reason::crash("no rhyme"));
    node.stop();
}
