//! One poem to fetch, as the user named it.

use std::sync::Arc;

use poetry::{FetchError, FetchFailure, PoemName};

use crate::args::Address;

/// A transform, and the server that offers it, as the user named it.
#[derive(Debug)]
pub(crate) struct ViaAddress {
    pub(crate) transform: String,
    pub(crate) address: Address,
}

/// One poem to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) address: Arc<Address>,
    /// The poem's name in a library.
    pub(crate) name: Option<PoemName>,
    pub(crate) via: Option<Arc<ViaAddress>>,
}

impl Task {
    /// Returns the names that must be resolved first.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        let via = self.via.iter().map(|via| &via.address);
        [&*self.address]
            .into_iter()
            .chain(via)
            .filter(|address| address.ip().is_none())
            .map(|address| address.host.as_str())
    }

    /// Returns the address and the name of the poem, to show in messages.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.address),
            None => self.address.to_string(),
        }
    }

    /// Returns what is fetched, to show in messages: `poetry`, or the name of the poem.
    pub(crate) fn what(&self) -> &str {
        self.name.as_ref().map_or("poetry", PoemName::as_str)
    }

    /// Returns the address of the transform server, to show in messages.
    pub(crate) fn via(&self) -> String {
        let via = self.via.as_ref();
        via.map_or_else(String::new, |via| via.address.to_string())
    }

    /// Returns whether `error` concerns the transform, not the poem, by its address. If both have one address, it counts as the
    /// poem's.
    pub(crate) fn is_transform(&self, error: &FetchError) -> bool {
        error.peer == self.via() && error.peer != self.address.to_string()
    }

    /// Says what failed: the address, the name of the poem, and the failure.
    pub(crate) fn describe(&self, error: &FetchError) -> String {
        match self.is_transform(error) {
            true => error.to_string(),
            false => self.describe_failure(&error.failure),
        }
    }

    /// Says that the poem failed, and why.
    pub(crate) fn describe_failure(&self, failure: &FetchFailure) -> String {
        format!("{}: {failure}", self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s11_an_error_names_the_poem_or_the_transform_server() {
        let via = ViaAddress {
            transform: "shout".to_owned(),
            address: "8".parse().unwrap(),
        };
        let task = Task {
            address: Arc::new("localhost:7".parse().unwrap()),
            name: Some("lantern".parse().unwrap()),
            via: Some(Arc::new(via)),
        };
        let described = |peer: &str| task.describe(&FetchError::new(peer, FetchFailure::CutShort));
        assert_eq!(
            described("localhost:7"),
            "localhost:7 lantern: the reply was cut short"
        );
        assert_eq!(
            described("127.0.0.1:8"),
            "127.0.0.1:8: the reply was cut short"
        );
        assert_eq!(task.hosts().collect::<Vec<_>>(), ["localhost"]);
    }
}
