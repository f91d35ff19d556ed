//! The fifth model's client: a few threads, each of which takes the next request, fetches its poem and sends it to the
//! transform server. Every [`TICK`] a thread checks its deadlines and whether its task is cancelled.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use poetry::error::{Timeout, decode_poem};
use poetry::event::Scene;
use poetry::model::Via;
use poetry::netstring::{Decoder, FramingError};
use poetry::{Cancel, FetchError, FetchFailure, FetchRequest, Kind, Limits, Observer, Options};
use poetry::{Outcome, Peer, PoemName, Reporter, Role};

use socket2::{Domain, Socket, Type};

use crate::flaw::Flaw;
use crate::server::TICK;

/// A client for any number of fetches.
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
        let threads = match self.flaw {
            Flaw::FetchesSequentially => 1,
            _ => self.options.limits.fetches_max.min(requests.len()),
        };
        let (next, arrived) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let unfetched = AtomicUsize::new(requests.len());
        let run_tasks = || {
            while let Some((index, request)) = next_request(&next, requests) {
                let reporter = reporter.clone();
                let (limits, flaw) = (&self.options.limits, self.flaw);
                let task = Task {
                    index,
                    number: index as u64,
                    limits,
                    reporter,
                    cancel,
                    flaw,
                    started: Instant::now(),
                };
                let outcome = task.run(request, &unfetched);
                arrived
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((index, outcome));
            }
        };
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run_tasks))));
        let mut arrived = arrived.into_inner().unwrap_or_else(PoisonError::into_inner);
        if self.flaw != Flaw::ReturnsInArrivalOrder {
            arrived.sort_by_key(|&(index, _)| index);
        }
        let mut outcomes: Vec<Outcome> = arrived.into_iter().map(|(_, outcome)| outcome).collect();
        if self.flaw == Flaw::ReturnsOneOutcomeMore {
            outcomes.push(Outcome {
                poem: Ok(String::new()),
                transform_failure: None,
                bytes: 0,
                elapsed: Duration::ZERO,
            });
        }
        outcomes
    }
}

fn next_request<'r>(
    next: &AtomicUsize,
    requests: &'r [FetchRequest],
) -> Option<(usize, &'r FetchRequest)> {
    let index = next.fetch_add(1, Ordering::SeqCst);
    requests.get(index).map(|request| (index, request))
}

/// Fetches the poem of a proxy's upstream; its events are those of task `number`.
pub(crate) fn fetch_for_proxy(
    upstream: &Peer,
    number: u64,
    limits: &Limits,
    reporter: Reporter,
    cancel: &Cancel,
    flaw: Flaw,
) -> Outcome {
    let task = Task {
        index: 0,
        number,
        limits,
        reporter,
        cancel,
        flaw,
        started: Instant::now(),
    };
    task.run(&FetchRequest::new(upstream.clone()), &AtomicUsize::new(1))
}

/// Connects within `timeout`. Unlike `TcpStream::connect_timeout`, it keeps a connection that has been reset after its FIN: the
/// poem is complete, and can be read.
fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
            let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
            loop {
                match poll(&mut polled, timeout) {
                    Ok(0) => return Err(ErrorKind::TimedOut.into()),
                    Err(Errno::EINTR) => {}
                    polled => break polled.map(drop)?,
                }
            }
        }
        connected => connected?,
    }
    match socket.take_error()? {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// Whether a read ended without anything from the peer: at its timeout, or because the process was stopped and continued.
fn is_no_data_yet(error: ErrorKind) -> bool {
    use ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error, Interrupted | TimedOut | WouldBlock)
}

/// One request: a poem and its transform.
struct Task<'c> {
    /// What its cancel is called by.
    index: usize,
    /// What its events are called by.
    number: u64,
    limits: &'c Limits,
    reporter: Reporter,
    cancel: &'c Cancel,
    flaw: Flaw,
    started: Instant,
}

