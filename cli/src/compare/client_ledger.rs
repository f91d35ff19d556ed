//! Counts a client's work from its events, to compare it with the servers' counts (MEASURING 1).

use std::sync::{Mutex, PoisonError};

use measure::Ledger;
use poetry::event::Interest;
use poetry::{Counts, Event, Kind, Observer, Role, request};

use super::Flaw;
use super::poems::POEMS;

/// An observer that keeps one ledger for each poem, and one for all transforms.
#[derive(Default)]
pub(super) struct ClientLedger(Mutex<Ledgers>);

#[derive(Default)]
struct Ledgers {
    poems: [Ledger; POEMS.len()],
    transforms: Ledger,
}

impl ClientLedger {
    /// Returns the ledger of the poem at `index`. A connection is a request for it.
    pub(super) fn poem(&self, index: usize) -> Ledger {
        let ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner).poems[index];
        Ledger {
            requests: ledger.connections,
            ..ledger
        }
    }

    /// Returns the ledger of the transforms, given each transform's name and poem.
    pub(super) fn transforms<'a>(
        &self,
        requested: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Ledger {
        let mut sent = Vec::new();
        let mut requests = 0;
        for (transform, poem) in requested {
            request::encode(transform, poem, &mut sent);
            requests += 1;
        }
        let ledger = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .transforms;
        Ledger {
            requests,
            bytes_out: sent.len() as u64,
            ..ledger
        }
    }
}

impl Observer for ClientLedger {
    fn interest(&self) -> Interest {
        Interest::CONNECTED | Interest::READ | Interest::FINISHED
    }

    fn observe(&self, event: &Event) {
        let mut ledgers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let task = usize::try_from(event.scene.task).unwrap_or(usize::MAX);
        let ledger = match event.role {
            Role::TransformClient => Some(&mut ledgers.transforms),
            Role::PoemClient => ledgers.poems.get_mut(task),
            Role::PoemServer | Role::TransformServer | Role::LibraryServer | Role::Proxy => None,
        };
        let Some(ledger) = ledger else { return };
        match event.kind {
            Kind::Connected => ledger.connections += 1,
            Kind::Read { bytes } => ledger.bytes_in += bytes,
            Kind::Finished { .. } => ledger.answered += 1,
            _ => {}
        }
    }
}

/// Compares the counts of both sides, and checks that every connection ended well.
pub(super) fn compare(client: &Ledger, server: &Counts) -> Result<(), Flaw> {
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
    fn both_sides_agree_only_if_every_byte_is_counted() {
        let ledger = Arc::new(ClientLedger::default());
        let reporter = Reporter::new("model", Role::PoemClient, Clock::stopped(), ledger.clone());
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
            compare(&ledger.poem(1), &Counts::from(&counters))
                .unwrap_err()
                .contains("ended well")
        );
        counters.closed(CloseReason::Done);
        assert_eq!(compare(&ledger.poem(1), &Counts::from(&counters)), Ok(()));
        assert!(compare(&ledger.poem(0), &Counts::from(&counters)).is_err());
        counters.wrote(1);
        assert!(compare(&ledger.poem(1), &Counts::from(&counters)).is_err());
    }

    #[test]
    fn transforms_are_counted_together_with_their_request_bytes() {
        let ledger = Arc::new(ClientLedger::default());
        let reporter = Reporter::new(
            "model",
            Role::TransformClient,
            Clock::stopped(),
            ledger.clone(),
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
        let requested = [("shout", "a"), ("shout", "b")];
        let expected = Ledger {
            connections: 2,
            requests: 2,
            answered: 2,
            bytes_in: 8,
            bytes_out: 20,
        };
        assert_eq!(ledger.transforms(requested.into_iter()), expected);
    }
}
