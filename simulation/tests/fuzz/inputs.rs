//! Inputs: netstrings of requests, valid and broken, and how they are cut into pieces.

use std::fmt;

use fastrand::Rng;

/// The bytes of one connection, the pieces they arrive in, and the limit on frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) wire: Vec<u8>,
    /// Where the pieces end, in order, each within the wire.
    pub(crate) cuts: Vec<usize>,
    pub(crate) limit: usize,
    /// Frames that are taken before the rest of a piece is fed again.
    pub(crate) turn: u32,
    /// The payload of the next netstring; kept for its memory.
    payload: Vec<u8>,
}

/// Names of transforms, known and unknown, with dots and without.
const NAMES: &[&str] = &[
    "shout.",
    "cummingsify.",
    "reverse.",
    "gibberish.",
    "shout",
    "Shout.",
    "crash.",
    "burn.",
    ".",
    "",
    "star",
    "sh.out.",
];
/// Characters of one to four bytes. Some become longer or shorter in another case, some have no case.
const CHARACTERS: &[char] = &[
    'a', 'Z', '.', ',', ':', '0', '7', '\n', '\r', '\0', ' ', '/', '\\', 'ß', 'İ', 'Ⱥ', 'ŉ', 'ÿ',
    'Σ', 'ﬃ', '詩', '—', '🌊', '\u{85}',
];
/// Lengths that no frame may have, or hardly.
const LENGTHS: &[&str] = &[
    "00",
    "01",
    "007",
    "-1",
    "+1",
    "1 ",
    "0x1",
    "99999",
    "100000",
    "099999",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999999",
    "00000000000000000000000000000001",
];

impl Input {
    /// Replaces the input by another.
    pub(crate) fn generate(&mut self, rng: &mut Rng) {
        self.wire.clear();
        self.limit = match rng.u8(..) {
            0..60 => rng.usize(0..24),
            60..170 => rng.usize(24..200),
            170..245 => 99_999,
            _ => usize::MAX,
        };
        self.turn = rng.u32(1..4);
        for _ in 0..rng.u32(0..7) {
            self.part(rng);
        }
        for _ in 0..rng.u32(0..5) / 2 {
            self.mutate(rng);
        }
        self.cut(rng);
    }

    fn part(&mut self, rng: &mut Rng) {
        match rng.u8(..) {
            0..160 => {
                self.request(rng);
                self.netstring(self.payload.len());
            }
            160..170 => self.growing(rng),
            170..200 => self.near_the_limit(rng),
            200..215 => {
                // A length that is wrong by a little.
                self.request(rng);
                let length = self.payload.len() + rng.usize(0..3);
                self.netstring(length.saturating_sub(1));
            }
            215..235 => {
                self.wire.extend(pick(rng, LENGTHS).bytes());
                self.wire.extend((rng.bool()).then_some(b':'));
            }
            _ => self.noise(rng),
        }
    }

    /// Fills the payload with a request, or a part of one.
    fn request(&mut self, rng: &mut Rng) {
        self.payload.clear();
        self.payload.extend(pick(rng, NAMES).bytes());
        let characters = match rng.u8(..) {
            0..200 => rng.usize(0..12),
            200..254 => rng.usize(12..80),
            _ => rng.usize(80..600),
        };
        let is_ascii = rng.bool();
        for _ in 0..characters {
            let character = pick(
                rng,
                if is_ascii {
                    &CHARACTERS[..11]
                } else {
                    CHARACTERS
                },
            );
            let mut bytes = [0; 4];
            self.payload
                .extend(character.encode_utf8(&mut bytes).bytes());
        }
        if rng.u8(..) < 24 {
            // Often in the middle of a character.
            self.payload.truncate(rng.usize(0..=self.payload.len()));
        }
    }

    /// A request that fits into a frame, often for a reply that does not.
    fn growing(&mut self, rng: &mut Rng) {
        const NAME: &str = "shout.";
        let room = self.limit.min(200).saturating_sub(NAME.len());
        let characters = (room / 2).saturating_sub(rng.usize(0..4));
        self.payload.clear();
        self.payload.extend(NAME.bytes());
        // In upper case, two bytes become six.
        self.payload.extend("ΐ".repeat(characters).bytes());
        self.netstring(self.payload.len());
    }

