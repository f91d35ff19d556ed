//! What the four models agree on: the bytes of the wire, the rules of a request, the limits, the words for
//! what goes wrong and what happens, the counters, and the contract every model fulfils.
//!
//! There are no sockets, threads, clocks or runtimes in this crate, and no control flow that belongs to a
//! model: it says *what* is decoded, answered, refused and counted, never *when* or *by whom*.
//!
//! | module | what it holds | rules |
//! |---|---|---|
//! | [`netstring`] | the incremental decoder and the encoder | S2 |
//! | [`request`] | `NAME.POEM`, parsed and written | S3, S4 |
//! | [`transform`] | pure functions from poem to poem, found by name | S3, S4, S20 |
//! | [`poem`] | poems and the pace they are served at | S1 |
//! | [`service`] | what a server serves, and how a request is answered | S1, S3–S5 |
//! | [`limits`] | every bound, named, with its reason | S15, S16, S18 |
//! | [`error`] | whose fault it is, where, and why | S4, S11 |
//! | [`event`] | what happens, as plain data, and who wants to know | S10, S22 |
//! | [`counters`] | what a server counts | S23 |
//! | [`cancel`] | one way to stop a fetch from outside | S14 |
//! | [`panics`] | a panic that costs one connection | S20 |
//! | [`model`] | the contract: model, server, client | |

mod ascii;
pub mod cancel;
pub mod counters;
pub mod error;
pub mod event;
pub mod limits;
pub mod model;
pub mod netstring;
pub mod panics;
pub mod peer;
pub mod poem;
pub mod request;
pub mod service;
pub mod transform;

pub use cancel::Cancel;
pub use counters::{CloseReason, Counters, Counts};
pub use error::{FetchError, FetchFailure, Refusal};
pub use event::{Clock, Event, Kind, Observer, Reporter, Role};
pub use limits::Limits;
pub use model::{Client, FetchRequest, Model, Options, Outcome, Server, Summary, Via};
pub use peer::Peer;
pub use poem::{Pace, Poem};
pub use service::{PoemService, Service, TransformService};
