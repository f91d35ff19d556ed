//! One call of a client to a peer: who makes it, and who hears how it goes.

use std::cell::Cell;

use poetry::event::{Interest, Scene};
use poetry::{FetchFailure, Kind, Limits, Peer, Reporter};

use crate::net::{self, Dialled};

/// A call under way, or about to be made.
#[derive(Debug)]
pub(crate) struct Call<'f> {
    reporter: &'f Reporter,
    scene: Cell<Scene>,
}

impl<'f> Call<'f> {
    /// A call that will be told of through `reporter`.
    pub(crate) fn new(reporter: &'f Reporter, scene: Scene) -> Self {
        Self {
            reporter,
            scene: Cell::new(scene),
        }
    }

    /// Connects to `peer`, and tells of each address it tries, and of the one that accepts.
    pub(crate) async fn connect(
        &self,
        peer: &Peer,
        limits: &Limits,
    ) -> Result<Dialled, FetchFailure> {
        let trying = |address| {
            self.between(Scene {
                peer: Some(address),
                ..self.scene.get()
            });
            self.tell(Kind::Connecting);
        };
        let socket = net::connect(peer.addresses()?, limits.connect_timeout, trying).await?;
        // Its ends are asked of the system, so only for somebody who wants to know.
        if self.reporter.wants(Interest::ALL) {
            let (local, peer) = net::ends_of(&socket);
            self.between(Scene {
                local,
                peer,
                ..self.scene.get()
            });
            self.tell(Kind::Connected);
        }
        Ok(socket)
    }

    fn between(&self, scene: Scene) {
        self.scene.set(scene);
    }

    /// Says what happened.
    pub(crate) fn tell(&self, kind: Kind) {
        self.reporter.report(self.scene.get(), kind);
    }

    /// Says how it ended: with so many bytes, or why not.
    pub(crate) fn tell_end(&self, end: Result<&str, &FetchFailure>) {
        self.tell(match end {
            Ok(poem) => Kind::Finished {
                bytes: poem.len() as u64,
            },
            Err(failure) => Kind::Failed(failure.clone()),
        });
    }
}
