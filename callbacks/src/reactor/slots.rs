//! Where the reactor keeps its connections: a token finds one in two steps, and a token whose connection is gone finds
//! nothing, though its place has been taken by another.

/// Values by token. A token is a place and the number of its use.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    uses: usize,
    len: usize,
}

/// Half of a token is the place; the other half tells this use of the place from the last.
const PLACE_BITS: u32 = usize::BITS / 2;
const PLACE: usize = (1 << PLACE_BITS) - 1;
/// Uses wrap here: the topmost tokens are for what is not a connection.
const USES_MAX: usize = PLACE >> 1;

/// Something that knows its token.
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
    /// A token for a value that is about to come.
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

    /// Puts a value in its reserved place.
    pub(super) fn fill(&mut self, value: T) {
        let place = value.token() & PLACE;
        self.slots[place] = Some(value);
        self.len += 1;
    }

    /// The value of `token`, if it is still there.
    #[inline]
    pub(super) fn get(&self, token: usize) -> Option<T> {
        match self.slots.get(token & PLACE) {
            Some(Some(value)) if value.token() == token => Some(value.clone()),
            _ => None,
        }
    }

    /// Takes the value of `token` out, and frees its place.
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