    /// A netstring of about as many bytes as the limit allows, or its beginning if that is much.
    fn near_the_limit(&mut self, rng: &mut Rng) {
        const MANY: usize = 1_000;
        let length = self.limit.saturating_add(rng.usize(0..3)).saturating_sub(1);
        self.payload.clear();
        let is_whole = length < MANY || (length < 200_000 && rng.u32(..) < u32::MAX / 300);
        let bytes = if is_whole { length } else { rng.usize(0..9) };
        self.payload.extend(b"shout.");
        self.payload.resize(bytes, b'x');
        self.netstring(length);
    }

    fn netstring(&mut self, length: usize) {
        self.wire.extend(length.to_string().bytes());
        self.wire.push(b':');
        self.wire.extend(&self.payload);
        self.wire.push(b',');
    }

    fn noise(&mut self, rng: &mut Rng) {
        const LIKELY: &[u8] = b"0123456789:::,,,.a \xff\xc3";
        for _ in 0..rng.u32(0..8) {
            let byte = if rng.u8(..) < 200 {
                *pick(rng, LIKELY)
            } else {
                rng.u8(..)
            };
            self.wire.push(byte);
        }
    }

    fn mutate(&mut self, rng: &mut Rng) {
        let Some(last) = self.wire.len().checked_sub(1) else {
            return;
        };
        let at = rng.usize(..=last);
        match rng.u8(..) {
            0..60 => self.wire[at] = rng.u8(..),
            60..90 => self.wire[at] ^= 1 << rng.u32(0..8),
            90..120 => self.wire.truncate(at),
            120..150 => {
                self.wire.remove(at);
            }
            150..180 => self.wire.insert(at, *pick(rng, b"0129:,x\x80")),
            180..200 => {
                let end = (at + rng.usize(0..20)).min(last);
                self.wire.extend_from_within(at..end);
            }
            200..215 => self.wire.swap(at, last),
            _ => {}
        }
    }

    fn cut(&mut self, rng: &mut Rng) {
        self.cuts.clear();
        let count = match rng.u8(..) {
            0..40 => 0,
            40..200 => rng.usize(1..4),
            _ => rng.usize(4..12),
        };
        let end = self.wire.len();
        self.cuts.extend((0..count).map(|_| rng.usize(..=end)));
        self.cuts.sort_unstable();
    }

    /// Returns the pieces that the cuts make.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.cuts.iter().copied().chain([self.wire.len()]);
        ends.scan(0, |start, end| {
            let piece = &self.wire[*start..end];
            *start = end;
            Some(piece)
        })
    }

    fn without(&self, start: usize, end: usize) -> Self {
        let mut shorter = self.clone();
        shorter.wire.drain(start..end);
        for cut in &mut shorter.cuts {
            *cut = (*cut).min(start).max(cut.saturating_sub(end - start));
        }
        shorter
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

/// Removes from `input` whatever can be removed so that it still `fails`: bytes, by halves and then singly, and cuts.
pub(crate) fn shortened(mut input: Input, mut fails: impl FnMut(&Input) -> bool) -> Input {
    let mut size = input.wire.len().max(1);
    loop {
        let mut start = 0;
        let before = input.wire.len();
        while start < input.wire.len() {
            let shorter = input.without(start, (start + size).min(input.wire.len()));
            match fails(&shorter) {
                true => input = shorter,
                false => start += size,
            }
        }
        if size == 1 && input.wire.len() == before {
            break;
        }
        size = size.div_ceil(2);
    }
    for index in (0..input.cuts.len()).rev() {
        let mut fewer = input.clone();
        fewer.cuts.remove(index);
        if fails(&fewer) {
            input = fewer;
        }
    }
    input
}

impl fmt::Display for Input {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "input: \"{}\", cut at {:?}, frame limit {}, turns of {}",
            self.wire.escape_ascii(),
            self.cuts,
            self.limit,
            self.turn
        )
    }
}
