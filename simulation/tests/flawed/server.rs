//! A server of every role without a network: it carries a plan out, connection by connection, with at most one flaw.

use std::time::Duration;

use poetry::event::Scene;
use poetry::netstring::Decoder;
use poetry::{CloseReason, Counters, Counts, Event, Kind, Pace, Refusal, Service, panics};
use simulation::log::{Log, Observed, Step};
use simulation::plan::{Act, Plan};

/// What a flawed server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    DropsAReply,
    SwapsReplies,
    AnswersTwice,
    ChangesAByte,
    AnswersAfterARefusal,
    LosesRepliesAtFin,
    EndsWithinAReply,
    NeverIdle,
    IdleTooEarly,
    DeadlineRefreshedByBytes,
    NeverTimesOutWrites,
    FinAtTheWriteTimeout,
    NoticesNoReset,
    CutsWithFin,
    DropsWhatIsInFlightAtStop,
    IgnoresTheGrace,
    CountsRepliesNotTaken,
    CountsNoBytes,
    ReportsTheEndTwice,
    RefusesForAnotherReason,
    ChunkTooEarly,
    PoemWithoutItsEnd,
}

impl Flaw {
    pub(crate) const ALL: [Self; 22] = [
        Self::DropsAReply,
        Self::SwapsReplies,
        Self::AnswersTwice,
        Self::ChangesAByte,
        Self::AnswersAfterARefusal,
        Self::LosesRepliesAtFin,
        Self::EndsWithinAReply,
        Self::NeverIdle,
        Self::IdleTooEarly,
        Self::DeadlineRefreshedByBytes,
        Self::NeverTimesOutWrites,
        Self::FinAtTheWriteTimeout,
        Self::NoticesNoReset,
        Self::CutsWithFin,
        Self::DropsWhatIsInFlightAtStop,
        Self::IgnoresTheGrace,
        Self::CountsRepliesNotTaken,
        Self::CountsNoBytes,
        Self::ReportsTheEndTwice,
        Self::RefusesForAnotherReason,
        Self::ChunkTooEarly,
        Self::PoemWithoutItsEnd,
    ];
}

/// Carries out `plan`.
pub(crate) fn serve(plan: &Plan, flaw: Option<Flaw>) -> Observed {
    panics::silence_contained();
    let counters = Counters::default();
    let mut observed = Observed {
        logs: Vec::new(),
        events: Vec::new(),
        counts: Counts::default(),
        finished_and_cut: (0, 0),
    };
    for index in 0..plan.peers.len() {
        let mut connection = Connection::new(plan, index, flaw, &counters);
        if plan.peers[index].arrives <= plan.stop_at {
            connection.run();
        }
        observed.logs.push(connection.log);
        observed.events.append(&mut connection.events);
    }
    observed.counts = Counts::from(&counters);
    observed.finished_and_cut.1 = observed.counts.closed.cut;
    observed
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Serving,
    Lingering,
    Closed,
}

struct Connection<'p> {
    plan: &'p Plan,
    index: usize,
    flaw: Option<Flaw>,
    counters: &'p Counters,
    log: Log,
    events: Vec<Event>,
    now: Duration,
    state: State,
    /// Bytes at the server's end that it has not read.
    arrived: Vec<u8>,
    finished: bool,
    reset: bool,
    room: usize,
    decoder: Decoder,
    /// Bytes to send, and the number of replies in them.
    unsent: Vec<u8>,
    replies: Vec<usize>,
    /// Why it ends once everything is sent.
    ending: Option<CloseReason>,
    /// When the request that has begun did so, and since when nothing was sent, taken or read.
    began: Option<Duration>,
    waits: Duration,
    /// The next chunk of a poem.
    chunk: usize,
    stops: bool,
}

