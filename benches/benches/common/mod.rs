//! What the criterion targets share: how long they measure, and servers of every model in this process.

#![allow(dead_code)] // No target uses everything.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use poetry::event::Unobserved;
use poetry::{Model, Options, Server, Service};

/// Returns the profile that `QUATRAIN_BENCH` names: `quick` only shows that a benchmark works and its order of magnitude, in a fifth
/// of the time and without plots; unset is the full one, under five minutes for all of `cargo bench`.
///
/// # Panics
/// If there is no such profile.
pub(crate) fn profile() -> Criterion {
    match std::env::var("QUATRAIN_BENCH").ok().as_deref() {
        None | Some("") => Criterion::default()
            .sample_size(30)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1))
            .nresamples(20_000),
        Some("quick") => Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(30))
            .measurement_time(Duration::from_millis(150))
            .nresamples(1_000)
            .without_plots(),
        Some(other) => panic!("QUATRAIN_BENCH is '{other}'; unset it, or set it to 'quick'"),
    }
}

/// Starts a server of `model` with one thread, on a free port of 127.0.0.1.
pub(crate) fn serve(model: &dyn Model, service: Service) -> Box<dyn Server> {
    let options = Options::new(models::clock());
    let server = model.serve(listen(), service, &options, Arc::new(Unobserved));
    server.expect("a server")
}

/// Binds a listener on a free port of 127.0.0.1.
pub(crate) fn listen() -> TcpListener {
    models::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port")
}
