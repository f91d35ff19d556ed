//! Servers against a seeded adversary, in memory and on virtual time: what the peers of a run do ([`plan`]), what happened
//! ([`mod@log`]), and what must hold ([`mod@judge`]). Each model carries a plan out on its own transport, with its own code.
//!
//! A fetch has a plan of its own ([`mod@fetch`]). Also fuzz tests, and what they need: [`wire`] is a second implementation of the wire. The crate knows `poetry` and no model.

pub mod fetch;
pub mod judge;
pub mod log;
pub mod plan;
pub mod runs;
pub mod seed;
pub mod wire;