impl<'p> Connection<'p> {
    fn new(plan: &'p Plan, index: usize, flaw: Option<Flaw>, counters: &'p Counters) -> Self {
        Self {
            plan,
            index,
            flaw,
            counters,
            log: Log::default(),
            events: Vec::new(),
            now: plan.peers[index].arrives,
            state: State::Serving,
            arrived: Vec::new(),
            finished: false,
            reset: false,
            room: plan.peers[index].room,
            decoder: Decoder::new(plan.limits.frame_bytes_max),
            unsent: Vec::new(),
            replies: Vec::new(),
            ending: None,
            began: None,
            waits: plan.peers[index].arrives,
            chunk: 0,
            stops: false,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Acts, timeouts and the stop, in the order of their times.
    fn run(&mut self) {
        self.counters.accepted();
        self.log.note(self.now, Step::Accepted);
        self.report(Kind::Accepted);
        if let Service::Poem(_) = self.plan.service {
            self.counters.requests(1);
        }
        let mut acts = self.plan.peers[self.index].acts.iter().peekable();
        while self.state != State::Closed {
            self.work();
            if self.state == State::Closed {
                break;
            }
            let act_at = acts.peek().map_or(Duration::MAX, |(at, _)| *at);
            let stop_at = if self.stops {
                self.plan.end()
            } else {
                self.plan.stop_at
            };
            let (timeout_at, reason) = self.timeout();
            let next = act_at.min(stop_at).min(timeout_at);
            self.now = self.now.max(next);
            if next == act_at {
                if let Some((_, act)) = acts.next() {
                    self.act(act);
                }
            } else if next == stop_at && self.stops {
                if self.has(Flaw::IgnoresTheGrace) {
                    self.now += Duration::from_secs(1);
                }
                self.close(CloseReason::Cut);
            } else if next == stop_at {
                self.stop();
            } else {
                self.time_out(reason);
            }
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Send(bytes) => {
                self.log.note(self.now, Step::Sent(bytes.clone()));
                self.arrived.extend(bytes);
            }
            Act::Finish => {
                self.log.note(self.now, Step::Finished);
                self.finished = true;
            }
            Act::Reset => {
                self.log.note(self.now, Step::Reset);
                self.reset = true;
            }
            Act::Take(bytes) => self.room = self.room.saturating_add(*bytes),
        }
    }

    fn stop(&mut self) {
        self.log.note(self.now, Step::StopBegan);
        self.stops = true;
        let is_poem = matches!(self.plan.service, Service::Poem(_));
        let in_flight = is_poem || self.began.is_some() || !self.unsent.is_empty();
        let drops = self.has(Flaw::DropsWhatIsInFlightAtStop) && !is_poem;
        if self.state == State::Serving && (drops || !in_flight) {
            self.close(CloseReason::Done);
        }
    }

    /// When the connection times out, and for which reason.
    fn timeout(&self) -> (Duration, CloseReason) {
        let limits = &self.plan.limits;
        let never = (Duration::MAX, CloseReason::Done);
        if self.state == State::Lingering {
            return (
                self.waits + limits.linger_timeout,
                self.ending.unwrap_or(CloseReason::Done),
            );
        }
        if !self.unsent.is_empty() {
            return match self.has(Flaw::NeverTimesOutWrites) {
                true => never,
                false => (self.waits + limits.write_timeout, CloseReason::Write),
            };
        }
        if let Service::Poem(service) = &self.plan.service {
            // When the next chunk is due.
            let due = self.plan.peers[self.index].arrives + service.pace.due(self.chunk);
            return (due, CloseReason::Done);
        }
        match self.began {
            Some(began) => (began + limits.request_deadline, CloseReason::Deadline),
            None if self.has(Flaw::NeverIdle) => never,
            None if self.has(Flaw::IdleTooEarly) => {
                (self.waits + limits.idle_timeout / 2, CloseReason::Idle)
            }
            None => (self.waits + limits.idle_timeout, CloseReason::Idle),
        }
    }

    fn time_out(&mut self, reason: CloseReason) {
        let is_poem = matches!(self.plan.service, Service::Poem(_));
        if is_poem && self.state == State::Serving && self.unsent.is_empty() {
            return; // The next chunk is due.
        }
        self.close(reason);
    }

    /// Does what can be done at this time.
    fn work(&mut self) {
        loop {
            let before = (
                self.arrived.len(),
                self.unsent.len(),
                self.state,
                self.chunk,
            );
            self.write();
            if self.state == State::Serving {
                match self.plan.service.clone() {
                    Service::Poem(service) => self.produce(&service),
                    service => self.read(&service),
                }
            } else if self.state == State::Lingering {
                self.drain();
            }
            if before
                == (
                    self.arrived.len(),
                    self.unsent.len(),
                    self.state,
                    self.chunk,
                )
            {
                break;
            }
        }
        if self.reset && self.state != State::Closed && !self.has(Flaw::NoticesNoReset) {
            let reason = match self.state {
                State::Lingering => self.ending.unwrap_or(CloseReason::Done),
                _ => CloseReason::Reset,
            };
            self.close(reason);
        }
    }

    fn write(&mut self) {
        let count = self.room.min(self.unsent.len());
        if count == 0 || self.reset || self.state != State::Serving {
            return;
        }
        let taken: Vec<u8> = self.unsent.drain(..count).collect();
        self.room -= if self.room == usize::MAX { 0 } else { count };
        self.counters.wrote(count as u64);
        if !self.has(Flaw::CountsNoBytes) {
            self.report(Kind::Wrote {
                bytes: count as u64,
            });
        }
        self.log.note(self.now, Step::Took(taken));
        self.waits = self.now;
        let mut left = count;
        while let Some(first) = self.replies.first_mut() {
            if *first > left {
                *first -= left;
                break;
            }
            left -= *first;
            self.replies.remove(0);
            self.answered();
        }
    }

    fn answered(&mut self) {
        self.counters.answered(1);
        self.report(Kind::Answered { requests: 1 });
    }

    /// Reads and answers, if nothing is unsent.
    fn read(&mut self, service: &Service) {
        if !self.unsent.is_empty() {
            if self.finished && self.has(Flaw::LosesRepliesAtFin) {
                self.close(CloseReason::Done);
            }
            if self.has(Flaw::EndsWithinAReply) && self.replies.len() == 1 {
                self.linger(CloseReason::Done);
            }
            return;
        }
        if let Some(reason) = self.ending {
            return self.linger(reason);
        }
        if self.stops && self.began.is_none() {
            return self.close(CloseReason::Done);
        }
        if self.arrived.is_empty() {
            if self.finished && !self.reset {
                self.finish();
            }
            return;
        }
        let bytes = std::mem::take(&mut self.arrived);
        self.note_read(bytes.len());
        self.waits = self.now;
        self.answer(&bytes, service);
    }

    fn answer(&mut self, bytes: &[u8], service: &Service) {
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(0));
        let mut frames = decoder.feed(bytes);
        let mut replies: Vec<Vec<u8>> = Vec::new();
        let ends = loop {
            match frames.next() {
                Ok(None) => break None,
                Err(error) => break Some(self.refuse(error.into())),
                Ok(Some(frame)) => {
                    self.began = None;
                    match self.reply(service, frame) {
                        Ok(reply) => replies.push(reply),
                        Err(CloseReason::Refused) if self.has(Flaw::AnswersAfterARefusal) => {}
                        Err(reason) => break Some(reason),
                    }
                    if !self.plan.keeps_alive() {
                        break Some(CloseReason::Done);
                    }
                }
            }
        };
        drop(frames);
        let refreshed = self.has(Flaw::DeadlineRefreshedByBytes);
        self.began = match decoder.is_mid_frame() {
            true if refreshed => Some(self.now),
            true => self.began.or(Some(self.now)),
            false => None,
        };
        self.decoder = decoder;
        if ends.is_some() {
            self.began = None;
        }
        self.ending = ends;
        self.send(replies);
    }

    /// Sends the replies, or what the flaw makes of them.
    fn send(&mut self, mut replies: Vec<Vec<u8>>) {
        let count = replies.len();
        self.counters.requests(count as u64);
        match self.flaw {
            Some(Flaw::DropsAReply) if count > 1 => drop(replies.remove(1)),
            Some(Flaw::SwapsReplies) if count > 1 => replies.swap(0, 1),
            Some(Flaw::AnswersTwice) if count > 1 => replies.push(replies[0].clone()),
            Some(Flaw::ChangesAByte) if count > 0 => {
                let last = replies[0].len() - 1;
                replies[0][last] ^= 1;
            }
            _ => {}
        }
        self.replies = replies.iter().map(Vec::len).collect();
        self.unsent = replies.concat();
        if self.has(Flaw::CountsRepliesNotTaken) {
            while self.replies.pop().is_some() {
                self.answered();
            }
        }
    }

    fn reply(&mut self, service: &Service, frame: &[u8]) -> Result<Vec<u8>, CloseReason> {
        let limit = self.plan.limits.frame_bytes_max;
        let mut reply = Vec::new();
        let answered = match service {
            Service::Transform(service) => {
                let answered = panics::contain(|| service.answer(frame, limit, &mut reply));
                let Ok(answered) = answered else {
                    self.counters.requests(1);
                    self.counters.failed(1);
                    return Err(CloseReason::Panic);
                };
                answered
            }
            Service::Library(service) => service
                .answer(frame, limit)
                .map(|poem| reply.extend_from_slice(poem.as_bytes())),
            Service::Poem(_) | Service::Proxy(_) => unreachable!("they have no requests"),
        };
        answered
            .map(|()| reply)
            .map_err(|refusal| self.refuse(refusal))
    }

    fn refuse(&mut self, mut refusal: Refusal) -> CloseReason {
        if self.has(Flaw::RefusesForAnotherReason) {
            refusal = Refusal::NoDot;
        }
        self.counters.requests(1);
        self.counters.refused(&refusal);
        self.report(Kind::Refused(refusal));
        CloseReason::Refused
    }

    /// The peer has finished, and everything before is answered.
    fn finish(&mut self) {
        let reason = match self.decoder.is_mid_frame() {
            true => self.refuse(Refusal::Truncated),
            false => CloseReason::Done,
        };
        self.linger(reason);
    }

    fn linger(&mut self, reason: CloseReason) {
        if !self.reset {
            self.log.note(self.now, Step::Fin);
        }
        self.ending = Some(reason);
        self.state = State::Lingering;
        self.waits = self.now;
    }

    fn drain(&mut self) {
        let count = self.arrived.len();
        if count > 0 {
            self.note_read(count);
            self.arrived.clear();
        }
        if self.finished && !self.reset {
            self.close(self.ending.unwrap_or(CloseReason::Done));
        }
    }

    fn note_read(&mut self, count: usize) {
        self.log.note(self.now, Step::Read(count));
        self.counters.read(count as u64);
        self.report(Kind::Read {
            bytes: count as u64,
        });
    }

    /// Sends the chunks of a poem that are due, and discards input.
    fn produce(&mut self, service: &poetry::PoemService) {
        if !self.arrived.is_empty() {
            self.note_read(self.arrived.len());
            self.arrived.clear();
        }
        let poem = service.poem.as_bytes();
        let early = match (self.has(Flaw::ChunkTooEarly), service.pace) {
            (true, Pace::Slow { delay, .. }) if self.chunk == 2 => delay / 2,
            _ => Duration::ZERO,
        };
        let due = self.plan.peers[self.index].arrives + service.pace.due(self.chunk);
        if !self.unsent.is_empty() || self.now + early < due {
            return;
        }
        match service.pace.chunk(self.chunk, poem.len()) {
            Some(chunk) => {
                let is_last = chunk.end == poem.len();
                self.unsent = poem[chunk].to_vec();
                if is_last && self.has(Flaw::PoemWithoutItsEnd) {
                    self.unsent.pop();
                }
                if is_last {
                    self.replies = vec![self.unsent.len()];
                }
                self.waits = self.now;
                self.chunk += 1;
            }
            None => {
                if poem.is_empty() {
                    self.answered();
                }
                self.linger(CloseReason::Done);
            }
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        let owes = match reason {
            CloseReason::Write => !self.has(Flaw::FinAtTheWriteTimeout),
            CloseReason::Cut => !self.has(Flaw::CutsWithFin),
            _ => false,
        };
        let has_fin = self.log.first(|step| *step == Step::Fin).is_some();
        let reset = owes && !has_fin;
        self.log.note(self.now, Step::Closed { reset });
        let in_flight = self.replies.len() as u64;
        let is_poem = matches!(self.plan.service, Service::Poem(_));
        let unanswered = self
            .events
            .iter()
            .all(|event| event.kind != Kind::Answered { requests: 1 });
        self.counters.failed(match is_poem {
            true => u64::from(unanswered),
            false => in_flight,
        });
        self.counters.closed(reason);
        self.report(Kind::Closed(reason));
        if self.has(Flaw::ReportsTheEndTwice) {
            self.report(Kind::Closed(reason));
        }
    }

    fn report(&mut self, kind: Kind) {
        self.events.push(Event {
            at: self.now,
            model: "flawed".into(),
            role: self.plan.service.role(),
            scene: Scene {
                task: self.index as u64,
                ..Scene::default()
            },
            kind,
        });
    }
}
