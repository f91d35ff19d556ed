//! What a server serves, and how it answers one request. Reading requests and delivering replies is up to each model.

use std::time::Duration;

use crate::error::{FetchFailure, Refusal};
use crate::event::{Clock, Role};
use crate::library::{self, FramedPoem, Library};
use crate::netstring;
use crate::peer::Peer;
use crate::poem::{Pace, Poem};
use crate::request::Request;
use crate::transform::TransformError;

mod unanswered;

pub use unanswered::{Heavy, Unanswered};

/// What a server does for its peers.
#[derive(Debug, Clone)]
pub enum Service {
    /// Writes one poem to every peer (S1).
    Poem(PoemService),
    /// Answers transform requests (S3–S5).
    Transform(TransformService),
    /// Serves poems by name (S8).
    Library(LibraryService),
    /// Serves the cached poem of another server (S9).
    Proxy(ProxyService),
}

impl Service {
    /// Returns the role of a server that offers this.
    pub const fn role(&self) -> Role {
        match self {
            Self::Poem(_) => Role::PoemServer,
            Self::Transform(_) => Role::TransformServer,
            Self::Library(_) => Role::LibraryServer,
            Self::Proxy(_) => Role::Proxy,
        }
    }
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
    /// Whether heavy transforms are computed outside the event loop, each model in its own way (S25). `blocking` has no event
    /// loop, so there it changes nothing.
    pub offload: bool,
}

