//! The fifth model's client: a few threads that each take the next request, fetch its poem, have it transformed, and
//! look up from the socket every [`TICK`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use poetry::error::{Timeout, decode_poem};
use poetry::event::Scene;
use poetry::model::Via;
use poetry::netstring::Decoder;
use poetry::{Cancel, FetchError, FetchFailure, FetchRequest, Kind, Limits, Observer, Options};
use poetry::{Outcome, Peer, Reporter, Role};

use crate::flaw::Flaw;
use crate::server::TICK;

/// A client, reusable.
pub(crate) struct Client {
    pub(crate) options: Options,
    pub(crate) flaw: Flaw,
}

impl poetry::Client for Client {
    fn fetch(
        &self,
        requests: &[FetchRequest],
        observer: Arc<dyn Observer>,
        cancel: &Cancel,
    ) -> Vec<Outcome> {
        let clock = self.options.clock.clone();
        let reporter = Reporter::new("fifth", Role::PoemClient, clock, observer);
        let at_once = match self.flaw {
            Flaw::FetchesSequentially => 1,
            _ => self.options.limits.fetches_max.min(requests.len()),
        };
        let (next, arrived) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let waits = AtomicUsize::new(requests.len());
        let work = || {
            while let Some((index, request)) = take(&next, requests) {
                let reporter = reporter.clone();
                let (limits, flaw) = (&self.options.limits, self.flaw);
                let task = Task {
                    index,
                    limits,
                    reporter,
                    cancel,
                    flaw,
                    begun: Instant::now(),
                };
                let outcome = task.run(request, &waits);
                arrived
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((index, outcome));
            }
        };
        thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
        let mut arrived = arrived.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.flaw != Flaw::ReturnsInArrivalOrder {
            arrived.sort_by_key(|&(index, _)| index);
        }
        arrived.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

fn take<'r>(next: &AtomicUsize, requests: &'r [FetchRequest]) -> Option<(usize, &'r FetchRequest)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    requests.get(index).map(|request| (index, request))
}

/// One poem, and its transform.
struct Task<'c> {
    index: usize,
    limits: &'c Limits,
    reporter: Reporter,
    cancel: &'c Cancel,
    flaw: Flaw,
    begun: Instant,
}

