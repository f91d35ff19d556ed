//! The requests of the framed roles, transform server and library server, with the same replies in both. So a case about
//! framing, limits, turns or the end of a connection is written once for both.

use std::sync::atomic::{AtomicBool, Ordering};

use poetry::library::{FramedPoem, PoemName};
use poetry::{Counts, Library, Poem};

use crate::case::Role;
use crate::wire::{self, netstring};

/// A request, and the bytes of its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The whole request.
    pub request: Vec<u8>,
    /// The only right reply.
    pub reply: Vec<u8>,
}

/// Returns the requests of `exchanges` one after another, and their replies.
pub fn joined<'e>(exchanges: impl IntoIterator<Item = &'e Exchange>) -> (Vec<u8>, Vec<u8>) {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for exchange in exchanges {
        requests.extend_from_slice(&exchange.request);
        replies.extend_from_slice(&exchange.reply);
    }
    (requests, replies)
}

/// The requests of one case, and the library that answers them in the role of the library server.
#[derive(Debug)]
pub(crate) struct Exchanges {
    role: Role,
    library: Library,
    served: AtomicBool,
    /// The library of a server that runs already.
    own: Option<Library>,
}

impl Exchanges {
    /// Creates the requests of `role`, to a server that has its `own` library if it runs already.
    pub(crate) fn new(role: Role, own: Option<Library>) -> Self {
        Self {
            role,
            library: Library::default(),
            served: AtomicBool::new(false),
            own: own.filter(|_| role == Role::LibraryServer),
        }
    }

    /// Returns the bytes of a request to which the reply is `text` in upper case.
    ///
    /// # Panics
    /// If the library is already served and cannot answer it, since a command reads its library when it starts.
    pub(crate) fn request(&self, text: &str) -> Vec<u8> {
        match self.role {
            Role::LibraryServer => netstring(self.name(text).as_str()),
            _ => wire::request("shout", text),
        }
    }

    /// Returns a request and its reply: `text` in upper case, or one of the poems of the server's own library.
    ///
    /// # Panics
    /// As [`Exchanges::request`].
    pub(crate) fn exchange(&self, text: &str) -> Exchange {
        let own = self.own.as_ref().map(Library::poems).unwrap_or_default();
        // Different texts mostly get different poems.
        let sum: usize = text.bytes().map(usize::from).sum();
        match own.iter().nth(sum % own.len().max(1)) {
            Some((name, poem)) => Exchange {
                request: netstring(name.as_str()),
                reply: netstring(poem.poem_bytes()),
            },
            None => Exchange {
                request: self.request(text),
                reply: netstring(text.to_uppercase()),
            },
        }
    }

    /// Returns a request that is refused although it is one netstring.
    pub(crate) fn refused_request(&self) -> Vec<u8> {
        match self.role {
            Role::LibraryServer => netstring(self.unknown_name()),
            _ => wire::request("sing", "x"),
        }
    }

    /// Returns how many requests were refused for the reason of [`Exchanges::refused_request`].
    pub(crate) fn refused(&self, counts: &Counts) -> u64 {
        match self.role {
            Role::LibraryServer => counts.refused.unknown_poem,
            _ => counts.refused.unknown_transform,
        }
    }

    /// Returns the library, which from now on answers only the requests made before.
    pub(crate) fn serve(&self) -> Library {
        self.served.store(true, Ordering::SeqCst);
        self.library.clone()
    }

    /// Returns a name that the server's own library does not have: "sing", made longer until it is unknown.
    fn unknown_name(&self) -> String {
        let mut name = "sing".to_owned();
        let own = self.own.as_ref();
        while own.is_some_and(|own| own.find(name.as_bytes()).is_some()) {
            name.push('g');
        }
        name
    }

    /// Returns the name of the poem `text` in upper case, which is `text` itself if that can be a name.
    fn name(&self, text: &str) -> PoemName {
        let by_length = || format!("poem-{}", text.len());
        let name: PoemName = text
            .parse()
            .or_else(|_| by_length().parse())
            .expect("a name of letters and digits");
        let framed = FramedPoem::from(&Poem::from(text.to_uppercase()));
        let mut poems = self.library.poems();
        match poems.get(&name) {
            Some(known) => assert!(*known == framed, "two poems are called '{name}'"),
            None => {
                let served = self.served.load(Ordering::SeqCst);
                assert!(!served, "'{name}' is requested before the server is set up");
                poems.insert(name.clone(), framed);
                self.library.replace(poems);
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_the_library_answers_what_was_requested_before() {
        let exchanges = Exchanges::new(Role::LibraryServer, None);
        assert_eq!(exchanges.request("ahoy"), b"4:ahoy,");
        assert_eq!(exchanges.request(""), b"6:poem-0,");
        let library = exchanges.serve();
        assert_eq!(library.find(b"ahoy").unwrap().as_bytes(), b"4:AHOY,");
        assert_eq!(library.find(b"poem-0").unwrap().as_bytes(), b"0:,");
        assert_eq!(exchanges.request("ahoy"), b"4:ahoy,");
        assert!(std::panic::catch_unwind(|| exchanges.request("late")).is_err());
    }

    #[test]
    fn s3_a_transform_server_is_sent_the_poem_itself() {
        let exchanges = Exchanges::new(Role::TransformServer, None);
        assert_eq!(exchanges.request("ahoy"), b"10:shout.ahoy,");
    }
}
