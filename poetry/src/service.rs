//! What a server serves. How one request is answered is said here, once; who reads it, when, and how its reply
//! reaches the peer is each model's own.

use crate::error::Refusal;
use crate::event::Clock;
use crate::netstring;
use crate::poem::{Pace, Poem};
use crate::request::Request;
use crate::transform::TransformError;

/// What a server does for those who connect.
#[derive(Debug, Clone)]
pub enum Service {
    /// Writes one poem to everybody (S1).
    Poem(PoemService),
    /// Answers transform requests (S3–S5).
    Transform(TransformService),
}

/// A poem, and the pace it is served at.
#[derive(Debug, Clone)]
pub struct PoemService {
    /// What is served.
    pub poem: Poem,
    /// How fast.
    pub pace: Pace,
}

/// How transform requests are answered.
#[derive(Debug, Clone, Default)]
pub struct TransformService {
    /// Whether a connection may ask more than once (S5). One-shot otherwise: exactly the first request is answered.
    pub keep_alive: bool,
    /// With a clock, the laboratory's transforms are served too (S20).
    pub lab: Option<Clock>,
}

impl TransformService {
    /// Appends to `replies` the reply, a netstring of at most `frame_bytes_max` payload bytes, to the request in
    /// `frame`.
    ///
    /// # Errors
    /// Why the request is refused (S4). `replies` is then as it was before.
    ///
    /// # Panics
    /// When the transform does, as `crash` always does. `replies` is then as it was before (S20).
    #[inline]
    pub fn answer(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let request = Request::parse(frame, self.lab.is_some())?;
        netstring::encode_with(replies, request.poem.len(), |replies| {
            let start = replies.len();
            let applied = request
                .transform
                .apply(request.poem, replies, self.lab.as_ref());
            applied.map_err(|error| refusal(request.transform.name, error))?;
            match replies.len() - start {
                length if length > frame_bytes_max => Err(Refusal::ReplyTooLong {
                    length: length as u64,
                    limit: frame_bytes_max as u64,
                }),
                _ => Ok(()),
            }
        })
    }
}

#[cold]
fn refusal(name: &str, error: TransformError) -> Refusal {
    match error {
        TransformError::NotUtf8 { at } => Refusal::NotUtf8 { at: at as u64 },
        TransformError::Failed(cause) => Refusal::TransformFailed {
            name: name.to_owned(),
            cause: cause.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn answer(frame: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut replies = b"3:old,".to_vec();
        let answered = TransformService::default().answer(frame, 10, &mut replies);
        if answered.is_err() {
            assert_eq!(replies, b"3:old,");
        }
        answered.map(|()| replies)
    }

    #[test]
    fn s3_the_reply_is_one_netstring() {
        assert_eq!(answer(b"cummingsify.AHOY").unwrap(), b"3:old,4:ahoy,");
    }

    #[test]
    fn s4_an_empty_poem_is_answered_by_an_empty_one() {
        assert_eq!(answer(b"cummingsify.").unwrap(), b"3:old,0:,");
    }

    #[test]
    fn s4_a_reply_over_the_frame_limit_is_refused() {
        assert!(
            answer("cummingsify.ȺȺȺ123".as_bytes()).is_err_and(|refusal| {
                refusal
                    == Refusal::ReplyTooLong {
                        length: 12,
                        limit: 10,
                    }
            })
        );
    }

    #[test]
    fn s4_a_transform_that_fails_is_refused() {
        assert_eq!(answer(b"shout.ab\xff"), Err(Refusal::NotUtf8 { at: 2 }));
        assert!(matches!(
            answer(b"gibberish.x"),
            Err(Refusal::TransformFailed { .. })
        ));
    }

    #[test]
    fn s20_a_panic_leaves_earlier_replies_whole() {
        let service = TransformService {
            lab: Some(Clock::stopped()),
            ..Default::default()
        };
        let mut replies = b"3:old,".to_vec();
        let crashed = catch_unwind(AssertUnwindSafe(|| {
            service.answer(b"crash.x", 10, &mut replies)
        }));
        assert!(crashed.is_err());
        assert_eq!(replies, b"3:old,");
    }
}
