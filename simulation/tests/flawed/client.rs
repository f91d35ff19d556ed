//! A client without a network, which works out what a plan's servers send in steps of its own, with at most one flaw.

use std::time::Duration;

use poetry::error::{Timeout, decode_poem};
use poetry::netstring::Decoder;
use poetry::{FetchFailure, Limits, request};
use simulation::fetch::{FetchPlan, Fetched, TRANSFORM};
use simulation::plan::Act;

/// What a flawed client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    TakesAResetForTheEnd,
    NeverIdle,
    IdleFromTheBeginning,
    NoTotalDeadline,
    TotalDeadlineForEach,
    AnyLength,
    DecodesEachPiece,
    TakesACutReply,
    LosesThePoem,
    KeepsTheOriginal,
    WaitsForFin,
}

impl Flaw {
    pub(crate) const ALL: [Self; 11] = [
        Self::TakesAResetForTheEnd,
        Self::NeverIdle,
        Self::IdleFromTheBeginning,
        Self::NoTotalDeadline,
        Self::TotalDeadlineForEach,
        Self::AnyLength,
        Self::DecodesEachPiece,
        Self::TakesACutReply,
        Self::LosesThePoem,
        Self::KeepsTheOriginal,
        Self::WaitsForFin,
    ];
}

/// Carries out `plan`.
pub(crate) fn fetch(plan: &FetchPlan, flaw: Option<Flaw>) -> Fetched {
    let mut client = Client {
        limits: &plan.limits,
        flaw,
        now: Duration::ZERO,
        began: Duration::ZERO,
    };
    let poem = client.poem(&plan.poem);
    let mut fetched = Fetched {
        poem,
        transform_failure: None,
        ended: client.now,
        via: plan.transform.is_some(),
    };
    if let (Ok(poem), Some(acts)) = (&fetched.poem, &plan.transform) {
        if client.has(Flaw::TotalDeadlineForEach) {
            client.began = client.now;
        }
        match client.transform(poem, acts) {
            Ok(_) if client.has(Flaw::KeepsTheOriginal) => {}
            Ok(transformed) => fetched.poem = Ok(transformed),
            Err(failure) if client.has(Flaw::LosesThePoem) => fetched.poem = Err(failure),
            Err(failure) => fetched.transform_failure = Some(failure),
        }
        fetched.ended = client.now;
    }
    fetched
}

struct Client<'p> {
    limits: &'p Limits,
    flaw: Option<Flaw>,
    now: Duration,
    began: Duration,
}

/// What a read brings.
enum Read<'a> {
    Bytes(&'a [u8]),
    Fin,
}

impl Client<'_> {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn poem(&mut self, acts: &[(Duration, Act)]) -> Result<String, FetchFailure> {
        let (start, mut poem, mut text) = (self.now, Vec::new(), String::new());
        for act in acts.iter().map(Some).chain([None]) {
            match self.read(start, act)? {
                Read::Fin if self.has(Flaw::DecodesEachPiece) => return Ok(text),
                Read::Fin => return decode_poem(poem),
                Read::Bytes(bytes) => poem.extend(bytes),
            }
            if self.has(Flaw::DecodesEachPiece)
                && let Some((_, Act::Send(bytes))) = act
            {
                text += &String::from_utf8_lossy(bytes);
            }
            let limit = self.limits.poem_bytes_max;
            if poem.len() > limit && !self.has(Flaw::AnyLength) {
                let limit = limit as u64;
                return Err(FetchFailure::TooLong { limit });
            }
        }
        unreachable!("a read without an act fails")
    }

    fn transform(&mut self, poem: &str, acts: &[(Duration, Act)]) -> Result<String, FetchFailure> {
        let limit = self.limits.frame_bytes_max;
        if request::len(TRANSFORM, poem) > limit {
            let limit = limit as u64;
            return Err(FetchFailure::TooLong { limit });
        }
        let (start, mut decoder, mut reply) = (self.now, Decoder::new(limit), None);
        let mut received = Vec::new();
        for act in acts.iter().map(Some).chain([None]) {
            let bytes = match self.read(start, act)? {
                Read::Bytes(bytes) => bytes,
                Read::Fin => match reply {
                    Some(reply) => return decode_poem(reply),
                    None if received.is_empty() => return Err(FetchFailure::Refused),
                    None if self.has(Flaw::TakesACutReply) => return decode_poem(received),
                    None => return Err(FetchFailure::CutShort),
                },
            };
            received.extend(bytes);
            let mut frames = decoder.feed(bytes);
            if let Some(frame) = frames.next().map_err(FetchFailure::Garbled)? {
                reply = Some(frame.to_vec());
                if !self.has(Flaw::WaitsForFin) {
                    return decode_poem(frame.to_vec());
                }
            }
        }
        unreachable!("a read without an act fails")
    }

    /// Waits for the next act of a server that was connected to at `start`; if there is none, until it is late.
    fn read<'a>(
        &mut self,
        start: Duration,
        act: Option<&'a (Duration, Act)>,
    ) -> Result<Read<'a>, FetchFailure> {
        let at = act.map_or(Duration::MAX, |(at, _)| start + *at);
        let idle = match self.flaw {
            // Late, but not never, so that every run ends.
            Some(Flaw::NeverIdle) => self.now + Duration::from_secs(3_600),
            Some(Flaw::IdleFromTheBeginning) => start + self.limits.idle_timeout,
            _ => self.now + self.limits.idle_timeout,
        };
        let total = match self.limits.total_deadline {
            Some(total) if !self.has(Flaw::NoTotalDeadline) => self.began + total,
            _ => Duration::MAX,
        };
        self.now = at.min(idle).min(total).max(self.now);
        match act {
            _ if at > total.min(idle) && total < idle => {
                Err(FetchFailure::TimedOut(Timeout::Total))
            }
            Some((_, act)) if at <= idle => match act {
                Act::Send(bytes) => Ok(Read::Bytes(bytes)),
                Act::Finish => Ok(Read::Fin),
                Act::Reset if self.has(Flaw::TakesAResetForTheEnd) => Ok(Read::Fin),
                Act::Reset => Err(FetchFailure::ConnectionLost {
                    cause: "reset".to_owned(),
                }),
                Act::Take(_) => Ok(Read::Bytes(&[])),
            },
            _ => Err(FetchFailure::TimedOut(Timeout::Idle)),
        }
    }
}
