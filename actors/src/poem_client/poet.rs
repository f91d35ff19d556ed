//! A poet: connects, reads its poem to the end, has it transformed, and sends its parent one message.

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::{Timeout, decode_poem};
use poetry::event::{Interest, Scene, Wait};
use poetry::{FetchError, FetchFailure, FetchRequest, Kind, Outcome, netstring};

use super::FetchSettings;
use crate::dial::{Connect, Dial, DialEvent};
use crate::exchange::Exchange;
use crate::messages::{Fetched, ToPoet};
use crate::monitor::{Exit, ProcessId, Reason};
use crate::port::TcpEvent;
use crate::process::{Me, Next, Pid, Process, Received, Turn};
use crate::transform_client::{Job, trace, transform};

pub(super) struct Poet<S, M> {
    settings: Arc<FetchSettings>,
    task: usize,
    request: FetchRequest,
    parent: Pid<M>,
    /// The request by name and its reply, if the peer is a library (S8).
    exchange: Option<Exchange>,
    transformer: Option<ProcessId>,
    /// The bytes read so far, or the whole poem while it is being transformed.
    poem: Vec<u8>,
    /// The number of bytes read.
    bytes: u64,
    /// When it started, by the arbiter's clock.
    started: Duration,
    /// When it started, by the clock of the settings.
    started_reported: Duration,
    scene: Scene,
    stream: PhantomData<fn() -> S>,
}

