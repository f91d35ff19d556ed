//! A library: poems by name (S8). Its owner may replace the poems while they are served.

use std::collections::BTreeMap;
use std::fmt;
use std::str::{self, FromStr};
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Refusal, shown};
use crate::netstring;
use crate::poem::Poem;

/// The longest name in bytes: that of the longest file.
pub const NAME_BYTES_MAX: usize = 255;

/// The name of a poem in a library: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8 without dots, slashes, backslashes and control
/// characters, so that a name is never a path.
///
/// ```
/// use poetry::library::PoemName;
///
/// assert_eq!("lantern".parse::<PoemName>().unwrap().as_str(), "lantern");
/// assert!("../lantern".parse::<PoemName>().is_err());
/// assert!("lantern.txt".parse::<PoemName>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoemName(Box<str>);

/// A text that is not a [`PoemName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a poem's name has 1 to 255 bytes of UTF-8, without dots, slashes, backslashes and control characters"
)]
pub struct BadName;

impl PoemName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PoemName {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        checked(name.as_bytes()).map(|name| Self(name.into()))
    }
}

impl fmt::Display for PoemName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Returns `name` as text if it can be a poem's name.
fn checked(name: &[u8]) -> Result<&str, BadName> {
    let forbidden =
        |character: char| matches!(character, '.' | '/' | '\\') || character.is_control();
    str::from_utf8(name)
        .ok()
        .filter(|name| {
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(forbidden)
        })
        .ok_or(BadName)
}

/// A poem as a library server sends it: one netstring. Clones share the bytes, so a reply is never copied for a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct FramedPoem {
    wire: Arc<[u8]>,
    length: usize,
}

impl FramedPoem {
    /// Returns the bytes as they go over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.wire
    }

    /// Returns the bytes of the poem alone.
    pub fn poem_bytes(&self) -> &[u8] {
        let end = self.wire.len() - b",".len();
        &self.wire[end - self.length..end]
    }

    /// Returns the number of bytes of the poem alone.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns whether the poem is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl From<&Poem> for FramedPoem {
    fn from(poem: &Poem) -> Self {
        let mut wire = Vec::new();
        netstring::encode(poem.as_bytes(), &mut wire);
        Self {
            wire: wire.into(),
            length: poem.as_bytes().len(),
        }
    }
}

impl AsRef<[u8]> for FramedPoem {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Shows the length, not the poem.
impl fmt::Debug for FramedPoem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FramedPoem")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The poems of a library.
pub type Poems = BTreeMap<PoemName, FramedPoem>;

/// A library. Clones are the same library: a server holds one, and its owner another with which it replaces the poems.
///
/// ```
/// use poetry::library::{FramedPoem, Library, Poems};
/// use poetry::Poem;
///
/// let framed = |text: &str| FramedPoem::from(&Poem::from(text));
/// let library = Library::new(Poems::from([("star".parse().unwrap(), framed("Stars fall."))]));
/// let served = library.clone();
/// let star = served.find(b"star").unwrap();
/// library.replace(Poems::new());
/// assert!(served.find(b"star").is_none());
/// assert_eq!(star.as_bytes(), b"11:Stars fall.,"); // A reply that is being sent stays whole.
/// ```
#[derive(Clone, Default)]
pub struct Library(Arc<RwLock<Poems>>);

impl Library {
    /// Creates a library of `poems`.
    pub fn new(poems: Poems) -> Self {
        Self(Arc::new(RwLock::new(poems)))
    }

    /// Replaces all poems at once. Requests that arrive later are answered with the new ones.
    pub fn replace(&self, poems: Poems) {
        let old = {
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, poems)
        };
        // Freed without the lock: requests do not wait for it.
        drop(old);
    }

    /// Returns the poem called `name`.
    pub fn find(&self, name: &[u8]) -> Option<FramedPoem> {
        let name = str::from_utf8(name).ok()?;
        let poems = self.0.read().unwrap_or_else(PoisonError::into_inner);
        poems.get(name).cloned()
    }

    /// Returns all poems, shared with the library.
    pub fn poems(&self) -> Poems {
        let poems = self.0.read().unwrap_or_else(PoisonError::into_inner);
        poems.clone()
    }

    /// Returns the number of poems.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns whether there are no poems.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::borrow::Borrow<str> for PoemName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Shows the number of poems.
impl fmt::Debug for Library {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Library")
            .field("poems", &self.len())
            .finish_non_exhaustive()
    }
}

/// Returns why the request in `frame` names no poem.
#[cold]
pub(crate) fn refusal(frame: &[u8]) -> Refusal {
    let name = shown(frame);
    match checked(frame) {
        Ok(_) => Refusal::UnknownPoem { name },
        Err(BadName) => Refusal::BadPoemName { name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_a_name_is_never_a_path() {
        for bad in [
            "", ".", "..", "a.b", "a/b", "/", "a\\b", "a\nb", "a\0", "\x7f",
        ] {
            assert_eq!(bad.parse::<PoemName>(), Err(BadName), "{bad:?}");
        }
        for good in ["a", "lantern", "Der Erlkönig", "a-b_c", "詩"] {
            assert_eq!(good.parse::<PoemName>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn s8_a_name_has_at_most_the_bytes_of_a_files_name() {
        assert!("x".repeat(NAME_BYTES_MAX).parse::<PoemName>().is_ok());
        assert!("x".repeat(NAME_BYTES_MAX + 1).parse::<PoemName>().is_err());
    }

    #[test]
    fn a_refusal_tells_an_unknown_poem_from_a_bad_name() {
        assert!(matches!(refusal(b"none"), Refusal::UnknownPoem { name } if name == "none"));
        assert!(matches!(refusal(b"../x"), Refusal::BadPoemName { name } if name == "../x"));
        assert!(matches!(refusal(b"\xff"), Refusal::BadPoemName { name } if name == "\\xff"));
    }

    #[test]
    fn a_poem_in_a_frame_is_one_netstring() {
        let empty = FramedPoem::from(&Poem::from(""));
        assert_eq!(
            (empty.as_bytes(), empty.len(), empty.is_empty()),
            (&b"0:,"[..], 0, true)
        );
        let umlaut = FramedPoem::from(&Poem::from("ü"));
        assert_eq!(umlaut.as_bytes(), "2:ü,".as_bytes());
        assert_eq!(umlaut.poem_bytes(), "ü".as_bytes());
    }
}
