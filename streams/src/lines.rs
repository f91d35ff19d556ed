//! Lines out of chunks, which the network cuts anywhere.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use poetry::FetchFailure;
use poetry::error::decode_poem;

/// The lines of a poem without their newlines, each as soon as its last byte has arrived.
///
/// Polling for a line polls `chunks` only as far as that line needs (L2). An error is the last item (L4), and so is the
/// first line that is not UTF-8; the part of a line before an error is dropped. Memory grows with the longest line only.
pub fn lines<St>(chunks: St) -> Lines<St>
where
    St: Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin,
{
    Lines {
        chunks: Some(chunks),
        bytes: Vec::new(),
        start: 0,
        searched: 0,
        before: 0,
    }
}

/// A stream of lines; returned by [`lines`].
#[derive(Debug)]
pub struct Lines<St> {
    /// The chunks, until they have ended.
    chunks: Option<St>,
    bytes: Vec<u8>,
    /// Where the next line starts in `bytes`, and up to where its end has been searched.
    start: usize,
    searched: usize,
    /// Bytes of the poem before `bytes`.
    before: u64,
}

impl<St> Lines<St> {
    /// Takes the line from `start` to `end` and the `newline` bytes behind it.
    fn line(&mut self, end: usize, newline: usize) -> Result<String, FetchFailure> {
        let at = self.before + self.start as u64;
        let line = self.bytes[self.start..end].to_vec();
        self.start = end + newline;
        self.searched = self.start;
        decode_poem(line).map_err(|failure| {
            self.chunks = None;
            self.bytes = Vec::new();
            (self.start, self.searched) = (0, 0);
            match failure {
                FetchFailure::NotUtf8 { at: within } => FetchFailure::NotUtf8 { at: at + within },
                other => other,
            }
        })
    }

    /// The next line, if all of it has arrived.
    fn whole_line(&mut self) -> Option<Result<String, FetchFailure>> {
        let unsearched = &self.bytes[self.searched..];
        match unsearched.iter().position(|&byte| byte == b'\n') {
            Some(at) => Some(self.line(self.searched + at, 1)),
            None => {
                self.searched = self.bytes.len();
                None
            }
        }
    }

    /// Appends `chunk` to the bytes left of earlier ones.
    fn append(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.start);
        self.before += self.start as u64;
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(chunk);
    }
}

// ANCHOR: poll_line
impl<St> Stream for Lines<St>
where
    St: Stream<Item = Result<Vec<u8>, FetchFailure>> + Unpin,
{
    type Item = Result<String, FetchFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.whole_line() {
                return Poll::Ready(Some(line));
            }
            let Some(chunks) = &mut self.chunks else {
                let end = self.bytes.len();
                let last = (self.start < end).then(|| self.line(end, 0));
                return Poll::Ready(last);
            };
            match ready!(chunks.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => self.append(&chunk),
                Some(Err(failure)) => {
                    self.chunks = None;
                    self.start = self.bytes.len();
                    return Poll::Ready(Some(Err(failure)));
                }
                None => self.chunks = None,
            }
        }
    }
}
// ANCHOR_END: poll_line

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<Result<String, FetchFailure>> {
        let chunks = stream::iter(pieces.iter().map(|piece| Ok(piece.to_vec())));
        block_on(lines(chunks).collect())
    }

    fn ok(lines: &[&str]) -> Vec<Result<String, FetchFailure>> {
        lines.iter().map(|line| Ok((*line).to_owned())).collect()
    }

    #[test]
    fn l3_a_line_is_whole_however_the_network_cuts_it() {
        assert_eq!(
            lines_of(&[b"on", b"e\ntwo\n\nthr", b"ee"]),
            ok(&["one", "two", "", "three"])
        );
        assert_eq!(lines_of(&[b"one\n"]), ok(&["one"]));
        assert_eq!(lines_of(&[]), ok(&[]));
    }

    #[test]
    fn s12_a_character_cut_by_the_network_is_a_character() {
        assert_eq!(lines_of(&[b"\xc3", b"\xbc\n"]), ok(&["ü"]));
    }

    #[test]
    fn l4_the_first_line_that_is_not_utf8_is_the_last_item() {
        let lines = lines_of(&[b"one\ntw", b"o\xff\nthree\n"]);
        assert_eq!(lines[0], Ok("one".to_owned()));
        assert_eq!(lines[1..], [Err(FetchFailure::NotUtf8 { at: 7 })]);
    }

    #[test]
    fn l4_an_error_is_the_last_item() {
        let chunks = [Ok(b"one\ntw".to_vec()), Err(FetchFailure::Cancelled)];
        let lines: Vec<_> = block_on(lines(stream::iter(chunks)).collect());
        assert_eq!(lines, [Ok("one".to_owned()), Err(FetchFailure::Cancelled)]);
    }

    proptest! {
        #[test]
        fn l3_any_cutting_gives_the_same_lines(
            text in "([a-zü]{0,6}\n?){0,12}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let expected: Vec<_> = text.split('\n').map(str::to_owned).map(Ok).collect();
            let ends = text.is_empty() || text.ends_with('\n');
            let expected = &expected[..expected.len() - usize::from(ends)];
            prop_assert_eq!(lines_of(&pieces), expected);
        }
    }
}
