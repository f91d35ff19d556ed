//! Feeds an input to the decoder in several ways and its frames to the services, and compares with the second implementation.

use std::ops::Range;

use poetry::library::{FramedPoem, Library};
use poetry::netstring::{self, Decoder, FramingError};
use poetry::{LibraryService, TransformService, panics};
use simulation::wire::{self, End};

use crate::inputs::Input;

/// What the inputs contained, to see that the generator reaches everything.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) frames: u64,
    whole: u64,
    unfinished: u64,
    flawed: u64,
    answered: u64,
    refused: [u64; 5],
    found: u64,
    unknown: u64,
    unnamed: u64,
}

impl Seen {
    /// Returns the count of the kind that came least often.
    pub(crate) fn rarest(&self) -> u64 {
        let refused = self.refused.iter().copied();
        let others = [
            self.whole,
            self.unfinished,
            self.flawed,
            self.answered,
            self.found,
            self.unknown,
            self.unnamed,
        ];
        refused.chain(others).min().unwrap_or(0)
    }
}

/// Checks inputs, one after another; keeps its buffers.
pub(crate) struct Checker {
    pub(crate) seen: Seen,
    frames: Vec<Range<usize>>,
    replies: Vec<u8>,
    transforms: TransformService,
    library: LibraryService,
}

impl Default for Checker {
    fn default() -> Self {
        let star = ("star".parse().unwrap(), FramedPoem::from(&"Stars".into()));
        Self {
            seen: Seen::default(),
            frames: Vec::new(),
            replies: Vec::new(),
            transforms: TransformService::default(),
            library: LibraryService {
                library: Library::new([star].into()),
                keep_alive: true,
            },
        }
    }
}

/// What a decoder has been fed and has delivered.
struct Fed<'i> {
    decoder: Decoder,
    input: &'i Input,
    expected: &'i [Range<usize>],
    end: End,
    delivered: usize,
    error: Option<FramingError>,
}

impl Checker {
    /// Checks one input. A panic is a failure.
    pub(crate) fn check(&mut self, input: &Input) -> Result<(), String> {
        panics::contain(|| self.compare(input))
            .unwrap_or_else(|message| Err(format!("a panic: {message}")))
    }

    fn compare(&mut self, input: &Input) -> Result<(), String> {
        let end = wire::frames(&input.wire, input.limit, &mut self.frames);
        self.note(end);
        let fed = |way: &str, feed: &dyn Fn(&mut Fed<'_>) -> Result<(), String>| {
            let mut fed = Fed::new(input, &self.frames, end);
            feed(&mut fed)
                .and_then(|()| fed.finish())
                .map_err(|why| format!("fed {way}: {why}"))
        };
        fed("whole", &|fed| fed.feed(&input.wire, u32::MAX))?;
        fed("in pieces", &|fed| {
            input
                .pieces()
                .try_for_each(|piece| fed.feed(piece, u32::MAX))
        })?;
        fed("in turns", &|fed| {
            input
                .pieces()
                .try_for_each(|piece| fed.feed(piece, input.turn))
        })?;
        if input.wire.len() < 100 {
            fed("byte by byte", &|fed| {
                let mut bytes = input.wire.chunks(1);
                bytes.try_for_each(|byte| fed.feed(byte, u32::MAX))
            })?;
        }
        self.close(input)?;
        let frames = std::mem::take(&mut self.frames);
        let answered = frames.iter().try_for_each(|frame| {
            let frame = &input.wire[frame.clone()];
            self.answer(frame, input.limit)?;
            self.find(frame, input.limit)
        });
        self.frames = frames;
        answered
    }

    fn note(&mut self, end: End) {
        self.seen.frames += self.frames.len() as u64;
        match end {
            End::Between => self.seen.whole += 1,
            End::InFrame(_) => self.seen.unfinished += 1,
            End::Flawed(..) => self.seen.flawed += 1,
        }
    }

    /// A decoder that is closed neither delivers nor buffers, whatever it was fed before (S2).
    fn close(&self, input: &Input) -> Result<(), String> {
        let mut decoder = Decoder::new(input.limit);
        let (before, after) = input
            .wire
            .split_at(input.cuts.first().copied().unwrap_or(0));
        let _ = decoder.feed(before).next();
        decoder.close();
        let mut fed = decoder.feed(after);
        let next = fed.next().map(|frame| frame.map(<[u8]>::len));
        drop(fed);
        match (next, decoder.buffered(), decoder.is_mid_frame()) {
            (Ok(None), 0, false) => Ok(()),
            other => Err(format!("a closed decoder gives {other:?}")),
        }
    }

    fn answer(&mut self, frame: &[u8], limit: usize) -> Result<(), String> {
        const REASONS: [&str; 5] = [
            "no_dot",
            "unknown_transform",
            "not_utf8",
            "transform_failed",
            "reply_too_long",
        ];
        self.replies.clear();
        self.replies.push(b'!');
        let got = self.transforms.answer(frame, limit, &mut self.replies);
        let expected = wire::transformed(frame, limit);
        match (got, expected) {
            (Ok(()), Ok(reply)) => {
                self.seen.answered += 1;
                let mut wire = b"!".to_vec();
                wire::netstring(reply.as_bytes(), &mut wire);
                same("the reply", &self.replies, &wire)
            }
            (Err(refusal), Err(reason)) if refusal.reason() == reason => {
                let index = REASONS.iter().position(|&known| known == reason);
                self.seen.refused[index.expect("a known reason")] += 1;
                same("the replies after a refusal", &self.replies, b"!")
            }
            (got, expected) => Err(format!("a request gives {got:?}, not {expected:?}")),
        }
    }

