//! The naive cache of the bare proxies: each client that misses fetches for itself, and what it gets is stored.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use poetry::{Poem, ProxyService};

/// The poem that arrived last, and when. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<Mutex<Option<(Poem, Instant)>>>);

impl Cache {
    /// Returns the poem, if it is still to be served.
    pub(crate) fn get(&self, service: &ProxyService) -> Option<Poem> {
        let cached = self.0.lock().unwrap();
        let (poem, since) = cached.as_ref()?;
        service.is_fresh(since.elapsed()).then(|| poem.clone())
    }

    /// Stores a poem that has arrived.
    pub(crate) fn store(&self, poem: &Poem) {
        *self.0.lock().unwrap() = Some((poem.clone(), Instant::now()));
    }
}
