//! A transform request: `NAME.POEM`, split at the first dot (S3).

use std::str;

use crate::error::{Refusal, shown};
use crate::netstring;
use crate::transform::{self, Transform};

/// A request for a transform that exists.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The requested transform.
    pub transform: &'static Transform,
    /// The poem's bytes, borrowed from the frame. The transform checks that they are UTF-8.
    pub poem: &'a [u8],
}

impl<'a> Request<'a> {
    /// Parses one frame without copying. The laboratory's transforms (S20) are known only if `lab` is true.
    ///
    /// # Errors
    /// Fails if the frame has no dot or names an unknown transform (S4).
    #[inline]
    pub fn parse(frame: &'a [u8], lab: bool) -> Result<Self, Refusal> {
        let Some((transform, poem)) = transform::named_by(frame, lab) else {
            return Err(refusal(frame));
        };
        Ok(Self { transform, poem })
    }
}

/// Returns why a frame without a known transform is refused.
#[cold]
fn refusal(frame: &[u8]) -> Refusal {
    match frame.iter().position(|&byte| byte == b'.') {
        Some(dot) => unknown(&frame[..dot]),
        None => Refusal::NoDot,
    }
}

fn unknown(name: &[u8]) -> Refusal {
    Refusal::UnknownTransform { name: shown(name) }
}

/// Appends the request for `transform` of `poem` to `out`, as one netstring.
pub fn encode(transform: &str, poem: &str, out: &mut Vec<u8>) {
    let written =
        netstring::encode_with::<std::convert::Infallible>(out, len(transform, poem), |out| {
            out.extend_from_slice(transform.as_bytes());
            out.push(b'.');
            out.extend_from_slice(poem.as_bytes());
            Ok(())
        });
    match written {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// Returns the length of a request's frame in bytes. A client does not send a request that exceeds the frame limit.
pub fn len(transform: &str, poem: &str) -> usize {
    transform.len() + 1 + poem.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_splits_at_the_first_dot() {
        let request = Request::parse(b"shout.a.b.", false).unwrap();
        assert_eq!(
            (request.transform.name, request.poem),
            ("shout", &b"a.b."[..])
        );
    }

    #[test]
    fn s4_an_empty_poem_is_a_valid_request() {
        assert_eq!(Request::parse(b"cummingsify.", false).unwrap().poem, b"");
    }

    #[test]
    fn s4_a_refusal_gives_its_reason() {
        let refusal = |frame: &[u8]| Request::parse(frame, false).expect_err("a refusal");
        assert_eq!(refusal(b"cummingsify"), Refusal::NoDot);
        assert_eq!(refusal(b""), Refusal::NoDot);
        for name in [&b""[..], b"Shout", b"nonsense", b"crash"] {
            let refusal = refusal(&[name, b".x"].concat());
            assert!(
                matches!(refusal, Refusal::UnknownTransform { .. }),
                "{refusal}"
            );
        }
    }

    #[test]
    fn an_unknown_name_is_shown_short_and_escaped() {
        let Refusal::UnknownTransform { name } = unknown(b"\x1b[2J") else {
            unreachable!()
        };
        assert_eq!(name, "\\x1b[2J");
        let Refusal::UnknownTransform { name } = unknown(&[b'a'; 90_000]) else {
            unreachable!()
        };
        assert_eq!(
            name,
            format!("{}…", "a".repeat(crate::error::NAME_BYTES_SHOWN))
        );
    }

    #[test]
    fn encode_writes_what_parse_reads() {
        let mut out = Vec::new();
        encode("shout", "ahoy", &mut out);
        assert_eq!(out, b"10:shout.ahoy,");
        assert_eq!(len("shout", "ahoy"), 10);
    }
}
