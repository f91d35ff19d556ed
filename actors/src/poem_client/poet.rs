//! A poet: dials, reads its poem to the end, has it transformed, and tells its parent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::{Timeout, decode_poem};
use poetry::event::{Interest, Scene};
use poetry::{FetchError, FetchFailure, FetchRequest, Kind, Outcome};

use super::Fetch;
use crate::dial::{Connect, Dial, DialEvent};
use crate::messages::{ToFetcher, ToPoet};
use crate::monitor::Reason;
use crate::port::TcpEvent;
use crate::process::{Me, Next, Pid, Process, Received};
use crate::transform_client::{Job, transform};

pub(super) struct Poet<S> {
    fetch: Arc<Fetch>,
    task: usize,
    parent: Pid<ToFetcher>,
    /// What was read, or the whole poem while it is being transformed.
    poem: Vec<u8>,
    bytes: u64,
    /// When it began, as its arbiter's deadlines count.
    begun: Duration,
    /// The same by the clock that the outcome is told in.
    begun_told: Duration,
    scene: Scene,
    stream: std::marker::PhantomData<fn() -> S>,
}

impl<S: Connect> Poet<S> {
    pub(super) fn new(fetch: Arc<Fetch>, task: usize, parent: Pid<ToFetcher>) -> (Self, Dial<S>) {
        let poet = Self {
            fetch,
            task,
            parent,
            poem: Vec::new(),
            bytes: 0,
            begun: Duration::ZERO,
            begun_told: Duration::ZERO,
            scene: Scene {
                task: task as u64,
                ..Scene::default()
            },
            stream: std::marker::PhantomData,
        };
        (poet, Dial::default())
    }

    fn request(&self) -> &FetchRequest {
        &self.fetch.requests[self.task]
    }

    fn dial(&mut self, me: &mut Me<'_, Self>) -> Next {
        let connect_timeout = self.fetch.limits.connect_timeout;
        match self.request().peer.addresses() {
            Ok(addresses) => me.port.dial(addresses.to_vec(), connect_timeout),
            Err(failure) => return self.give_up(failure, me),
        }
        self.wait_at_most(None, me);
        Next::Receive
    }

    fn dialling(&mut self, address: SocketAddr) -> Next {
        self.scene.peer = Some(address);
        self.report(Kind::Connecting);
        Next::Receive
    }

    fn dialled(
        &mut self,
        dialled: Result<SocketAddr, FetchFailure>,
        me: &mut Me<'_, Self>,
    ) -> Next {
        match dialled {
            Err(failure) => self.give_up(failure, me),
            Ok(peer) => {
                self.scene.peer = Some(peer);
                if self.fetch.reporter.wants(Interest::ALL) {
                    self.scene.local = me.port.local();
                }
                self.report(Kind::Connected);
                self.wait_at_most(Some(self.fetch.limits.idle_timeout), me);
                Next::Receive
            }
        }
    }

    fn read(&mut self, bytes: &[u8], me: &mut Me<'_, Self>) -> Next {
        let count = bytes.len() as u64;
        self.bytes += count;
        self.report(Kind::Read { bytes: count });
        let limit = self.fetch.limits.poem_bytes_max;
        if self.poem.len() + bytes.len() > limit {
            return self.give_up(
                FetchFailure::TooLong {
                    limit: limit as u64,
                },
                me,
            );
        }
        self.poem.extend_from_slice(bytes);
        self.wait_at_most(Some(self.fetch.limits.idle_timeout), me);
        Next::Receive
    }

    /// The poem is whole: the next process has it transformed, or it is brought home.
    fn arrived(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.port.close();
        let poem = match decode_poem(std::mem::take(&mut self.poem)) {
            Ok(poem) => poem,
            Err(failure) => return self.give_up(failure, me),
        };
        self.report(Kind::Finished {
            bytes: poem.len() as u64,
        });
        let Some(via) = &self.request().via else {
            return self.bring_home(Ok(poem), None, me);
        };
        let job = Job {
            transform: via.transform.clone(),
            server: via.peer.clone(),
            task: self.task,
            deadline: self.deadline(),
            fetch: Arc::clone(&self.fetch),
        };
        transform::<S, _>(job, &poem, me);
        self.poem = poem.into_bytes();
        // The transformer keeps the time from here.
        me.forever();
        Next::Receive
    }