    fn find(&mut self, frame: &[u8], limit: usize) -> Result<(), String> {
        let got = self.library.answer(frame, limit);
        let expected = match frame {
            b"star" if limit >= 5 => {
                self.seen.found += 1;
                Ok(())
            }
            b"star" => Err("reply_too_long"),
            name if wire::is_poem_name(name) => {
                self.seen.unknown += 1;
                Err("unknown_poem")
            }
            _ => {
                self.seen.unnamed += 1;
                Err("bad_poem_name")
            }
        };
        match (got, expected) {
            (Ok(poem), Ok(())) => same("the poem", poem.as_bytes(), b"5:Stars,"),
            (Err(refusal), Err(reason)) if refusal.reason() == reason => Ok(()),
            (got, expected) => Err(format!("a name gives {got:?}, not {expected:?}")),
        }
    }
}

impl<'i> Fed<'i> {
    fn new(input: &'i Input, expected: &'i [Range<usize>], end: End) -> Self {
        Self {
            decoder: Decoder::new(input.limit),
            input,
            expected,
            end,
            delivered: 0,
            error: None,
        }
    }

    /// Feeds one piece and takes its frames, `turn` at a time: then feeds the rest again, as a server does after its turn.
    fn feed(&mut self, mut piece: &[u8], turn: u32) -> Result<(), String> {
        if let Some(error) = self.error {
            return match self.decoder.feed(piece).next() {
                Err(again) if again == error => Ok(()),
                other => Err(format!("after {error}: {other:?}")),
            };
        }
        let mut ended = false;
        while !ended {
            let position = self.decoder.position();
            let before = self.delivered;
            let mut fed = self.decoder.feed(piece);
            for _ in 0..turn {
                match fed.next() {
                    Ok(Some(frame)) => {
                        let expected = self.expected.get(self.delivered).cloned();
                        let expected = expected.ok_or("a frame too many")?;
                        same("a frame", frame, &self.input.wire[expected])?;
                        self.delivered += 1;
                    }
                    Ok(None) => ended = true,
                    Err(error) => {
                        self.error = Some(error);
                        ended = true;
                    }
                }
                if ended {
                    break;
                }
            }
            let rest = fed.rest();
            drop(fed);
            let consumed = self.decoder.position() - position;
            if consumed != (piece.len() - rest.len()) as u64 {
                return Err(format!("the position moved by {consumed}"));
            }
            if ended && self.error.is_none() && !rest.is_empty() {
                return Err(format!("{} bytes are left", rest.len()));
            }
            if !ended && self.delivered == before {
                return Err("a turn delivers nothing and does not end".to_owned());
            }
            piece = rest;
            self.check_buffer()?;
        }
        Ok(())
    }

    /// The buffer holds no more than the frame that has begun, and nothing between frames and after an error.
    fn check_buffer(&self) -> Result<(), String> {
        let buffered = self.decoder.buffered();
        let begun = match self.delivered.checked_sub(1) {
            Some(last) => self.expected[last].end + 1,
            None => 0,
        };
        let received = self.decoder.position() - begun as u64;
        let is_idle = !self.decoder.is_mid_frame();
        if buffered > self.input.limit || buffered as u64 > received || (is_idle && buffered > 0) {
            return Err(format!("{buffered} bytes are buffered of {received}"));
        }
        Ok(())
    }

    /// Checks what the decoder has delivered in all.
    fn finish(&self) -> Result<(), String> {
        if self.delivered < self.expected.len() {
            let missing = self.expected.len() - self.delivered;
            return Err(format!("{missing} frames are missing"));
        }
        let got = self.error.map(|error| (error.at, error.flaw));
        let expected = match self.end {
            End::Flawed(at, flaw) => Some((at as u64, flaw)),
            _ => None,
        };
        if got != expected {
            return Err(format!("the error is {got:?}, not {expected:?}"));
        }
        let is_mid_frame = matches!(self.end, End::InFrame(_));
        if self.decoder.is_mid_frame() != is_mid_frame {
            return Err(format!("in mid-frame: {}", !is_mid_frame));
        }
        self.check_whole()
    }

    /// Counts the frames within the first piece, as a server does whose write the kernel took in part. It is told of netstrings
    /// only.
    fn check_whole(&self) -> Result<(), String> {
        let Input { wire, cuts, .. } = self.input;
        if self.end != End::Between {
            return Ok(());
        }
        let taken = cuts.first().copied().unwrap_or(wire.len());
        let whole = netstring::frames_within(wire, taken);
        let ends = self.expected.iter().map(|frame| frame.end + 1);
        let bytes = ends.take_while(|&end| end <= taken);
        let expected = bytes.fold((0, 0), |(count, _), end| (count + 1, end));
        match (whole.frames, whole.bytes) == expected {
            true => Ok(()),
            false => Err(format!("{whole:?} of {taken} bytes")),
        }
    }
}

fn same(what: &str, got: &[u8], expected: &[u8]) -> Result<(), String> {
    match got == expected {
        true => Ok(()),
        false => Err(format!(
            "{what} is \"{}\", not \"{}\"",
            got.escape_ascii(),
            expected.escape_ascii()
        )),
    }
}
