//! How a connection answers one request: in its own thread, or a heavy one in another (S25).

use std::sync::Arc;
use std::thread;

use poetry::{Heavy, Refusal, Service, Unanswered, netstring, panics};

use super::{Batch, Connection, End};
use crate::flaw::Flaw;
use crate::server::TICK;

impl Connection<'_> {
    pub(super) fn answer_one(&self, frame: &[u8], batch: &mut Batch) -> Result<(), Unanswered> {
        /// A reply that is copied.
        const SHORT: usize = 4_096;
        let limit = self.shared.limits.frame_bytes_max;
        let replies = &mut batch.replies;
        match &self.shared.service {
            _ if self.shared.flaw == Flaw::RefusesAll => Err(Refusal::NoDot.into()),
            Service::Library(service) => {
                let name = self.shared.flaw.name_in(frame);
                match service.answer(&name, self.reply_bytes_max()) {
                    Err(Refusal::UnknownPoem { .. } | Refusal::BadPoemName { .. })
                        if self.shared.flaw == Flaw::AnswersUnknownPoems =>
                    {
                        netstring::encode(b"", replies);
                    }
                    answered => {
                        let poem = answered?;
                        let is_copied =
                            poem.len() <= SHORT || self.shared.flaw == Flaw::MergesReplies;
                        match is_copied {
                            true => replies.extend_from_slice(poem.as_bytes()),
                            false => batch.poems.push((std::mem::take(replies), poem)),
                        }
                    }
                }
                Ok(())
            }
            Service::Transform(service) => service.answer_or_offload(frame, limit, replies),
            Service::Poem(_) | Service::Proxy(_) => Err(Refusal::NoDot.into()),
        }
    }

    /// Has `heavy` computed by another thread (S25). The connection can be cut meanwhile.
    pub(super) fn compute(&self, heavy: Heavy, replies: &mut Vec<u8>) -> Result<(), End> {
        let shared = self.shared;
        let wait_until = |ready: &dyn Fn() -> bool| {
            while !ready() {
                if shared.is_cut() {
                    return Err(End::Cut);
                }
                thread::sleep(TICK);
            }
            Ok(())
        };
        wait_until(&|| shared.begin_computing())?;
        let computing = thread::spawn({
            let shared = Arc::clone(shared);
            move || {
                let reply = panics::contain(heavy);
                shared.end_computing();
                reply
            }
        });
        wait_until(&|| computing.is_finished())?;
        let computed = computing.join();
        match computed.unwrap_or_else(|panic| Err(panics::message(&*panic))) {
            Ok(Ok(reply)) => {
                replies.extend_from_slice(&reply);
                Ok(())
            }
            Ok(Err(refusal)) => Err(End::Refused(refusal)),
            Err(message) => Err(End::Panicked(message)),
        }
    }

    fn reply_bytes_max(&self) -> usize {
        match self.shared.flaw {
            Flaw::IgnoresFrameLimit => usize::MAX,
            _ => self.shared.limits.frame_bytes_max,
        }
    }

    pub(super) fn keeps_alive(&self) -> bool {
        match &self.shared.service {
            Service::Library(service) => service.keep_alive,
            Service::Transform(service) => service.keep_alive,
            Service::Poem(_) | Service::Proxy(_) => false,
        }
    }
}
