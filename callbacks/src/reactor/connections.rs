//! The reactor's connections by token. The token of a closed connection finds nothing, even when its place is reused.

use slotmap::{DefaultKey, Key, KeyData, SlotMap};

use super::connection::Transport;

// A token holds a whole key: the place in the lower half, and the number of its use in the upper.
#[cfg(not(target_pointer_width = "64"))]
compile_error!("the reactor's tokens need 64 bits");

/// The first token of a connection. No key has zero in its upper half, so smaller tokens are for ports and wakes.
const FIRST: usize = 1 << 32;

#[derive(Debug, Default)]
pub(super) struct Connections(SlotMap<DefaultKey, Transport>);

impl Connections {
    /// Adds the connection that `build` returns for its token.
    pub(super) fn insert_with(&mut self, build: impl FnOnce(usize) -> Transport) -> Transport {
        let key = self
            .0
            .insert_with_key(|key| build(key.data().as_ffi() as usize));
        self.0[key].clone()
    }

    /// Returns the connection of `token`, if it is still there.
    #[inline]
    pub(super) fn get(&self, token: usize) -> Option<Transport> {
        self.0.get(key(token)?).cloned()
    }

    /// Removes the connection of `token`.
    pub(super) fn remove(&mut self, token: usize) -> Option<Transport> {
        self.0.remove(key(token)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Transport> {
        self.0.values().cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[inline]
fn key(token: usize) -> Option<DefaultKey> {
    (token >= FIRST).then(|| KeyData::from_ffi(token as u64).into())
}
