//! Part 20: processes and messages.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use actors::{
    Intensity, Me, Name, Next, NoPort, Node, Process, ProcessRef, Reason, Received, Reply,
    SendError, Shutdown, Spec, Strategy, Supervisor,
};
use poetry::panics::silence_contained;
use solutions::wait_until;

/// How long a process may take to reply.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Ends as its only message says.
struct Guest;

impl Process for Guest {
    type Message = &'static str;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message("crash") => panic!("no more lines"),
            Received::Message(_) => Next::Exit(Reason::Normal),
            _ => Next::Receive,
        }
    }
}

/// How many processes ended for each reason.
type Ends = BTreeMap<String, usize>;

/// Monitors its guests, and counts their ends.
#[derive(Default)]
struct Census {
    open: usize,
    ends: Ends,
    asked: Option<Reply<Ends>>,
}

enum ToCensus {
    Enter(ProcessRef, Reply<()>),
    /// Answered when all have ended: `gen_server:reply`.
    WaitForTheLast(Reply<Ends>),
}

impl Process for Census {
    type Message = ToCensus;
    type Port = NoPort;

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Message(ToCensus::Enter(guest, reply)) => {
                me.monitor(&guest);
                self.open += 1;
                reply.send(());
            }
            Received::Message(ToCensus::WaitForTheLast(reply)) => self.asked = Some(reply),
            Received::Down(down) => {
                self.open -= 1;
                *self.ends.entry(down.reason.to_string()).or_default() += 1;
            }
            _ => {}
        }
        if self.open == 0
            && let Some(asked) = self.asked.take()
        {
            asked.send(self.ends.clone());
        }
        Next::Receive
    }
}

#[test]
fn a_census_counts_ends_by_their_reasons() {
    silence_contained();
    let node = Node::start_one().unwrap();
    let census = node.spawn("census", Census::default());
    let [done, crashed, killed] = [(); 3].map(|()| {
        let guest = node.spawn("guest", Guest);
        let process = guest.process();
        let enter = move |reply| ToCensus::Enter(process, reply);
        // A call: when it returns, the guest is monitored, so that no end is missed.
        assert_eq!(node.call(&census, TIMEOUT, enter), Ok(()));
        guest
    });
    let ends = node.ask(&census, TIMEOUT, ToCensus::WaitForTheLast);
    node.send(&done, "thank you");
    node.send(&crashed, "crash");
    killed.process().kill();
    let expected = ["crash: no more lines", "killed", "normal"].map(|reason| (reason.into(), 1));
    assert_eq!(ends.wait(), Ok(Ends::from(expected)));
    node.stop();
}

const GUEST: Name = Name::new("guest");

/// Returns the specification of a guest, which is found by its name.
fn guest() -> Spec {
    Spec::registered(GUEST, || Guest).shutdown(Shutdown::Kill)
}

#[test]
fn a_supervisor_gives_up_at_the_second_crash() {
    silence_contained();
    let node = Node::start_one().unwrap();
    // One restart in five seconds.
    let supervisor = Supervisor::new(Strategy::OneForOne, Intensity::default(), vec![guest()]);
    let supervisor = node.spawn("supervisor", supervisor).process();
    let find = || node.whereis::<&'static str>(GUEST);
    let [first, second] = [(); 2].map(|()| {
        wait_until("a guest is there", || find().is_some());
        let guest = find().unwrap();
        node.send(&guest, "crash");
        wait_until("it has crashed", || !guest.process().is_alive());
        guest.process().id()
    });
    assert_ne!(first, second);
    assert_eq!(node.join(&supervisor), Reason::Shutdown);
    assert!(find().is_none());
    node.stop();
}

/// Says what it hears, and stays in its handler until the gate lets it go.
struct Slow {
    hears: mpsc::Sender<u32>,
    gate: mpsc::Receiver<()>,
}

impl Process for Slow {
    type Message = u32;
    type Port = NoPort;
    const MAILBOX: usize = 2;

    fn receive(&mut self, received: Received<'_, Self>, _: &mut Me<'_, Self>) -> Next {
        if let Received::Message(number) = received {
            let _ = self.hears.send(number);
            let _ = self.gate.recv();
        }
        Next::Receive
    }
}

#[test]
fn a_sender_to_a_full_mailbox_waits() {
    let node = Node::start_one().unwrap();
    let ((hears, heard), (open, gate)) = (mpsc::channel(), mpsc::channel());
    let slow = node.spawn("slow", Slow { hears, gate });
    assert_eq!(slow.try_send(0), Ok(()));
    assert_eq!(heard.recv(), Ok(0)); // Now it is in its handler.
    assert_eq!(slow.try_send(1), Ok(()));
    assert_eq!(slow.try_send(2), Ok(()));
    assert_eq!(slow.try_send(3), Err(SendError::Full(3)));
    let sender = thread::spawn(move || futures::executor::block_on(slow.send(3)));
    for _ in 0..4 {
        open.send(()).unwrap();
    }
    assert_eq!(heard.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(sender.join().unwrap(), Ok(()));
    node.stop();
}
