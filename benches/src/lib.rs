//! Measuring: the instruments behind `quatrain load`, `floor`, `measure` and `compare`.
//!
//! It knows the wire and the counters (`poetry`) but no model, so it measures any server that speaks the wire.
//! `MEASURING.md` has the rules for figures; each module names those it keeps.
//!
//! | module | contents |
//! |---|---|
//! | [`exchange`] | a request and the only correct reply |
//! | [`floor`] | the least a server can cost |
//! | [`load`] | the load generator, and the client's ledger |
//! | [`subject`] | a subject of measurement: a name, a kind and commands |
//! | [`pinning`] | the cores of server and client |
//! | [`process`] | servers as child processes: started, pinned, sampled, stopped |
//! | [`verify`] | the script that a server must pass before it is timed |
//! | [`scenario`] | what is asked: every scenario, and how it measures one subject once |
//! | [`runner`] | scenarios in interleaved rounds |
//! | [`bundle`] | the folder of a run: results, rows, histograms |
//! | [`poems`] | client commands with many slow poems |
//! | [`instructions`] | instructions per request, by callgrind |
//! | [`environment`] | the environment printed with every figure |
//! | [`results`] | raw rows of all scenarios, the content of `results.json` |
//! | [`statistics`] | spreads, intervals, and whether a difference is real |
//! | [`merge`] | several results as one |
//! | [`analysis`] | what the rows of a scenario say: ratios, comparisons, the finding in words |
//! | [`plot`] | the plot of a scenario as SVG |
//! | [`report`] | the page, and tables for terminals and Markdown |

pub mod analysis;
pub mod bundle;
pub mod environment;
pub mod exchange;
pub mod floor;
pub mod instructions;
pub mod load;
pub mod merge;
pub mod pinning;
pub mod plot;
pub mod poems;
pub mod process;
pub mod report;
pub mod results;
pub mod runner;
pub mod scenario;
mod scratch;
pub mod statistics;
pub mod subject;
pub mod verify;

pub use exchange::Exchange;
pub use load::{Ledger, Plan};
pub use pinning::Pinning;
pub use scenario::Scenario;
pub use subject::Subject;
