//! One connection of the fifth model's servers, from its first byte to its lingering close.

mod answering;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use poetry::event::Scene;
use poetry::library::Poems;
use poetry::limits::{READ_BUFFER_BYTES, REQUESTS_PER_TURN_MAX};
use poetry::netstring::{self, Decoder};
use poetry::{CloseReason, FramedPoem, Kind, Poem, Refusal, Unanswered, panics};
use poetry::{PoemService, ProxyService, Service};

use crate::flaw::{Flaw, merged};
use crate::proxy::{Fetch, Found};
use crate::server::{Shared, TICK};

/// A connection, served by its own thread.
pub(crate) struct Connection<'s> {
    stream: TcpStream,
    scene: Scene,
    shared: &'s Arc<Shared>,
    buffer: Vec<u8>,
    in_flight: bool,
    /// The library at the first request, for the flaw about reloads.
    library: Option<Poems>,
    /// Whether the peer is owed bytes, so that FIN would make a part look complete.
    owes: bool,
    turns: u32,
    /// For the flaw that spends memory on announcements.
    hoard: Vec<u8>,
    /// Whether a request or reply was in flight when the server began to stop.
    pub(crate) was_busy: bool,
}

/// The replies to the requests in one read.
#[derive(Default)]
struct Batch {
    /// Long poems of a library, each with the replies before it. They are shared, never copied.
    poems: Vec<(Vec<u8>, FramedPoem)>,
    /// The replies after them.
    replies: Vec<u8>,
    answered: u64,
    end: Option<End>,
}

/// Why a connection answers no further request.
enum End {
    OneShot,
    Refused(Refusal),
    Panicked(String),
    /// The grace is over while a heavy request computes or waits (S25).
    Cut,
}

impl<'s> Connection<'s> {
    pub(crate) fn new(stream: TcpStream, scene: Scene, shared: &'s Arc<Shared>) -> Self {
        const TURN: usize = REQUESTS_PER_TURN_MAX as usize;
        let buffer_bytes = match (&shared.service, shared.flaw) {
            // The flaw is only in the order of turns, so one read must not exceed one turn of the shortest requests.
            (_, Flaw::TakesThreeTurnsInARow) => 9 * TURN,
            (_, Flaw::ReadsWithoutBound) => 16 * READ_BUFFER_BYTES,
            // A reply is much longer than its request, so one read is one turn of the shortest requests.
            (Service::Library(_), flaw) if flaw.limits_turns() => b"1:a,".len() * TURN,
            _ => READ_BUFFER_BYTES,
        };
        Self {
            stream,
            scene,
            shared,
            buffer: vec![0; buffer_bytes],
            in_flight: false,
            library: None,
            owes: false,
            turns: 0,
            hoard: Vec::new(),
            was_busy: false,
        }
    }

    /// Serves the connection to its end; returns the reason of the end.
    pub(crate) fn serve(&mut self) -> CloseReason {
        let shared = self.shared;
        match shared.flaw {
            Flaw::ClosesAtOnce => return CloseReason::Done,
            Flaw::ResetsAtOnce => {
                self.reset_on_drop();
                return CloseReason::Reset;
            }
            _ => {}
        }
        let one_at_a_time = shared.flaw == Flaw::ServesOneAtATime;
        let _turn = one_at_a_time.then(|| shared.one.lock());
        let served = match &shared.service {
            Service::Poem(service) => self.serve_poem(service),
            Service::Transform(_) | Service::Library(_) => self.serve_requests(),
            Service::Proxy(service) => self.serve_proxy(service),
        };
        // A read may have ended the connection before the next check of the server.
        self.was_busy |= self.in_flight && shared.is_stopping();
        let reason = served.unwrap_or_else(|reason| reason);
        let cut = matches!(
            reason,
            CloseReason::Cut | CloseReason::Write | CloseReason::Upstream | CloseReason::Left
        );
        if cut && self.owes && shared.flaw != Flaw::ClosesOwedWithFin {
            self.reset_on_drop();
        }
        reason
    }