impl TransformService {
    // ANCHOR: answer
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
        self.apply(request, frame_bytes_max, replies)
    }
    // ANCHOR_END: answer

    /// As [`answer`](Self::answer), but leaves a heavy request to the caller if the service offloads them (S25).
    ///
    /// # Errors
    /// Returns why the request is not answered. `replies` is then unchanged.
    ///
    /// # Panics
    /// As [`answer`](Self::answer).
    #[inline]
    pub fn answer_or_offload(
        &self,
        frame: &[u8],
        frame_bytes_max: usize,
        replies: &mut Vec<u8>,
    ) -> Result<(), Unanswered> {
        let request = Request::parse(frame, self.lab.is_some())?;
        if request.transform.is_heavy() && self.offload {
            return Err(Unanswered::Heavy(self.heavy(frame, frame_bytes_max)));
        }
        Ok(self.apply(request, frame_bytes_max, replies)?)
    }

    /// Copies the request: its frame is lent out of a read buffer.
    #[cold]
    fn heavy(&self, frame: &[u8], frame_bytes_max: usize) -> Heavy {
        let (service, frame) = (self.clone(), frame.to_vec());
        Box::new(move || {
            let mut reply = Vec::new();
            service.answer(&frame, frame_bytes_max, &mut reply)?;
            Ok(reply)
        })
    }

    // Forced: a call here would cost every request some 30 instructions.
    #[inline(always)]
    fn apply(
        &self,
        Request { transform, poem }: Request<'_>,
        frame_bytes_max: usize,
        replies: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        netstring::encode_with(replies, poem.len(), |replies| {
            let start = replies.len();
            let applied = transform.apply(poem, replies, self.lab.as_ref());
            applied.map_err(|error| refusal(transform.name, error))?;
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

/// Serves the poems of a library by name.
#[derive(Debug, Clone, Default)]
pub struct LibraryService {
    /// The poems.
    pub library: Library,
    /// Whether a connection may send more than one request (S5). If not, exactly the first is answered.
    pub keep_alive: bool,
}

impl LibraryService {
    /// Answers the request in `frame`. The reply is shared, never copied: send its bytes from where they are.
    ///
    /// # Errors
    /// Returns why the request is refused: the library has no such poem (S8), or the poem has more than `frame_bytes_max`
    /// bytes (S4).
    #[inline]
    pub fn answer(&self, frame: &[u8], frame_bytes_max: usize) -> Result<FramedPoem, Refusal> {
        match self.library.find(frame) {
            Some(poem) if poem.len() <= frame_bytes_max => Ok(poem),
            Some(poem) => Err(Refusal::ReplyTooLong {
                length: poem.len() as u64,
                limit: frame_bytes_max as u64,
            }),
            None => Err(library::refusal(frame)),
        }
    }
}

/// Serves the poem of an upstream server, fetched once for any number of clients (S9).
#[derive(Debug, Clone)]
pub struct ProxyService {
    /// The poem server to fetch from.
    pub upstream: Peer,
    /// How long a poem is served after it has arrived; for ever if `None`.
    pub ttl: Option<Duration>,
}

impl ProxyService {
    /// Returns whether a poem that arrived `age` ago is still served.
    pub fn is_fresh(&self, age: Duration) -> bool {
        self.ttl.is_none_or(|ttl| age < ttl)
    }

    /// Returns the fetched `poem` to cache and serve.
    ///
    /// # Errors
    /// Fails if the poem is empty: more likely a fault of the upstream than a poem, and never cached (S9).
    pub fn accept(poem: String) -> Result<Poem, FetchFailure> {
        match poem.is_empty() {
            true => Err(FetchFailure::Empty),
            false => Ok(poem.into()),
        }
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
    fn s8_a_library_answers_a_name_with_its_poem() {
        let star = ("star".parse().unwrap(), FramedPoem::from(&"Stars".into()));
        let service = LibraryService {
            library: Library::new([star].into()),
            keep_alive: false,
        };
        let answer = |name: &[u8], limit| service.answer(name, limit);
        assert_eq!(answer(b"star", 5).unwrap().as_bytes(), b"5:Stars,");
        assert!(matches!(
            answer(b"moon", 5),
            Err(Refusal::UnknownPoem { .. })
        ));
        assert!(matches!(
            answer(b"star.", 5),
            Err(Refusal::BadPoemName { .. })
        ));
        let too_long = Refusal::ReplyTooLong {
            length: 5,
            limit: 4,
        };
        assert_eq!(answer(b"star", 4), Err(too_long));
    }

    #[test]
    fn s9_a_poem_is_fresh_until_its_time_to_live_is_over() {
        let proxy = |ttl| ProxyService {
            upstream: "10001".parse().unwrap(),
            ttl,
        };
        let second = Duration::from_secs(1);
        assert!(proxy(None).is_fresh(Duration::MAX));
        assert!(proxy(Some(second)).is_fresh(Duration::ZERO));
        assert!(!proxy(Some(second)).is_fresh(second));
        assert!(!proxy(Some(Duration::ZERO)).is_fresh(Duration::ZERO));
    }

    #[test]
    fn s9_an_empty_poem_is_a_failure() {
        assert_eq!(
            ProxyService::accept(String::new()),
            Err(FetchFailure::Empty)
        );
        assert_eq!(ProxyService::accept("a".to_owned()), Ok("a".into()));
    }

    #[test]
    fn s25_only_a_heavy_request_of_a_service_that_offloads_is_left_to_the_caller() {
        let mut service = TransformService {
            lab: Some(Clock::stopped()),
            offload: true,
            ..Default::default()
        };
        let mut replies = b"3:old,".to_vec();
        let light = service.answer_or_offload(b"shout.a", 10, &mut replies);
        assert!(light.is_ok() && replies == b"3:old,1:A,");
        let unanswered = service.answer_or_offload(b"burn.\xff", 10, &mut replies);
        let Err(Unanswered::Heavy(heavy)) = unanswered else {
            panic!("expected a heavy request");
        };
        assert_eq!(heavy(), Err(Refusal::NotUtf8 { at: 0 }));
        service.offload = false;
        let refused = service.answer_or_offload(b"burn.\xff", 10, &mut replies);
        assert!(matches!(refused, Err(Unanswered::Refused(_))));
        assert_eq!(replies, b"3:old,1:A,");
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
