//! The vocabulary of the four models: the bytes of the wire, requests, limits, errors, events, counters, and the contract
//! that every model fulfils.
//!
//! ```
//! use poetry::netstring::{self, Decoder};
//! use poetry::TransformService;
//!
//! let mut wire = Vec::new();
//! netstring::encode(b"cummingsify.AHOY", &mut wire);
//!
//! let mut replies = Vec::new();
//! let mut decoder = Decoder::new(99_999);
//! let mut frames = decoder.feed(&wire);
//! while let Some(frame) = frames.next()? {
//!     TransformService::default().answer(frame, 99_999, &mut replies)?;
//! }
//! assert_eq!(replies, b"4:ahoy,");
//! # Ok::<(), poetry::Refusal>(())
//! ```
//!
//! This crate has no sockets, threads, clocks or runtimes, and no control flow that belongs to a model: it defines *what* is
//! decoded, answered, refused and counted, and leaves *when* to the models.
//!
//! The column *rules* names the rules of SEMANTICS.md that a module follows.
//!
//! | module | contents | rules |
//! |---|---|---|
//! | [`netstring`] | the incremental decoder and the encoder | S2 |
//! | [`request`] | transform requests, `NAME.POEM` | S3, S4 |
//! | [`transform`] | pure functions from poem to poem, found by name | S3, S4, S20 |
//! | [`poem`] | poems and their pace | S1 |
//! | [`library`] | poems by name | S8 |
//! | [`service`] | what a server serves; answering one request | S1, S3–S5, S8, S9, S25 |
//! | [`limits`] | every bound, with its reason | S15, S16, S18, S24, S25 |
//! | [`error`] | refusals and failed fetches | S4, S11 |
//! | [`event`] | events, observers, the clock | S10, S22 |
//! | [`counters`] | the counters of a server | S23 |
//! | [`cancel`] | cancelling a fetch from outside | S14 |
//! | [`panics`] | containing a panic | S20 |
//! | [`peer`] | addresses and peers | S10 |
//! | [`model`] | the contract: model, server, client | |

mod ascii;
pub mod cancel;
pub mod counters;
pub mod error;
pub mod event;
pub mod library;
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
pub use counters::{CloseReason, Counters, Counts, FetchEnd};
pub use error::{FetchError, FetchFailure, Refusal};
pub use event::{Clock, Event, Kind, Observer, Reporter, Role};
pub use library::{FramedPoem, Library, PoemName};
pub use limits::Limits;
pub use model::{Client, FetchRequest, Model, Options, Outcome, Server, Summary, Via};
pub use peer::Peer;
pub use poem::{Pace, Poem};
pub use service::{Heavy, LibraryService, PoemService, ProxyService, Service};
pub use service::{TransformService, Unanswered};