    fn reset_on_drop(&self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Counts requests that will not be answered.
    fn fail(&self, count: u64) {
        match self.shared.flaw {
            Flaw::CountsFailedAsAnswered => self.shared.counters.answered(count),
            _ => self.shared.counters.failed(count),
        }
    }

    fn serve_proxy(&mut self, service: &ProxyService) -> Result<CloseReason, CloseReason> {
        self.in_flight = true;
        self.owes = true;
        let found = self.shared.cache.join(service, self.shared);
        // Counted in flight only now, so that the counts tell how many clients wait.
        self.shared.counters.requests(1);
        let written = self
            .wait_for_poem(found)
            .and_then(|poem| self.write(poem.as_bytes()));
        if let Err(reason) = written {
            self.fail(1);
            return Err(reason);
        }
        self.shared.counters.answered(1);
        self.report(Kind::Answered { requests: 1 });
        self.linger(CloseReason::Done)
    }

    fn wait_for_poem(&mut self, found: Found) -> Result<Poem, CloseReason> {
        let shared = self.shared;
        let fetch = match found {
            Found::Poem(poem) => return Ok(poem),
            Found::Failure => return Err(CloseReason::Upstream),
            Found::Fetch(fetch) => fetch,
        };
        if shared.flaw == Flaw::SendsBeforeThePoem {
            self.write(b"\n")?;
            self.owes = true;
        }
        let waited = self.wait_for(&fetch);
        shared.cache.leave(&fetch, shared);
        waited
    }

    /// Discards input until the fetch has ended or the peer has left.
    fn wait_for(&mut self, fetch: &Fetch) -> Result<Poem, CloseReason> {
        let started = Instant::now();
        loop {
            if let Some(result) = fetch.result() {
                return result.ok_or(CloseReason::Upstream);
            }
            let timeout = self.shared.limits.write_timeout;
            if self.shared.flaw == Flaw::LimitsWaiting && started.elapsed() > timeout {
                return Err(CloseReason::Deadline);
            }
            match self.read(TICK)? {
                Some(0) if self.shared.flaw != Flaw::IgnoresWaitingFin => {
                    return Err(CloseReason::Left);
                }
                Some(0) => thread::sleep(TICK),
                _ => {}
            }
        }
    }

    fn serve_poem(&mut self, service: &PoemService) -> Result<CloseReason, CloseReason> {
        let started = Instant::now();
        self.in_flight = true;
        self.shared.counters.requests(1);
        self.owes = true;
        if let Err(reason) = self.write_poem(service, started) {
            self.fail(1);
            return Err(reason);
        }
        self.shared.counters.answered(1);
        self.report(Kind::Answered { requests: 1 });
        self.wait_until(started + service.pace.duration(service.poem.as_bytes().len()))?;
        self.linger(CloseReason::Done)
    }

    fn write_poem(&mut self, service: &PoemService, started: Instant) -> Result<(), CloseReason> {
        let poem = service.poem.as_bytes();
        let chunks = service.pace.chunks(poem.len());
        let dropped = usize::from(self.shared.flaw == Flaw::DropsLastChunk && chunks > 1);
        for index in 0..chunks - dropped {
            self.wait_until(started + service.pace.due(index))?;
            let chunk = service.pace.chunk(index, poem.len()).unwrap_or_default();
            self.write(&poem[chunk])?;
        }
        Ok(())
    }

    /// Discards input until `due`.
    fn wait_until(&mut self, due: Instant) -> Result<(), CloseReason> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if self.read(left.min(TICK))? == Some(0) {
                if self.shared.flaw == Flaw::TreatsFinAsDisconnect {
                    return Err(CloseReason::Done);
                }
                // After FIN every read returns at once.
                thread::sleep(left.min(TICK));
            }
        }
    }

    fn serve_requests(&mut self) -> Result<CloseReason, CloseReason> {
        let mut decoder = Decoder::new(self.frame_bytes_max());
        let mut since = Instant::now();
        loop {
            let mid = decoder.is_mid_frame();
            self.in_flight = mid;
            self.owes = mid;
            if !mid
                && self.shared.is_stopping()
                && self.shared.flaw != Flaw::KeepsIdleConnectionsAtShutdown
            {
                return match self.was_busy {
                    true => self.linger(CloseReason::Done),
                    false => Ok(CloseReason::Done),
                };
            }
            let (limits, flaw) = (&self.shared.limits, self.shared.flaw);
            match mid {
                true if flaw == Flaw::IgnoresRequestDeadline => {}
                false if flaw == Flaw::IgnoresIdleTimeout => {}
                true if since.elapsed() >= limits.request_deadline => {
                    return Err(CloseReason::Deadline);
                }
                false if since.elapsed() >= limits.idle_timeout => return Err(CloseReason::Idle),
                _ => {}
            }
            match self.read(TICK)? {
                None => {}
                Some(0) if mid && self.shared.flaw != Flaw::IgnoresTruncatedRequests => {
                    self.shared.counters.requests(1);
                    return self.refuse(Refusal::Truncated);
                }
                Some(0) => return Ok(CloseReason::Done),
                Some(read) => {
                    self.check_reload()?;
                    self.await_turn();
                    let batch = self.answer(&mut decoder, read);
                    if flaw == Flaw::CountsComputingAsIdle && since.elapsed() >= limits.idle_timeout
                    {
                        self.fail(batch.answered);
                        return Err(CloseReason::Idle);
                    }
                    if flaw == Flaw::SpendsOnAnnouncements && decoder.is_mid_frame() {
                        self.hoard = vec![1; 1 << 20];
                    }
                    if !mid
                        || batch.answered > 0
                        || self.shared.flaw == Flaw::ExtendsRequestDeadline
                    {
                        since = Instant::now();
                    }
                    if let Some(reason) = self.deliver(batch)? {
                        return Ok(reason);
                    }
                    self.end_turn();
                    if self.shared.flaw == Flaw::DropsPartialRequests {
                        decoder = Decoder::new(self.frame_bytes_max());
                    }
                }
            }
        }
    }

    /// For the flaw about reloads: resets the connection if the library is not that of the first request.
    fn check_reload(&mut self) -> Result<(), CloseReason> {
        let (Service::Library(service), Flaw::ClosesAtReload) =
            (&self.shared.service, self.shared.flaw)
        else {
            return Ok(());
        };
        let poems = service.library.poems();
        if *self.library.get_or_insert_with(|| poems.clone()) == poems {
            return Ok(());
        }
        self.reset_on_drop();
        Err(CloseReason::Reset)
    }

    /// For the flaws about turns: makes the connections of the backlog take their first turns one after another.
    fn await_turn(&self) {
        let shared = self.shared;
        let Some(in_a_row) = shared.flaw.turns_in_a_row() else {
            return;
        };
        let must_wait = || {
            !shared.backlog_was_empty.load(Ordering::SeqCst)
                || shared.turns_done.load(Ordering::SeqCst) < self.scene.task
        };
        while self.turns < in_a_row && must_wait() && !shared.is_stopping() {
            thread::sleep(TICK);
        }
    }

    fn end_turn(&mut self) {
        self.turns += 1;
        if self.shared.flaw.turns_in_a_row() == Some(self.turns) {
            self.shared.turns_done.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn frame_bytes_max(&self) -> usize {
        match self.shared.flaw {
            Flaw::IgnoresFrameLimit => usize::MAX / 2,
            _ => self.shared.limits.frame_bytes_max,
        }
    }

    /// Answers the requests in the first `read` bytes of the buffer, up to the first that ends the connection.
    fn answer(&self, decoder: &mut Decoder, read: usize) -> Batch {
        let counters = &self.shared.counters;
        let mut batch = Batch::default();
        let mut frames = decoder.feed(&self.buffer[..read]);
        while batch.end.is_none() {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    counters.requests(1);
                    batch.end = Some(End::Refused(error.into()));
                    break;
                }
            };
            counters.requests(1);
            let answered = match panics::contain(|| self.answer_one(frame, &mut batch)) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(Unanswered::Refused(refusal))) => Err(End::Refused(refusal)),
                Ok(Err(Unanswered::Heavy(heavy))) => self.compute(heavy, &mut batch.replies),
                Err(message) => Err(End::Panicked(message)),
            };
            match answered {
                Err(End::Refused(Refusal::UnknownTransform { .. }))
                    if self.shared.flaw == Flaw::AnswersUnknownTransforms =>
                {
                    netstring::encode(frame, &mut batch.replies);
                    batch.answered += 1;
                }
                Ok(()) => batch.answered += 1,
                Err(end) => batch.end = Some(end),
            }
            if batch.end.is_none()
                && !self.keeps_alive()
                && self.shared.flaw != Flaw::AnswersAllInOneShot
            {
                batch.end = Some(End::OneShot);
            }
        }
        if self.shared.flaw == Flaw::MergesReplies {
            batch.replies = merged(&batch.replies);
        }
        batch
    }

    /// Sends the replies, and ends the connection if the batch ends it.
    fn deliver(&mut self, batch: Batch) -> Result<Option<CloseReason>, CloseReason> {
        self.in_flight = true;
        let counters = &self.shared.counters;
        let panicked = matches!(batch.end, Some(End::Panicked(_)));
        let dropped = panicked && self.shared.flaw == Flaw::DropsRepliesBeforePanic;
        self.owes = true;
        let written = if dropped {
            Ok(())
        } else {
            self.write_batch(&batch)
        };
        self.owes = written.is_err();
        match written {
            Ok(()) if batch.answered > 0 => {
                counters.answered(batch.answered);
                if self.shared.flaw == Flaw::CountsRepliesTwice {
                    counters.requests(batch.answered);
                    counters.answered(batch.answered);
                }
                self.report(Kind::Answered {
                    requests: batch.answered,
                });
            }
            Ok(()) => {}
            Err(_) => self.fail(batch.answered),
        }
        if let (Err(_), Some(End::Refused(refusal))) = (&written, &batch.end) {
            self.shared.counters.refused(refusal);
        }
        match batch.end {
            Some(End::Panicked(message)) => {
                self.fail(1);
                if self.shared.flaw == Flaw::ReportsPanicsTwice {
                    self.report(Kind::Panicked(message.clone()));
                }
                self.report(Kind::Panicked(message));
                written?;
                self.linger(CloseReason::Panic).map(Some)
            }
            Some(End::Cut) => {
                self.fail(1);
                self.owes = true;
                Err(CloseReason::Cut)
            }
            end => {
                written?;
                match end {
                    Some(End::Refused(refusal)) => self.refuse(refusal).map(Some),
                    Some(_) => self.linger(CloseReason::Done).map(Some),
                    None => Ok(None),
                }
            }
        }
    }

    fn write_batch(&mut self, batch: &Batch) -> Result<(), CloseReason> {
        for (replies, poem) in &batch.poems {
            self.write(replies)?;
            self.write(poem.as_bytes())?;
        }
        self.write(&batch.replies)
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<CloseReason, CloseReason> {
        self.shared.counters.refused(&refusal);
        self.report(Kind::Refused(refusal));
        self.linger(CloseReason::Refused)
    }

    /// Sends FIN, drains input within the limits (S7), and returns `reason`.
    fn linger(&mut self, reason: CloseReason) -> Result<CloseReason, CloseReason> {
        self.in_flight = true;
        self.owes = self.shared.flaw == Flaw::ResetsLingering;
        let flaw = self.shared.flaw;
        if flaw == Flaw::ClosesWithoutLingering
            || flaw != Flaw::NeverCloses && self.stream.shutdown(Shutdown::Write).is_err()
        {
            return Ok(reason);
        }
        let (started, mut drained) = (Instant::now(), 0);
        let limits = &self.shared.limits;
        let for_ever = matches!(flaw, Flaw::LingersForEver | Flaw::NeverCloses);
        while for_ever
            || started.elapsed() < limits.linger_timeout && drained < limits.linger_bytes_max
        {
            match self.read(TICK) {
                Ok(None) => {}
                Ok(Some(0)) | Err(CloseReason::Reset) => break,
                Ok(Some(read)) => drained += read,
                Err(other) => return Err(other),
            }
        }
        Ok(reason)
    }

    /// Reads once; returns `None` if nothing came within `timeout`.
    fn read(&mut self, timeout: Duration) -> Result<Option<usize>, CloseReason> {
        self.check_server()?;
        let timeout = timeout.max(Duration::from_millis(1));
        let read = self
            .stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| self.stream.read(&mut self.buffer));
        match read {
            Ok(read) if read > 0 => {
                self.count_read(read as u64);
                Ok(Some(read))
            }
            Ok(_) => Ok(Some(0)),
            Err(error) if is_timeout(error.kind()) => Ok(None),
            Err(_) => Err(CloseReason::Reset),
        }
    }

    fn count_read(&self, bytes: u64) {
        let is_omitted = self.in_flight && self.shared.flaw == Flaw::DoesNotCountDrainedBytes
            || self.shared.flaw == Flaw::CountsNoBytes;
        if !is_omitted {
            self.shared.counters.read(bytes);
        }
        self.report(Kind::Read { bytes });
    }

    /// Writes all bytes; ends if the peer accepts none for the write timeout.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        let mut since = Instant::now();
        if self.shared.flaw == Flaw::CutsTheEnd {
            bytes = &bytes[..bytes.len().saturating_sub(1)];
        }
        while !bytes.is_empty() {
            self.check_server()?;
            let set = self.stream.set_write_timeout(Some(TICK));
            match set.and_then(|()| self.stream.write(bytes)) {
                Ok(wrote) => {
                    since = Instant::now();
                    bytes = &bytes[wrote..];
                    if self.shared.flaw != Flaw::CountsNoBytes {
                        self.shared.counters.wrote(wrote as u64);
                    }
                    self.report(Kind::Wrote {
                        bytes: wrote as u64,
                    });
                }
                Err(error) if is_timeout(error.kind()) => {}
                Err(_) => return Err(CloseReason::Reset),
            }
            let is_late = since.elapsed() >= self.shared.limits.write_timeout;
            if is_late && self.shared.flaw != Flaw::IgnoresWriteTimeout {
                // The kernel may have room that it has not announced (S18).
                let wrote = self.write_unannounced(bytes).ok_or(CloseReason::Write)?;
                since = Instant::now();
                bytes = &bytes[wrote..];
            }
        }
        Ok(())
    }

    fn write_unannounced(&mut self, bytes: &[u8]) -> Option<usize> {
        self.stream.set_nonblocking(true).ok()?;
        let wrote = self.stream.write(bytes);
        self.stream.set_nonblocking(false).ok()?;
        let wrote = wrote.ok().filter(|&wrote| wrote > 0)?;
        self.shared.counters.wrote(wrote as u64);
        self.report(Kind::Wrote {
            bytes: wrote as u64,
        });
        Some(wrote)
    }

    /// Notes whether the server is stopping, and ends the connection if it is cut.
    fn check_server(&mut self) -> Result<(), CloseReason> {
        self.was_busy |= self.in_flight && self.shared.is_stopping();
        match self.shared.is_cut() {
            true => Err(CloseReason::Cut),
            false => Ok(()),
        }
    }

    fn report(&self, kind: Kind) {
        self.shared.report(self.scene, kind);
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
