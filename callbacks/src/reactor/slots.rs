//! The reactor's connections by token. A token of a closed connection finds nothing, even when its place has been reused.

/// Values by token: a place, and the number of its use.
///
/// Written by hand because a slot here is the 8 bytes of an `Rc`; a slot of `slotmap` or `slab` has 16.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    uses: usize,
    len: usize,
}

/// The lower half of a token is the place, the upper half the number of its use.
const PLACE_BITS: u32 = usize::BITS / 2;
const PLACE: usize = (1 << PLACE_BITS) - 1;
/// Uses wrap here: tokens with the topmost bit are for ports and wakes.
const USES_MAX: usize = PLACE >> 1;

/// A value that knows its token.
pub(super) trait Tokened: Clone {
    fn token(&self) -> usize;
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            uses: 0,
            len: 0,
        }
    }
}

impl<T: Tokened> Slots<T> {
    /// Reserves a place and returns its token, for the next call of [`fill`](Self::fill).
    pub(super) fn reserve(&mut self) -> usize {
        let place = match self.free.pop() {
            Some(place) => place as usize,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.uses = (self.uses + 1) % USES_MAX;
        self.uses << PLACE_BITS | place
    }

    /// Puts a value into its reserved place.
    pub(super) fn fill(&mut self, value: T) {
        let place = value.token() & PLACE;
        self.slots[place] = Some(value);
        self.len += 1;
    }

    /// Returns the value of `token`, if it is still there.
    #[inline]
    pub(super) fn get(&self, token: usize) -> Option<T> {
        match self.slots.get(token & PLACE) {
            Some(Some(value)) if value.token() == token => Some(value.clone()),
            _ => None,
        }
    }

    /// Removes the value of `token` and frees its place.
    pub(super) fn release(&mut self, token: usize) {
        let place = token & PLACE;
        if self.slots[place].take().is_some() {
            self.len -= 1;
        }
        self.free.push(place as u32);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.slots.iter().flatten().cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}