impl<S: Connect, M: From<Fetched> + Send + 'static> Poet<S, M> {
    pub(super) fn new(
        settings: Arc<FetchSettings>,
        task: usize,
        request: FetchRequest,
        parent: Pid<M>,
    ) -> (Self, Dial<S>) {
        let exchange = request.name.as_ref().map(|name| {
            let mut wire = Vec::new();
            netstring::encode(name.as_str().as_bytes(), &mut wire);
            Exchange::new(wire, settings.limits.poem_bytes_max)
        });
        let poet = Self {
            settings,
            exchange,
            task,
            request,
            parent,
            transformer: None,
            poem: Vec::new(),
            bytes: 0,
            started: Duration::ZERO,
            started_reported: Duration::ZERO,
            scene: Scene {
                task: task as u64,
                ..Scene::default()
            },
            stream: PhantomData,
        };
        (poet, Dial::default())
    }

    fn dial(&mut self, me: &mut Me<'_, Self>) -> Next {
        let FetchSettings {
            limits,
            descriptors,
            ..
        } = &*self.settings;
        let connect_timeout = limits.connect_timeout;
        match self.request.peer.addresses() {
            Ok(addresses) => me
                .port
                .dial(addresses.to_vec(), connect_timeout, descriptors),
            Err(failure) => return self.fail(failure, me),
        }
        self.set_timeout(None, me);
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
            Err(failure) => self.fail(failure, me),
            Ok(peer) => {
                self.scene.peer = Some(peer);
                if self.settings.reporter.wants(Interest::ALL) {
                    self.scene.local = me.port.local();
                }
                self.report(Kind::Connected);
                self.write(me)
            }
        }
    }

    /// Writes the name, if the peer is a library, and waits for the poem.
    fn write(&mut self, me: &mut Me<'_, Self>) -> Next {
        if let Some(exchange) = &mut self.exchange {
            exchange.write(&mut me.port.tcp);
        }
        self.wait(me)
    }

    // ANCHOR: poet_reads
    fn read(&mut self, bytes: &[u8], me: &mut Me<'_, Self>) -> Next {
        let count = bytes.len() as u64;
        self.bytes += count;
        self.report(Kind::Read { bytes: count });
        if let Some(exchange) = &mut self.exchange {
            return match exchange.read(bytes) {
                Ok(None) => self.wait(me),
                Ok(Some(poem)) => self.arrived(poem, me),
                Err(error) => self.fail(FetchFailure::bad_poem(error), me),
            };
        }
        let bytes_max = self.settings.limits.poem_bytes_max;
        if self.poem.len() + bytes.len() > bytes_max {
            let limit = bytes_max as u64;
            return self.fail(FetchFailure::TooLong { limit }, me);
        }
        self.poem.extend_from_slice(bytes);
        self.wait(me)
    }
    // ANCHOR_END: poet_reads

    /// FIN arrived. It ends a poem, but not a reply.
    fn peer_finished(&mut self, me: &mut Me<'_, Self>) -> Next {
        match &mut self.exchange {
            Some(exchange) => {
                let failure = exchange.closed();
                self.fail(failure, me)
            }
            None => {
                let poem = std::mem::take(&mut self.poem);
                self.arrived(poem, me)
            }
        }
    }

    // ANCHOR: then_transform
    /// The poem is complete: starts a linked transformer for it, or reports it.
    fn arrived(&mut self, poem: Vec<u8>, me: &mut Me<'_, Self>) -> Next {
        me.port.close();
        let poem = match decode_poem(poem).and_then(self.settings.accept) {
            Ok(poem) => poem,
            Err(failure) => return self.fail(failure, me),
        };
        self.report(Kind::Finished {
            bytes: poem.len() as u64,
        });
        let Some(via) = &self.request.via else {
            return self.report_and_exit(Ok(poem), None, me);
        };
        let job = Job {
            transform: via.transform.clone(),
            server: via.peer.clone(),
            task: self.task,
            deadline: self.deadline(),
            settings: Arc::clone(&self.settings),
        };
        let transformer = transform::<S, _>(job, &poem, me);
        self.transformer = Some(transformer.process().id());
        self.poem = poem.into_bytes();
        // The transformer observes the deadline from here.
        me.forever();
        Next::Receive
    }
    // ANCHOR_END: then_transform

    // ANCHOR: fallback
    /// The transformer has answered. If the transform failed, the original poem is kept (S13).
    fn transformed(&mut self, answer: Result<String, FetchFailure>, me: &mut Me<'_, Self>) -> Next {
        let original = std::mem::take(&mut self.poem);
        match (answer, &self.request.via) {
            (Ok(poem), _) => self.report_and_exit(Ok(poem), None, me),
            (Err(failure), Some(via)) => {
                let failure = FetchError::new(&via.peer, failure);
                self.report_and_exit(decode_poem(original), Some(failure), me)
            }
            (Err(_), None) => self.report_and_exit(decode_poem(original), None, me),
        }
    }
    // ANCHOR_END: fallback

    fn time_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        let now = me.now();
        match self.deadline() {
            Some(deadline) if deadline <= now => {
                self.fail(FetchFailure::TimedOut(Timeout::Total), me)
            }
            _ if self.write_unannounced(me) => self.wait(me),
            _ => {
                me.port.tcp.look_again();
                Next::Receive
            }
        }
    }

    /// The idle timeout is over, and what was in the kernel is read.
    fn looked(&mut self, found: bool, me: &mut Me<'_, Self>) -> Next {
        match found {
            true => self.wait(me),
            false => self.fail(FetchFailure::TimedOut(Timeout::Idle), me),
        }
    }

    fn write_unannounced(&mut self, me: &mut Me<'_, Self>) -> bool {
        let tcp = &mut me.port.tcp;
        let exchange = self.exchange.as_mut();
        exchange.is_some_and(|exchange| exchange.write_unannounced(tcp))
    }

    fn lost(&mut self, error: &io::Error, me: &mut Me<'_, Self>) -> Next {
        self.fail(FetchFailure::connection_lost(error), me)
    }

    // ANCHOR: poet_exit
    // ANCHOR: poet_exits
    fn exit(&mut self, exit: &Exit, me: &mut Me<'_, Self>) -> Next {
        match exit.from {
            // The transformer crashed; its message would have come first.
            Some(from) if Some(from) == self.transformer && exit.reason.is_abnormal() => {
                let cause = exit.reason.to_string();
                self.transformed(Err(FetchFailure::ConnectionLost { cause }), me)
            }
            Some(from) if Some(from) == self.transformer => Next::Receive,
            // A cancel, or the parent has ended. Not a normal exit, so that a linked transformer exits too.
            _ => {
                let _ = self.fail(FetchFailure::Cancelled, me);
                Next::Exit(Reason::Shutdown)
            }
        }
    }
    // ANCHOR_END: poet_exits
    // ANCHOR_END: poet_exit

    fn fail(&mut self, failure: FetchFailure, me: &mut Me<'_, Self>) -> Next {
        self.report_and_exit(Err(failure), None, me)
    }

    // ANCHOR: poet_reports
    /// Sends the one message to the parent.
    fn report_and_exit(
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
            poem: poem.map_err(|failure| FetchError::new(&self.request.peer, failure)),
            transform_failure,
            bytes: self.bytes,
            elapsed: self.clock_now().saturating_sub(self.started_reported),
        };
        let fetched = Fetched {
            task: self.task,
            peer: self.request.peer.clone(),
            outcome,
        };
        me.send(&self.parent, M::from(fetched));
        Next::Exit(Reason::Normal)
    }
    // ANCHOR_END: poet_reports

    // ANCHOR: poet_waits
    /// Waits for the next byte within the idle timeout.
    fn wait(&self, me: &mut Me<'_, Self>) -> Next {
        self.set_timeout(Some(self.settings.limits.idle_timeout), me);
        Next::Receive
    }
    // ANCHOR_END: poet_waits

    /// Sets the timeout to the total deadline, or to `idle` from now if that is earlier.
    fn set_timeout(&self, idle: Option<Duration>, me: &mut Me<'_, Self>) {
        let idle = idle.map(|idle| me.now().saturating_add(idle));
        match idle.into_iter().chain(self.deadline()).min() {
            Some(due) => me.until(due),
            None => me.forever(),
        }
    }

    fn deadline(&self) -> Option<Duration> {
        let total = self.settings.limits.total_deadline?;
        Some(self.started.saturating_add(total))
    }

    fn clock_now(&self) -> Duration {
        self.settings.reporter.clock().now()
    }

    fn report(&self, kind: Kind) {
        self.settings.reporter.report(self.scene, kind);
    }
}

