//! The transform client (Parts 10 and 13): a process that has one poem transformed by a server and sends the answer to the
//! poet it is linked to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poetry::error::{Timeout, decode_poem};
use poetry::event::{Interest, Scene, Wait};
use poetry::{FetchFailure, Kind, Peer, Reporter, Role, request};

use crate::dial::{Connect, Dial, DialEvent};
use crate::exchange::Exchange;
use crate::messages::ToPoet;
use crate::monitor::Reason;
use crate::poem_client::FetchSettings;
use crate::port::TcpEvent;
use crate::process::{Me, Name, Next, Pid, Process, Received, Turn};

/// The work of one transformer.
pub(crate) struct Job {
    /// The name of the transform.
    pub(crate) transform: String,
    /// The transform server.
    pub(crate) server: Peer,
    /// The number of the fetch.
    pub(crate) task: usize,
    /// The total deadline of the fetch.
    pub(crate) deadline: Option<Duration>,
    /// The settings of the fetch.
    pub(crate) settings: Arc<FetchSettings>,
}

// ANCHOR: transform
/// Starts a transformer linked to the calling poet. It answers with [`ToPoet::Transformed`] and exits. If the poet ends
/// first, the transformer closes its socket and exits too (S14).
pub(crate) fn transform<S, P>(job: Job, poem: &str, me: &Me<'_, P>) -> Pid<std::convert::Infallible>
where
    S: Connect,
    P: Process<Message = ToPoet>,
{
    let frame_bytes_max = job.settings.limits.frame_bytes_max;
    let too_long = request::len(&job.transform, poem) > frame_bytes_max;
    let mut request = Vec::new();
    if !too_long {
        request::encode(&job.transform, poem, &mut request);
    }
    let transformer = Transformer::<S> {
        reporter: job.settings.reporter.for_role(Role::TransformClient),
        exchange: Exchange::new(request, frame_bytes_max),
        too_long,
        answered: false,
        poet: me.pid(),
        scene: Scene {
            worker: me.worker(),
            task: job.task as u64,
            parent: Some(job.task as u64),
            ..Scene::default()
        },
        job,
        stream: std::marker::PhantomData,
    };
    let name = Name::numbered("transformer", transformer.scene.task);
    me.spawn_link(name, transformer, Dial::default())
}
// ANCHOR_END: transform

/// Reports a turn of a client's process in `scene`, which waits for `wait` after it.
pub(crate) fn trace(
    reporter: &Reporter,
    scene: Scene,
    turn: Turn,
    worker: u32,
    wait: impl FnOnce() -> Wait,
) {
    if reporter.wants(Interest::TURNS) {
        reporter.report(Scene { worker, ..scene }, turn.kind(wait));
    }
}

struct Transformer<S> {
    job: Job,
    poet: Pid<ToPoet>,
    reporter: Reporter,
    exchange: Exchange,
    /// Whether the request exceeds a frame and was not built.
    too_long: bool,
    answered: bool,
    scene: Scene,
    stream: std::marker::PhantomData<fn() -> S>,
}

impl<S: Connect> Transformer<S> {
    fn dial(&mut self, me: &mut Me<'_, Self>) -> Next {
        let limits = &self.job.settings.limits;
        if self.too_long {
            let limit = limits.frame_bytes_max as u64;
            return self.answer(Err(FetchFailure::TooLong { limit }), me);
        }
        let connect_timeout = limits.connect_timeout;
        let descriptors = &self.job.settings.descriptors;
        match self.job.server.addresses() {
            Ok(addresses) => me
                .port
                .dial(addresses.to_vec(), connect_timeout, descriptors),
            Err(failure) => return self.answer(Err(failure), me),
        }
        if let Some(deadline) = self.job.deadline {
            me.until(deadline);
        }
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
            Err(failure) => self.answer(Err(failure), me),
            Ok(peer) => {
                self.scene.peer = Some(peer);
                if self.reporter.wants(Interest::ALL) {
                    self.scene.local = me.port.local();
                }
                self.report(Kind::Connected);
                self.write(me)
            }
        }
    }

    fn write(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.exchange.write(&mut me.port.tcp);
        self.wait(me)
    }

    fn read(&mut self, bytes: &[u8], me: &mut Me<'_, Self>) -> Next {
        let count = bytes.len() as u64;
        self.report(Kind::Read { bytes: count });
        match self.exchange.read(bytes) {
            Ok(None) => self.wait(me),
            Ok(Some(reply)) => self.answer(decode_poem(reply), me),
            Err(error) => self.answer(Err(FetchFailure::Garbled(error)), me),
        }
    }

    fn peer_finished(&mut self, me: &mut Me<'_, Self>) -> Next {
        let failure = self.exchange.closed();
        self.answer(Err(failure), me)
    }

    fn lost(&mut self, error: &io::Error, me: &mut Me<'_, Self>) -> Next {
        self.answer(Err(FetchFailure::connection_lost(error)), me)
    }

    /// Sends the one message to the poet.
    fn answer(&mut self, answer: Result<String, FetchFailure>, me: &mut Me<'_, Self>) -> Next {
        me.port.close();
        self.answered = true;
        self.report(match &answer {
            Ok(poem) => Kind::Finished {
                bytes: poem.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        });
        me.send(&self.poet, ToPoet::Transformed(answer));
        Next::Exit(Reason::Normal)
    }

    /// Waits for the next byte, but not beyond the total deadline.
    fn wait(&self, me: &mut Me<'_, Self>) -> Next {
        let idle = me
            .now()
            .saturating_add(self.job.settings.limits.idle_timeout);
        me.until(
            self.job
                .deadline
                .map_or(idle, |deadline| deadline.min(idle)),
        );
        Next::Receive
    }

    fn time_out(&mut self, me: &mut Me<'_, Self>) -> Next {
        let now = me.now();
        match self.job.deadline {
            Some(deadline) if deadline <= now => {
                self.answer(Err(FetchFailure::TimedOut(Timeout::Total)), me)
            }
            _ if self.exchange.write_unannounced(&mut me.port.tcp) => self.wait(me),
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
            false => self.answer(Err(FetchFailure::TimedOut(Timeout::Idle)), me),
        }
    }

    fn report(&self, kind: Kind) {
        self.reporter.report(self.scene, kind);
    }
}

impl<S: Connect> Process for Transformer<S> {
    type Message = std::convert::Infallible;
    type Port = Dial<S>;
    const MAILBOX: usize = 1;

    fn started(&mut self, me: &mut Me<'_, Self>) -> Next {
        self.dial(me)
    }

    fn receive(&mut self, received: Received<'_, Self>, me: &mut Me<'_, Self>) -> Next {
        match received {
            Received::Port(DialEvent::Dialling(address)) => self.dialling(address),
            Received::Port(DialEvent::Dialled(dialled)) => self.dialled(dialled, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Data(bytes))) => self.read(bytes, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Writable)) => self.write(me),
            Received::Port(DialEvent::Tcp(TcpEvent::Looked { found })) => self.looked(found, me),
            Received::Port(DialEvent::Tcp(TcpEvent::Closed)) => self.peer_finished(me),
            Received::Port(DialEvent::Tcp(TcpEvent::Error(error))) => self.lost(&error, me),
            Received::Timeout => self.time_out(me),
            Received::Port(DialEvent::Tcp(TcpEvent::Kept(_)))
            | Received::Exit(_)
            | Received::Down(_) => Next::Receive,
            Received::Message(never) => match never {},
        }
    }

    fn trace(&self, turn: Turn, worker: u32) {
        let wait = || match self.scene.local {
            None => Wait::Connect,
            Some(_) => Wait::Read,
        };
        trace(&self.reporter, self.scene, turn, worker, wait);
    }

    /// Reports a crash. A cancel is reported by the poet, for both (S14).
    fn terminate(&mut self, reason: &Reason, _: &mut Me<'_, Self>) {
        if !self.answered && matches!(reason, Reason::Crash(_)) {
            let cause = reason.to_string();
            self.report(Kind::Failed(FetchFailure::ConnectionLost { cause }));
        }
    }
}
