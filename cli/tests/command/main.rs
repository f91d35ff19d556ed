//! The command as a process: what it prints, how it ends, how it reacts to signals. The conformance suite tests the wire;
//! here one model stands for all, except where programs stop.

mod check;
mod compare;
mod descriptors;
mod fetch;
mod generate;
mod interrupt;
mod library;
mod load;
mod measure;
mod observe;
mod operations;
mod progress;
mod proxy;
mod report;
mod self_connect;
mod serve;
mod services;
mod services_reload;
mod signals;
mod stats;
mod support;
mod systemd;
mod terminal;
mod timeline;
mod transform;
mod usage;
