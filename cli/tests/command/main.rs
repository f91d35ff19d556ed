//! The command as a process: what it prints, how it ends, what signals do to it. What the models do on the wire is the
//! conformance suite's business; here a server or client of one model stands for all, except where they stop.

mod compare;
mod descriptors;
mod fetch;
mod interrupt;
mod progress;
mod serve;
mod signals;
mod stats;
mod support;
mod transform;
mod usage;
