//! Timelines of real runs: which thread ran which task when, and what each task waited for.
//!
//! ```
//! use std::sync::Arc;
//! use poetry::event::{Clock, Kind, Reporter, Role, Scene, Wait};
//! use timeline::{Header, Memory, Record, Sheet, page};
//!
//! let memory = Arc::new(Memory::new(1_000));
//! let reporter = Reporter::new("streams", Role::PoemClient, Clock::stopped(), memory.clone());
//! reporter.report(Scene::default(), Kind::Running);
//! reporter.report(Scene::default(), Kind::Waiting(Wait::Read));
//! reporter.report(Scene::default(), Kind::Finished { bytes: 24 });
//!
//! let record: Record = memory.take(Header::new("an example"));
//! let html = page(&Sheet::of(&[record]), "One poem");
//! assert!(html.contains("streams"));
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`record`] | the format of a record: JSON lines, with a [schema](../../../timeline/record.schema.json) |
//! | [`recorder`] | observers that record, to a file or in memory |
//! | [`sheet`] | programs, their threads, and the spans of each task |
//! | [`svg`] | a sheet as a drawing |
//! | [`page()`] | a sheet as a page that needs no network and no scripts |
//! | [`perfetto`] | a sheet as a trace for Chrome and Perfetto |
//! | [`sequence`] | records as a sequence diagram, joined at both ends of each socket |
//! | [`words`] | what a task waits for, in words |
//!
//! It draws any record of any model, and knows none of them.

mod page;
pub mod perfetto;
pub mod record;
pub mod recorder;
pub mod sequence;
pub mod sheet;
pub mod svg;
pub mod words;

pub use page::{page, pages};
pub use record::{Header, Record, RecordError};
pub use recorder::{Memory, Recorder, Tee};
pub use sheet::Sheet;
