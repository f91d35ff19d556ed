//! The conformance suite: cases that run against any subject, each a sentence about a rule of SEMANTICS.md.
//!
//! The library depends only on the contract (`poetry`), never on a model. Two test targets use it: `conformance` runs the
//! cases against the four models; `fifth` runs them against a small fifth model, which must pass, and against flawed
//! versions of it, each of which must fail a named case.
//!
//! | module | contents |
//! |---|---|
//! | [`case`] | a case: its role, the rules it tests, the features it needs |
//! | [`cases`] | all cases |
//! | [`check`] | running cases against one subject; the short check before a measurement |
//! | [`subject`] | the implementation under test: a model in this process, a command, or a running server |
//! | [`context`], [`running`], [`fetching`] | the subject's servers and clients, as a case uses them |
//! | `gate` | holding heavy transforms, and fake servers, until a case lets them pass |
//! | [`exchanges`] | requests that mean the same to a transform server and to a library server |
//! | [`connection`], [`wire`] | a raw socket and the wire format, without the subject's encoder and decoder |
//! | `kernel_sockets` | what the kernel says about sockets (Linux) |
//! | [`peers`] | hostile and slow clients |
//! | [`fake_servers`] | hostile and slow servers, and well-behaved ones for comparison |
//! | [`journal`] | the subject's events, recorded in order |
//! | [`namespace`] | a network namespace for one case (Linux) |
//! | [`faults`] | fault cases: a command, its peers and the system, seen from outside |
//! | [`interop`] | one subject's client against another's servers |
//! | [`coverage`] | which rules were tested for which subject |
//! | [`mod@failure`] | failures, and comparisons with clear messages |

pub mod case;
pub mod cases;
pub mod check;
pub mod connection;
pub mod context;
pub mod coverage;
pub mod exchanges;
pub mod failure;
pub mod fake_servers;
pub mod faults;
pub mod fetching;
mod gate;
pub mod interop;
pub mod journal;
mod kernel_sockets;
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

/// How long a case waits for an event before it fails. Every expected event comes much sooner, even on two busy cores; no case
/// asserts a shorter time.
pub const WAIT_MAX: Duration = Duration::from_secs(20);