    // ANCHOR: fallback
    /// What the transformer brought; if it is a failure, the original poem is kept (S13).
    fn transformed(&mut self, answer: Result<String, FetchFailure>, me: &mut Me<'_, Self>) -> Next {
        let original = std::mem::take(&mut self.poem);
        match (answer, &self.request().via) {
            (Ok(poem), _) => self.bring_home(Ok(poem), None, me),
            (Err(failure), Some(via)) => {
                let failure = FetchError::new(&via.peer, failure);
                self.bring_home(decode_poem(original), Some(failure), me)
            }
            (Err(_), None) => self.bring_home(decode_poem(original), None, me),
        }
    }
    // ANCHOR_END: fallback

    fn timed_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        let now = me.now();
        let which = match self.deadline() {
            Some(deadline) if deadline <= now => Timeout::Total,
            _ => Timeout::Idle,
        };
        self.give_up(FetchFailure::TimedOut(which), me)
    }

    fn lost(&mut self, error: &io::Error, me: &mut Me<'_, Self>) -> Next {
        self.give_up(FetchFailure::connection_lost(error), me)
    }

    fn give_up(&mut self, failure: FetchFailure, me: &mut Me<'_, Self>) -> Next {
        self.bring_home(Err(failure), None, me)
    }

    /// The one message to the parent.
    fn bring_home(
        &mut self,
        poem: Result<String, FetchFailure>,
        transform_failure: Option<FetchError>,
        me: &mut Me<'_, Self>,
    ) -> Next {
        me.port.close();
        if let Err(failure) = &poem {
            self.report(Kind::Failed(failure.clone()));
        }
        let outcome = Outcome {
            poem: poem.map_err(|failure| FetchError::new(&self.request().peer, failure)),
            transform_failure,
            bytes: self.bytes,
            elapsed: self.told_now().saturating_sub(self.begun_told),
        };
        let task = self.task;
        me.send(&self.parent, ToFetcher::Poem { task, outcome });
        Next::Exit(Reason::Normal)
    }

    /// Wants to be woken after `idle`, and by the total deadline.
    fn wait_at_most(&self, idle: Option<Duration>, me: &mut Me<'_, Self>) {
        let idle = idle.map(|idle| me.now().saturating_add(idle));
        match idle.into_iter().chain(self.deadline()).min() {
            Some(due) => me.until(due),
            None => me.forever(),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let total = self.fetch.limits.total_deadline?;
        Some(self.begun.saturating_add(total))
    }

    fn told_now(&self) -> Duration {
        self.fetch.reporter.clock().now()
    }

    fn report(&self, kind: Kind) {
        self.fetch.reporter.report(self.scene, kind);
    }
}

impl<S: Connect> Process for Poet<S> {
    type Message = ToPoet;
    type Port = Dial<S>;
    const MAILBOX: usize = 1;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        self.begun = me.now();
        self.begun_told = self.told_now();
        self.scene.worker = me.worker();
        self.dial(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(DialEvent::Dialling(address)) => self.dialling(address),
            Received::Port(DialEvent::Dialled(dialled)) => self.dialled(dialled, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Data(bytes))) => self.read(bytes, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Closed)) => self.arrived(me),
            Received::Port(DialEvent::Tcp(TcpEvent::Error(error))) => self.lost(&error, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Writable)) | Received::Down(_) => Next::Receive,
            Received::Message(ToPoet::Transformed(answer)) => self.transformed(answer, me),
            Received::Timeout => self.timed_out(me),
            Received::Exit(exit) => match exit.from {
                None => {
                    let _ = self.give_up(FetchFailure::Cancelled, me);
                    // Not a normal exit: a transformer that is linked goes with it.
                    Next::Exit(Reason::Shutdown)
                }
                // The transformer crashed; its message would have come first.
                Some(_) if exit.reason.is_abnormal() => {
                    let cause = exit.reason.to_string();
                    self.transformed(Err(FetchFailure::ConnectionLost { cause }), me)
                }
                Some(_) => Next::Receive,
            },
        }
    }
}
