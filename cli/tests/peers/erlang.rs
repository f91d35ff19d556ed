//! Erlang/OTP.

use super::{Language, PeerServer};

pub(super) const LANGUAGE: Language = Language {
    name: "erlang",
    servers: &[server("poem"), server("transform"), server("library")],
    has_client: true,
};

const fn server(role: &'static str) -> PeerServer {
    PeerServer {
        role,
        placeholders: &["{limits}", "{threads}", "{stats}", "{grace}"],
        excepted: &[],
    }
}
