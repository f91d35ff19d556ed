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
//! | [`verify`] | a short script that a server must pass before it is timed |
//! | [`runner`] | throughput in interleaved rounds |
//! | [`memory`] | what an idle connection costs, as a slope |
//! | [`poems`] | many slow poems at once, beside the ideal |
//! | [`instructions`] | instructions per request, by callgrind |
//! | [`environment`] | where and when, to go with every figure |
//! | [`report`] | tables with footnotes |

pub mod environment;
pub mod exchange;
pub mod floor;
pub mod instructions;
pub mod load;
pub mod memory;
pub mod pinning;
pub mod poems;
pub mod process;
pub mod report;
pub mod runner;
mod scratch;
pub mod subject;
pub mod verify;

pub use exchange::Exchange;
pub use load::{Ledger, Plan};
pub use pinning::Pinning;
pub use subject::Subject;
