//! What a server serves, and how it answers one request. Reading requests and delivering replies is up to each model.

use crate::error::Refusal;
use crate::event::Clock;
use crate::netstring;
use crate::poem::{Pace, Poem};
use crate::request::Request;
use crate::transform::TransformError;

/// What a server does for its peers.
#[derive(Debug, Clone)]
pub enum Service {
    /// Writes one poem to every peer (S1).
    Poem(PoemService),
    /// Answers transform requests (S3–S5).
    Transform(TransformService),
}

/// A poem and the pace at which it is served.
#[derive(Debug, Clone)]
pub struct PoemService {
    /// The poem.
    pub poem: Poem,
    /// The pace.
    pub pace: Pace,
}

/// Answers transform requests.
#[derive(Debug, Clone, Default)]
pub struct TransformService {
    /// Whether a connection may send more than one request (S5). If not, exactly the first is answered.
    pub keep_alive: bool,
    /// Whether the laboratory's transforms, `crash` and `burn`, are served too (S20). They are if this is set; `burn`
    /// measures its time by this clock.
    pub lab: Option<Clock>,
}

impl TransformService {
    /// Answers the request in `frame`: appends the reply, a netstring with a payload of at most `frame_bytes_max` bytes,
    /// to `replies`.
    ///
    /// # Errors
    /// Returns why the request is refused (S4). `replies` is then unchanged.
    ///
    /// # Panics
    /// Panics when the transform does, as `crash` always does. `replies` is then unchanged (S20).
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
    fn s4_the_reply_to_an_empty_poem_is_empty() {
        assert_eq!(answer(b"cummingsify.").unwrap(), b"3:old,0:,");
    }

    #[test]
    fn s4_refuses_a_reply_over_the_frame_limit() {
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
    fn s4_refuses_a_request_whose_transform_fails() {
        assert_eq!(answer(b"shout.ab\xff"), Err(Refusal::NotUtf8 { at: 2 }));
        assert!(matches!(
            answer(b"gibberish.x"),
            Err(Refusal::TransformFailed { .. })
        ));
    }

    #[test]
    fn s20_a_panic_leaves_earlier_replies_unchanged() {
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
