//! Fuzz tests, and what they need: the wire, read by a second implementation, and seeds.
//!
//! It knows `poetry` and no model.

pub mod seed;
pub mod wire;
