//! Python with Twisted.

use super::{Language, PeerServer};

pub(super) const LANGUAGE: Language = Language {
    name: "twisted",
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
        placeholders: &["{limits}", "{stats}", "{grace}"],
        excepted: &[],
    }
}
