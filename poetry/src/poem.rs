//! Poems as servers hold them, and the pace they are served at (S1).

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The default bytes in a chunk of a slowly served poem, as in the tutorial.
pub const NUM_BYTES: NonZeroUsize = NonZeroUsize::new(10).unwrap();
/// The default time between two chunks of a slowly served poem, as in the tutorial.
pub const DELAY: Duration = Duration::from_millis(700);

/// A poem in UTF-8. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poem {
    text: Arc<String>,
}

impl Poem {
    /// Creates a poem from the bytes of a file.
    ///
    /// # Errors
    /// Fails at the first byte that is not UTF-8.
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, std::str::Utf8Error> {
        std::str::from_utf8(bytes).map(Self::from)
    }

    /// Returns the poem's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the poem's bytes as they go over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl From<&str> for Poem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Without a copy of the text.
impl From<String> for Poem {
    fn from(text: String) -> Self {
        Self {
            text: Arc::new(text),
        }
    }
}

/// Without a copy of the text, unless the poem is shared.
impl From<Poem> for String {
    fn from(poem: Poem) -> Self {
        Arc::unwrap_or_clone(poem.text)
    }
}

impl fmt::Display for Poem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// The pace at which a poem is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at once, then FIN.
    Fast,
    /// `num_bytes` every `delay`, then FIN one `delay` after the last chunk.
    Slow {
        /// Bytes in each chunk but the last.
        num_bytes: NonZeroUsize,
        /// Time from one chunk to the next.
        delay: Duration,
    },
}

impl Pace {
    /// The tutorial's slow pace.
    pub const SLOW: Self = Self::Slow {
        num_bytes: NUM_BYTES,
        delay: DELAY,
    };

    /// Returns the byte range of chunk `index` (from 0) of a poem of `length` bytes; `None` after the last chunk.
    ///
    /// ```
    /// use poetry::Pace;
    /// assert_eq!(Pace::SLOW.chunk(0, 25), Some(0..10));
    /// assert_eq!(Pace::SLOW.chunk(2, 25), Some(20..25));
    /// assert_eq!(Pace::SLOW.chunk(3, 25), None);
    /// assert_eq!(Pace::Fast.chunk(0, 25), Some(0..25));
    /// ```
    pub fn chunk(&self, index: usize, length: usize) -> Option<Range<usize>> {
        let step = match self {
            Self::Fast => length.max(1),
            Self::Slow { num_bytes, .. } => num_bytes.get(),
        };
        let start = index.checked_mul(step).filter(|&start| start < length)?;
        Some(start..start.saturating_add(step).min(length))
    }

    /// Returns when chunk `index` is due, counted from the accept; for the index after the last chunk, when FIN is due.
    /// Lateness does not accumulate, since every chunk's time is counted from the same moment.
    pub fn due(&self, index: usize) -> Duration {
        match self {
            Self::Fast => Duration::ZERO,
            Self::Slow { delay, .. } => {
                delay.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }
    }

    /// Returns the number of chunks in a poem of `length` bytes.
    pub fn chunks(&self, length: usize) -> usize {
        match self {
            Self::Fast => usize::from(length > 0),
            Self::Slow { num_bytes, .. } => length.div_ceil(num_bytes.get()),
        }
    }

    /// Returns the time from the accept to FIN for a poem of `length` bytes. No client can fetch it faster.
    pub fn duration(&self, length: usize) -> Duration {
        self.due(self.chunks(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn s1_chunk_k_is_due_k_delays_after_the_accept_and_fin_one_delay_after_the_last() {
        assert_eq!(Pace::SLOW.due(0), Duration::ZERO);
        assert_eq!(Pace::SLOW.due(3), Duration::from_millis(2_100));
        assert_eq!(Pace::SLOW.duration(25), Duration::from_millis(2_100));
        assert_eq!(Pace::Fast.duration(25), Duration::ZERO);
    }

    #[test]
    fn an_empty_poem_has_no_chunks() {
        assert_eq!(Pace::Fast.chunk(0, 0), None);
        assert_eq!(Pace::SLOW.chunk(0, 0), None);
    }

    #[test]
    fn huge_numbers_do_not_overflow() {
        let pace = Pace::Slow {
            num_bytes: NonZeroUsize::MAX,
            delay: Duration::MAX,
        };
        assert_eq!(pace.chunk(0, 5), Some(0..5));
        assert_eq!(pace.chunk(2, 5), None);
        assert_eq!(pace.due(9), Duration::MAX);
    }

    proptest! {
        #[test]
        fn s1_the_chunks_are_the_poem(length in 0_usize..300, num_bytes in 1_usize..40) {
            let pace = Pace::Slow { num_bytes: NonZeroUsize::new(num_bytes).unwrap(), delay: DELAY };
            let mut end = 0;
            for index in 0..pace.chunks(length) {
                let chunk = pace.chunk(index, length).unwrap();
                prop_assert_eq!(chunk.start, end);
                prop_assert!(!chunk.is_empty());
                end = chunk.end;
            }
            prop_assert_eq!(end, length);
            prop_assert_eq!(pace.chunk(pace.chunks(length), length), None);
        }
    }
}