impl<S: Connect, M: From<Fetched> + Send + 'static> Process for Poet<S, M> {
    type Message = ToPoet;
    type Port = Dial<S>;
    const MAILBOX: usize = 1;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        me.trap_exits();
        self.started = me.now();
        self.started_reported = self.clock_now();
        self.scene.worker = me.worker();
        self.dial(me)
    }

    // ANCHOR: poet_receives
    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(DialEvent::Dialling(address)) => self.dialling(address),
            Received::Port(DialEvent::Dialled(dialled)) => self.dialled(dialled, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Data(bytes))) => self.read(bytes, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Closed)) => self.peer_finished(me),
            Received::Port(DialEvent::Tcp(TcpEvent::Error(error))) => self.lost(&error, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Writable)) => self.write(me),
            Received::Port(DialEvent::Tcp(TcpEvent::Looked { found })) => self.looked(found, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Kept(_))) | Received::Down(_) => Next::Receive,
            Received::Message(ToPoet::Transformed(answer)) => self.transformed(answer, me),
            Received::Timeout => self.time_out(me),
            Received::Exit(exit) => self.exit(&exit, me),
        }
    }
    // ANCHOR_END: poet_receives

    fn trace(&self, turn: Turn, worker: u32) {
        let wait = || match (self.transformer, self.scene.local) {
            (Some(_), _) => Wait::Task,
            (None, None) => Wait::Connect,
            (None, Some(_)) => Wait::Read,
        };
        trace(&self.settings.reporter, self.scene, turn, worker, wait);
    }
}
