//! The conformance suite: cases that take any subject, each a sentence about a rule of SEMANTICS.md.
//!
//! The library knows only the contract (`poetry`), never a model. The test targets beside it apply it: `conformance`
//! to the four models, `fifth` to a small fifth that must pass and to broken ones that must be caught.
//!
//! | module | what it holds |
//! |---|---|
//! | [`case`] | a case: its role, the rules it tests, what it needs |
//! | [`cases`] | all of them |
//! | [`subject`] | who is tested: a model in this process, or a command |
//! | [`context`], [`running`], [`fetching`] | what a case is given: servers and clients of the subject |
//! | [`connection`], [`wire`] | a raw socket and the bytes on it, written without the subject's decoder |
//! | [`peers`] | clients that are hostile or slow, by name |
//! | [`fake_servers`] | servers that are hostile or slow, by name |
//! | [`journal`] | the events of a subject, to be waited for |
//! | [`namespace`] | a network of its own for a case |
//! | [`pairing`] | one subject's client against another's servers |
//! | [`coverage`] | which rules were tested for whom |
//! | [`mod@failure`] | what is said when a case fails or does not apply |

pub mod case;
pub mod cases;
pub mod connection;
pub mod context;
pub mod coverage;
pub mod failure;
pub mod fake_servers;
pub mod fetching;
pub mod interop;
pub mod journal;
pub mod namespace;
pub mod peers;
pub mod running;
pub mod subject;
pub mod wire;

pub use case::{Case, Need, Role, Verdict};
pub use context::Context;
pub use failure::{Check, Failure};
pub use subject::Subject;

use std::time::Duration;

/// How long anything is waited for before a case fails: an event that comes at all comes long before this, even on
/// two busy cores. Nothing is ever asserted to be faster.
pub const PATIENCE: Duration = Duration::from_secs(20);