impl Task<'_> {
    fn run(&self, request: &FetchRequest, waits: &AtomicUsize) -> Outcome {
        let mut scene = Scene {
            task: self.index as u64,
            ..Scene::default()
        };
        let mut bytes = 0;
        let fetched = self.poem(&request.peer, &mut scene, &mut bytes);
        match &fetched {
            Ok(poem) => self.tell(
                Role::PoemClient,
                scene,
                Kind::Finished {
                    bytes: poem.len() as u64,
                },
            ),
            Err(failure) => self.tell(Role::PoemClient, scene, Kind::Failed(failure.clone())),
        }
        waits.fetch_sub(1, Ordering::SeqCst);
        while self.flaw == Flaw::TransformsAfterAllPoems && waits.load(Ordering::SeqCst) > 0 {
            thread::sleep(TICK);
        }
        let mut transform_failure = None;
        let poem = fetched.map_err(|failure| self.error(&request.peer, failure));
        let poem = poem.and_then(|poem| match &request.via {
            None => Ok(poem),
            Some(via) => match self.transformed(&poem, via) {
                Ok(reply) => Ok(reply),
                Err(FetchFailure::Cancelled) => {
                    let failed = Kind::Failed(FetchFailure::Cancelled);
                    self.tell(Role::PoemClient, scene, failed);
                    Err(self.error(&request.peer, FetchFailure::Cancelled))
                }
                Err(failure) if self.flaw == Flaw::FailsPoemWithTransform => {
                    Err(self.error(&via.peer, failure))
                }
                Err(failure) => {
                    transform_failure = Some(self.error(&via.peer, failure));
                    Ok(poem)
                }
            },
        });
        if self.flaw == Flaw::HidesTransformFailure {
            transform_failure = None;
        }
        Outcome {
            poem,
            transform_failure,
            bytes,
            elapsed: self.begun.elapsed(),
        }
    }

    fn error(&self, peer: &Peer, failure: FetchFailure) -> FetchError {
        match self.flaw {
            Flaw::OmitsAddressFromErrors => FetchError::new("a server", failure),
            _ => FetchError::new(peer, failure),
        }
    }

    fn tell(&self, role: Role, scene: Scene, kind: Kind) {
        self.reporter.for_role(role).report(scene, kind);
    }

    fn poem(
        &self,
        peer: &Peer,
        scene: &mut Scene,
        received: &mut u64,
    ) -> Result<String, FetchFailure> {
        let mut stream = self.connect(peer, Role::PoemClient, scene)?;
        let (mut poem, mut lossy) = (Vec::new(), String::new());
        let limit = self.limits.poem_bytes_max;
        let ended = self.receive(&mut stream, Role::PoemClient, *scene, |piece| {
            *received += piece.len() as u64;
            lossy.push_str(&String::from_utf8_lossy(piece));
            poem.extend_from_slice(piece);
            match poem.len() > limit {
                true => Err(FetchFailure::TooLong {
                    limit: limit as u64,
                }),
                false => Ok(false),
            }
        });
        match ended {
            Err(FetchFailure::ConnectionLost { .. }) if self.flaw == Flaw::TreatsResetAsEnd => {}
            ended => drop(ended?),
        }
        if self.flaw == Flaw::DecodesEachRead {
            return Ok(lossy);
        }
        decode_poem(poem)
    }

    fn transformed(&self, poem: &str, via: &Via) -> Result<String, FetchFailure> {
        let task = self.index as u64;
        let mut scene = Scene {
            task,
            parent: Some(task),
            ..Scene::default()
        };
        let reply = self.ask(poem, via, &mut scene);
        let kind = match &reply {
            Ok(reply) => Kind::Finished {
                bytes: reply.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        };
        // Who is cancelled is the task, and that is told there.
        if kind != Kind::Failed(FetchFailure::Cancelled) {
            self.tell(Role::TransformClient, scene, kind);
        }
        reply
    }

    fn ask(&self, poem: &str, via: &Via, scene: &mut Scene) -> Result<String, FetchFailure> {
        let limit = self.limits.frame_bytes_max;
        if poetry::request::len(&via.transform, poem) > limit {
            return Err(FetchFailure::TooLong {
                limit: limit as u64,
            });
        }
        let mut stream = self.connect(&via.peer, Role::TransformClient, scene)?;
        let mut request = Vec::new();
        poetry::request::encode(&via.transform, poem, &mut request);
        stream
            .write_all(&request)
            .map_err(|error| FetchFailure::connection_lost(&error))?;
        let (mut decoder, mut reply, mut any) = (Decoder::new(limit), None, false);
        let complete = self.receive(&mut stream, Role::TransformClient, *scene, |piece| {
            any = true;
            reply = decoder
                .feed(piece)
                .next()
                .map_err(FetchFailure::Garbled)?
                .map(<[u8]>::to_vec);
            Ok(reply.is_some())
        })?;
        match reply {
            Some(reply) if complete => decode_poem(reply),
            _ if any => Err(FetchFailure::CutShort),
            _ => Err(FetchFailure::Refused),
        }
    }

    fn connect(
        &self,
        peer: &Peer,
        role: Role,
        scene: &mut Scene,
    ) -> Result<TcpStream, FetchFailure> {
        self.look_up(self.begun)?;
        let mut last = FetchFailure::connect_timed_out();
        let tried = if self.flaw == Flaw::TriesOnlyFirstAddress {
            1
        } else {
            usize::MAX
        };
        for address in peer.addresses()?.iter().take(tried) {
            scene.peer = Some(*address);
            self.tell(role, *scene, Kind::Connecting);
            match TcpStream::connect_timeout(address, self.limits.connect_timeout) {
                Ok(stream) if self.is_self_connected(&stream) => {
                    last = FetchFailure::self_connected();
                }
                Ok(stream) => {
                    scene.local = stream.local_addr().ok();
                    self.tell(role, *scene, Kind::Connected);
                    return Ok(stream);
                }
                Err(error) => last = FetchFailure::connection_failed(&error),
            }
            self.look_up(self.begun)?;
        }
        Err(last)
    }

    /// Whether both ends are this socket, which is then reset on drop: TIME_WAIT would keep the port.
    fn is_self_connected(&self, stream: &TcpStream) -> bool {
        let is_one = stream.local_addr().ok() == stream.peer_addr().ok();
        if is_one && self.flaw != Flaw::ClosesSelfConnectionWithFin {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        is_one && self.flaw != Flaw::UsesSelfConnection
    }

    /// Gives what comes to `take` until it has enough, or FIN; whether it had enough.
    fn receive(
        &self,
        stream: &mut TcpStream,
        role: Role,
        scene: Scene,
        mut take: impl FnMut(&[u8]) -> Result<bool, FetchFailure>,
    ) -> Result<bool, FetchFailure> {
        let lost = |error: io::Error| FetchFailure::connection_lost(&error);
        stream.set_read_timeout(Some(TICK)).map_err(lost)?;
        let mut buffer = vec![0; poetry::limits::READ_BUFFER_BYTES];
        let (mut heard, mut since) = (Instant::now(), self.begun);
        loop {
            self.look_up(since)?;
            if heard.elapsed() >= self.limits.idle_timeout {
                return Err(FetchFailure::TimedOut(Timeout::Idle));
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    heard = Instant::now();
                    if self.flaw == Flaw::ExtendsTotalDeadline {
                        since = heard;
                    }
                    self.tell(role, scene, Kind::Read { bytes: read as u64 });
                    if take(&buffer[..read])? {
                        return Ok(true);
                    }
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// Sees whether it was cancelled, or has taken too long since `since`.
    fn look_up(&self, since: Instant) -> Result<(), FetchFailure> {
        if self.cancel.is_cancelled(self.index) && self.flaw != Flaw::IgnoresCancel {
            return Err(FetchFailure::Cancelled);
        }
        match self.limits.total_deadline {
            Some(limit) if since.elapsed() >= limit => Err(FetchFailure::TimedOut(Timeout::Total)),
            _ => Ok(()),
        }
    }
}
