//! Measuring: the instruments behind `quatrain load`, `floor`, `measure` and `compare`.
//!
//! It knows the wire and the counters (`poetry`) and no model, so that it measures whatever speaks the wire. What a
//! figure has to be before it is shown is said in `MEASURING.md`; each module names the points it keeps.
//!
//! | module | what it holds |
//! |---|---|
//! | [`exchange`] | a request and the only reply that is right |
//! | [`floor`] | the least a server can cost |
//! | [`load`] | the load generator, and what it keeps in its ledger |
//! | [`subject`] | what is measured: a name and a command |
//! | [`pinning`] | which core each side runs on |
//! | [`process`] | servers as child processes: started, pinned, costed, stopped |
//! | [`instructions`] | instructions per request, by callgrind |

pub mod exchange;
pub mod floor;
pub mod instructions;
pub mod load;
pub mod pinning;
pub mod process;
mod scratch;
pub mod subject;

pub use exchange::Exchange;
pub use load::{Ledger, Plan};
pub use pinning::Pinning;
pub use subject::Subject;
