//! What the client saw, counted from its events, to be compared with what the servers counted (MEASURING 1).

use std::sync::{Mutex, PoisonError};

use measure::Ledger;
use poetry::event::Interest;
use poetry::{Counts, Event, Kind, Observer, Role, request};

use super::Wrong;
use super::poems::POEMS;

/// One ledger for each poem, and one for all transforms, kept by watching.
#[derive(Default)]
pub(super) struct Seen(Mutex<Books>);

#[derive(Default)]
struct Books {
    poems: [Ledger; POEMS.len()],
    transforms: Ledger,
}

impl Seen {
    /// What was seen of the poem at `index`. Connecting is asking for it.
    pub(super) fn poem(&self, index: usize) -> Ledger {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).poems[index];
        Ledger {
            requests: seen.connections,
            ..seen
        }
    }

    /// What was seen of the transforms, each of which was asked for in these words.
    pub(super) fn transforms<'a>(&self, words: impl Iterator<Item = (&'a str, &'a str)>) -> Ledger {
        let mut sent = Vec::new();
        let mut requests = 0;
        for (transform, poem) in words {
            request::encode(transform, poem, &mut sent);
            requests += 1;
        }
        let seen = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .transforms;
        Ledger {
            requests,
            bytes_out: sent.len() as u64,
            ..seen
        }
    }
}

impl Observer for Seen {
    fn interest(&self) -> Interest {
        Interest::CONNECTED | Interest::READ | Interest::FINISHED
    }

    fn observe(&self, event: &Event) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let task = usize::try_from(event.scene.task).unwrap_or(usize::MAX);
        let book = match event.role {
            Role::TransformClient => Some(&mut books.transforms),
            Role::PoemClient => books.poems.get_mut(task),
            Role::PoemServer | Role::TransformServer => None,
        };
        let Some(book) = book else { return };
        match event.kind {
            Kind::Connected => book.connections += 1,
            Kind::Read { bytes } => book.bytes_in += bytes,
            Kind::Finished { .. } => book.answered += 1,
            _ => {}
        }
    }
}

/// Whether both sides agree, and every connection ended as it should.
pub(super) fn same(client: &Ledger, server: &Counts) -> Result<(), Wrong> {
    client.check(server)?;
    match server.closed.done == client.connections {
        true => Ok(()),
        false => Err(format!(
            "not every connection ended well: {:?}",
            server.closed
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poetry::event::Scene;
    use poetry::{Clock, CloseReason, Counters, Reporter};
    use std::sync::Arc;

    #[test]
    fn both_sides_agree_only_to_the_last_byte() {
        let seen = Arc::new(Seen::default());
        let reporter = Reporter::new("model", Role::PoemClient, Clock::stopped(), seen.clone());
        let scene = Scene {
            task: 1,
            ..Scene::default()
        };
        for kind in [
            Kind::Connected,
            Kind::Read { bytes: 4 },
            Kind::Read { bytes: 3 },
            Kind::Finished { bytes: 7 },
        ] {
            reporter.report(scene, kind);
        }
        let counters = Counters::default();
        counters.accepted();
        counters.requests(1);
        counters.wrote(7);
        counters.answered(1);
        assert!(
            same(&seen.poem(1), &Counts::from(&counters))
                .unwrap_err()
                .contains("ended well")
        );
        counters.closed(CloseReason::Done);
        assert_eq!(same(&seen.poem(1), &Counts::from(&counters)), Ok(()));
        assert!(same(&seen.poem(0), &Counts::from(&counters)).is_err());
        counters.wrote(1);
        assert!(same(&seen.poem(1), &Counts::from(&counters)).is_err());
    }

    #[test]
    fn transforms_are_booked_together_with_what_they_must_have_sent() {
        let seen = Arc::new(Seen::default());
        let reporter = Reporter::new(
            "model",
            Role::TransformClient,
            Clock::stopped(),
            seen.clone(),
        );
        for task in 0..2 {
            let scene = Scene {
                task,
                parent: Some(task),
                ..Scene::default()
            };
            reporter.report(scene, Kind::Connected);
            reporter.report(scene, Kind::Read { bytes: 4 });
            reporter.report(scene, Kind::Finished { bytes: 1 });
        }
        let words = [("shout", "a"), ("shout", "b")];
        let expected = Ledger {
            connections: 2,
            requests: 2,
            answered: 2,
            bytes_in: 8,
            bytes_out: 20,
        };
        assert_eq!(seen.transforms(words.into_iter()), expected);
    }
}