impl Task<'_> {
    fn run(&self, request: &FetchRequest, unfetched: &AtomicUsize) -> Outcome {
        let mut scene = Scene {
            task: self.number,
            ..Scene::default()
        };
        let mut bytes = 0;
        let fetched = match &request.name {
            Some(name) => self.fetch_named(&request.peer, name, &mut scene, &mut bytes),
            None => self.fetch_poem(&request.peer, &mut scene, &mut bytes),
        };
        let fetched = match self.flaw {
            Flaw::SucceedsAlways => Ok(fetched.unwrap_or("a poem".to_owned())),
            Flaw::FailsAlways => Err(FetchFailure::Cancelled),
            _ => fetched,
        };
        match &fetched {
            Ok(poem) => self.report(
                Role::PoemClient,
                scene,
                Kind::Finished {
                    bytes: poem.len() as u64,
                },
            ),
            Err(failure) => self.report(Role::PoemClient, scene, Kind::Failed(failure.clone())),
        }
        unfetched.fetch_sub(1, Ordering::SeqCst);
        while self.flaw == Flaw::TransformsAfterAllPoems && unfetched.load(Ordering::SeqCst) > 0 {
            thread::sleep(TICK);
        }
        let mut transform_failure = None;
        let poem = fetched.map_err(|failure| self.error(&request.peer, failure));
        let poem = poem.and_then(|poem| match &request.via {
            None => Ok(poem),
            Some(via) => match self.transform(&poem, via) {
                Ok(reply) => Ok(reply),
                Err(FetchFailure::Cancelled) => {
                    let failed = Kind::Failed(FetchFailure::Cancelled);
                    self.report(Role::PoemClient, scene, failed);
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
            bytes: match self.flaw {
                Flaw::CountsNoBytes => 0,
                _ => bytes,
            },
            elapsed: match self.flaw {
                Flaw::ReportsNoTime => Duration::ZERO,
                _ => self.started.elapsed(),
            },
        }
    }

    fn error(&self, peer: &Peer, failure: FetchFailure) -> FetchError {
        match self.flaw {
            Flaw::OmitsAddressFromErrors => FetchError::new("a server", failure),
            _ => FetchError::new(peer, failure),
        }
    }

    fn report(&self, role: Role, scene: Scene, kind: Kind) {
        let role = match self.flaw {
            Flaw::ReportsAsPoemServer => Role::PoemServer,
            Flaw::ReportsFetchesAsProxy => Role::Proxy,
            _ => role,
        };
        if self.flaw != Flaw::ReportsNothing {
            self.reporter.for_role(role).report(scene, kind);
        }
    }

    fn fetch_poem(
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

    fn transform(&self, poem: &str, via: &Via) -> Result<String, FetchFailure> {
        let task = self.number;
        let mut scene = Scene {
            task,
            parent: Some(task),
            ..Scene::default()
        };
        let reply = match self.request_transform(poem, via, &mut scene) {
            Ok(reply) if self.flaw == Flaw::AltersTransforms => Ok(reply + "!"),
            Err(_) if self.flaw == Flaw::AltersTransforms => Err(FetchFailure::Empty),
            reply => reply,
        };
        let kind = match &reply {
            Ok(reply) => Kind::Finished {
                bytes: reply.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        };
        // The poem client reports that its task is cancelled.
        if kind != Kind::Failed(FetchFailure::Cancelled) {
            self.report(Role::TransformClient, scene, kind);
        }
        reply
    }

    fn request_transform(
        &self,
        poem: &str,
        via: &Via,
        scene: &mut Scene,
    ) -> Result<String, FetchFailure> {
        let limit = self.limits.frame_bytes_max;
        if poetry::request::len(&via.transform, poem) > limit {
            return Err(FetchFailure::TooLong {
                limit: limit as u64,
            });
        }
        let mut request = Vec::new();
        poetry::request::encode(&via.transform, poem, &mut request);
        let mut stream = self.connect(&via.peer, Role::TransformClient, scene)?;
        let garbled = FetchFailure::Garbled;
        let role = Role::TransformClient;
        self.exchange(&mut stream, role, *scene, &request, limit, garbled, &mut 0)
    }

    fn fetch_named(
        &self,
        peer: &Peer,
        name: &PoemName,
        scene: &mut Scene,
        received: &mut u64,
    ) -> Result<String, FetchFailure> {
        let mut stream = self.connect(peer, Role::PoemClient, scene)?;
        let mut request = Vec::new();
        match self.flaw {
            Flaw::SendsBareNames => request.extend_from_slice(name.as_str().as_bytes()),
            _ => poetry::netstring::encode(name.as_str().as_bytes(), &mut request),
        }
        let limit = match self.flaw {
            Flaw::LimitsPoemsToFrames => self.limits.frame_bytes_max,
            _ => self.limits.poem_bytes_max,
        };
        let bad = match self.flaw {
            Flaw::CallsTooLongGarbled => FetchFailure::Garbled,
            _ => FetchFailure::bad_poem,
        };
        let role = Role::PoemClient;
        let reply = self.exchange(&mut stream, role, *scene, &request, limit, bad, received);
        if let (Ok(poem), Flaw::CountsPoemBytes) = (&reply, self.flaw) {
            *received = poem.len() as u64;
        }
        reply
    }

    /// Sends `request`, and receives one netstring of at most `limit` bytes.
    #[allow(clippy::too_many_arguments)] // Of two callers; a type for them would be longer.
    fn exchange(
        &self,
        stream: &mut TcpStream,
        role: Role,
        scene: Scene,
        request: &[u8],
        limit: usize,
        bad: fn(FramingError) -> FetchFailure,
        received: &mut u64,
    ) -> Result<String, FetchFailure> {
        self.send(stream, request)?;
        let (mut decoder, mut reply, mut any) = (Decoder::new(limit), None, false);
        let complete = self.receive(stream, role, scene, |piece| {
            any = true;
            *received += piece.len() as u64;
            reply = decoder.feed(piece).next().map_err(bad)?.map(<[u8]>::to_vec);
            Ok(reply.is_some() && self.flaw != Flaw::WaitsForFinOfReply)
        })?;
        match reply {
            Some(reply) if complete || self.flaw == Flaw::WaitsForFinOfReply => decode_poem(reply),
            _ if any && self.flaw == Flaw::TakesCutReplies => Ok(String::new()),
            _ if any => Err(FetchFailure::CutShort),
            _ => Err(FetchFailure::Refused),
        }
    }

    fn send(&self, stream: &mut TcpStream, request: &[u8]) -> Result<(), FetchFailure> {
        let lost = |error: io::Error| FetchFailure::connection_lost(&error);
        if self.flaw == Flaw::TakesSlowWritesForIdle {
            let timeout = Some(self.limits.idle_timeout);
            stream.set_write_timeout(timeout).map_err(lost)?;
            let wrote = stream.write(request).map_err(lost)?;
            if wrote < request.len() {
                return Err(FetchFailure::TimedOut(Timeout::Idle));
            }
            return Ok(());
        }
        stream.write_all(request).map_err(lost)?;
        if self.flaw == Flaw::HalfClosesAfterRequest {
            stream.shutdown(Shutdown::Write).map_err(lost)?;
        }
        Ok(())
    }

    /// For the flaw about resets after FIN: looks only once the reset has come, or not at all.
    fn check_reset(&self, stream: &TcpStream) -> Result<(), FetchFailure> {
        if self.flaw != Flaw::TakesResetAfterFinForLost {
            return Ok(());
        }
        // Errors are always polled for. A server that does not reset makes this wait for its whole time.
        let mut polled = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        let _ = poll(&mut polled, PollTimeout::from(1_000_u16));
        match stream.take_error() {
            Ok(Some(error)) => Err(FetchFailure::connection_lost(&error)),
            _ => Ok(()),
        }
    }

    fn connect(
        &self,
        peer: &Peer,
        role: Role,
        scene: &mut Scene,
    ) -> Result<TcpStream, FetchFailure> {
        self.check(self.started)?;
        let mut last = FetchFailure::connect_timed_out();
        let tries_max = if self.flaw == Flaw::TriesOnlyFirstAddress {
            1
        } else {
            usize::MAX
        };
        for address in peer.addresses()?.iter().take(tries_max) {
            scene.peer = Some(*address);
            self.report(role, *scene, Kind::Connecting);
            match self.connect_to(*address) {
                Ok(stream) if self.is_self_connected(&stream) => {
                    last = FetchFailure::self_connected();
                }
                Ok(stream) => {
                    scene.local = stream.local_addr().ok();
                    self.report(role, *scene, Kind::Connected);
                    self.check_reset(&stream)?;
                    return Ok(stream);
                }
                Err(error) => last = FetchFailure::connection_failed(&error),
            }
            self.check(self.started)?;
        }
        Err(last)
    }

    /// Connects; waits for a descriptor if there is none (S15).
    fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let (started, timeout) = (Instant::now(), self.limits.connect_timeout);
        loop {
            match connect(address, timeout) {
                Err(error)
                    if poetry::error::is_short_of_descriptors(&error)
                        && self.flaw != Flaw::FailsWithoutDescriptors
                        && started.elapsed() < timeout =>
                {
                    thread::sleep(TICK);
                }
                connected => return connected,
            }
        }
    }

    /// Returns whether `stream` is connected to itself. It is then reset on drop, since TIME_WAIT would hold its port.
    fn is_self_connected(&self, stream: &TcpStream) -> bool {
        let is_self = stream.local_addr().ok() == stream.peer_addr().ok();
        if is_self && self.flaw != Flaw::ClosesSelfConnectionWithFin {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        is_self && self.flaw != Flaw::UsesSelfConnection
    }

    /// Passes what it reads to `take` until `take` returns `true`, or FIN; returns whether it did.
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
        let (mut last_read, mut since) = (Instant::now(), self.started);
        loop {
            self.check(since)?;
            let is_idle = last_read.elapsed() >= self.limits.idle_timeout;
            if is_idle && self.flaw != Flaw::FetchesForEver {
                return Err(FetchFailure::TimedOut(Timeout::Idle));
            }
            match stream.read(&mut buffer) {
                Ok(0) => return self.check_reset(stream).map(|()| false),
                Ok(read) => {
                    last_read = Instant::now();
                    if self.flaw == Flaw::ExtendsTotalDeadline {
                        since = last_read;
                    }
                    self.report(role, scene, Kind::Read { bytes: read as u64 });
                    if take(&buffer[..read])? {
                        return Ok(true);
                    }
                }
                Err(error) if is_no_data_yet(error.kind()) => {}
                // FIN, and then a reset (S11).
                Err(error)
                    if error.kind() == ErrorKind::BrokenPipe
                        && self.flaw != Flaw::TakesResetAfterFinForLost =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// Fails if the task is cancelled, or has run for longer than the total deadline since `since`.
    fn check(&self, since: Instant) -> Result<(), FetchFailure> {
        if self.cancel.is_cancelled(self.index) && self.flaw != Flaw::IgnoresCancel {
            return Err(FetchFailure::Cancelled);
        }
        match self.limits.total_deadline {
            Some(limit) if since.elapsed() >= limit => Err(FetchFailure::TimedOut(Timeout::Total)),
            _ => Ok(()),
        }
    }
}
