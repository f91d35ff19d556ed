//! Starting a node: one thread for each arbiter, each with a tokio runtime of its own under actix.

use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use actix::{ArbiterHandle, System};
use tokio::runtime::{Builder, Runtime};

use super::local::Local;
use super::node::Node;
use crate::net;
use crate::timers::Time;

impl Node {
    /// Starts a node of `arbiters` threads.
    ///
    /// # Errors
    /// The system is out of threads or descriptors.
    pub fn start(arbiters: NonZeroUsize) -> io::Result<Self> {
        start_on(arbiters, || Time::Real(net::now))
    }

    /// Starts a node of one thread.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_one() -> io::Result<Self> {
        Self::start(NonZeroUsize::MIN)
    }
}

/// Starts a node of one thread whose time stands still.
pub(super) fn start_on_virtual_time() -> io::Result<Node> {
    start_on(NonZeroUsize::MIN, || Time::Virtual(Rc::default()))
}

fn start_on(arbiters: NonZeroUsize, time: fn() -> Time) -> io::Result<Node> {
    let runtimes: Vec<_> = (0..arbiters.get())
        .map(|_| Builder::new_current_thread().enable_all().build())
        .collect::<io::Result<_>>()?;
    let (started, handles) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("actors".to_owned())
        .spawn(move || run(runtimes, &started))?;
    let (system, arbiters) = handles
        .recv()
        .map_err(|_| io::Error::other("the first arbiter did not start"))??;
    let node = Node::new(system, arbiters.clone(), thread);
    for (worker, arbiter) in (0..).zip(arbiters) {
        let node = node.clone();
        arbiter.spawn_fn(move || Local::install(node, worker, time()));
    }
    Ok(node)
}

type Started = io::Result<(System, Vec<ArbiterHandle>)>;

/// The thread of the first arbiter: starts the others, runs its own until the node stops, and joins the others.
fn run(runtimes: Vec<Runtime>, started: &mpsc::Sender<Started>) {
    let mut runtimes = runtimes.into_iter();
    let Some(first) = runtimes.next() else { return };
    let runner = System::with_tokio_rt(|| first);
    let others: io::Result<Vec<_>> = runtimes
        .map(|runtime| actix::Arbiter::try_with_tokio_rt(move || Ok(runtime)))
        .collect();
    let others = match others {
        Ok(others) => others,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let system = System::current();
    let mut handles = vec![system.arbiter().clone()];
    handles.extend(others.iter().map(actix::Arbiter::handle));
    if started.send(Ok((system, handles))).is_ok() {
        let _ = runner.run();
    }
    for arbiter in others {
        arbiter.stop();
        let _ = arbiter.join();
    }
}
