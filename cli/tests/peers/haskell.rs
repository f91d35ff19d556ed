//! Haskell.

use super::{Language, PeerServer};

pub(super) const LANGUAGE: Language = Language {
    name: "haskell",
    servers: &[
        server("poem"),
        server("transform"),
        server("library"),
        server("proxy"),
    ],
    has_client: true,
};

const fn server(role: &'static str) -> PeerServer {
    PeerServer {
        role,
        placeholders: &["{limits}", "{threads}", "{stats}", "{grace}"],
        excepted: &[],
    }
}
