//! `serve --metrics`: the counters of S23 and the latencies of replies for Prometheus and its kin, as OpenMetrics over HTTP.
//!
//! This file says what there is to see; `latency` times replies, `http` answers requests.

mod collector;
mod http;
mod latency;

pub(crate) use self::http::COUNTS_PATH;

use std::fmt;
use std::sync::Arc;
use std::thread;

use poetry::limits::CONNECT_TIMEOUT;
use poetry::{Observer, Role};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::{error, info};

use crate::args::Address;
use crate::failure::{Failure, cause, cause_at_start};
use crate::inquiries::Inquirer;
use crate::resolve;
use crate::stats::{self, ServiceCounts};

use self::collector::Scraped;
use self::http::{Asked, Endpoint};
use self::latency::Latencies;

/// The endpoint; nothing without the option.
pub(crate) struct Metrics(Option<Shown>);

struct Shown {
    endpoint: Endpoint,
    registry: Registry,
    latencies: Family<Labels, Histogram, fn() -> Histogram>,
    /// The counts of the scrape that is being answered.
    counts: Scraped,
}

/// Where a service listens, what it is, and how it works.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Labels {
    service: String,
    role: String,
    model: String,
}

impl Metrics {
    /// Listens on `address`, if there is one.
    ///
    /// # Errors
    /// The address cannot be resolved, or listened on.
    pub(crate) fn listen(address: Option<&Address>) -> Result<Self, Failure> {
        let Some(address) = address else {
            return Ok(Self(None));
        };
        let refused = |cause: String| {
            Failure::new(format_args!(
                "cannot listen on --metrics {address}: {cause}; choose another address, or port 0 for a free one"
            ))
        };
        let address = resolve::first(address, CONNECT_TIMEOUT)
            .map_err(|failure| refused(failure.to_string()))?;
        let listener = models::listen(address).map_err(|error| refused(cause(&error)))?;
        let mut registry = Registry::with_prefix("quatrain");
        let counts = Scraped::default();
        registry.register_collector(Box::new(counts.clone()));
        let latencies = Family::new_with_constructor(latency::histogram as fn() -> Histogram);
        registry.register(
            "latency_seconds",
            "From the first bytes of a request, or for a poem from accepting the connection, until the kernel has taken the reply to its last byte",
            latencies.clone(),
        );
        Ok(Self(Some(Shown {
            endpoint: Endpoint::new(listener),
            registry,
            latencies,
            counts,
        })))
    }

    /// Returns an observer that times replies of the service beside what `observer` does.
    pub(crate) fn beside(
        &self,
        service: &str,
        role: Role,
        model: &str,
        observer: Arc<dyn Observer>,
    ) -> Arc<dyn Observer> {
        let Some(shown) = &self.0 else {
            return observer;
        };
        let labels = Labels::new(service, role, model);
        let histogram = shown.latencies.get_or_create_owned(&labels);
        let latencies = Arc::new(Latencies::new(role, histogram));
        Arc::new(timeline::Tee::new([latencies, observer]))
    }

    /// Answers requests in a thread of its own while `run` runs, with the counts that it gets by `inquirer`.
    pub(crate) fn while_running<R>(&self, inquirer: Inquirer, run: impl FnOnce() -> R) -> R {
        let Some(shown) = &self.0 else {
            return run();
        };
        let answer = |asked: &Asked| {
            let counts = inquirer.counts()?;
            Some(match asked {
                Asked::Counts => stats::lines(&counts),
                _ => shown.scrape(counts),
            })
        };
        thread::scope(|scope| {
            let named = thread::Builder::new().name("metrics".to_owned());
            match named.spawn_scoped(scope, || shown.endpoint.answer(&answer)) {
                Ok(_) => info!("metrics on {}", shown.url()),
                Err(error) => error!("there are no metrics: {}", cause_at_start(&error)),
            }
            // Also if `run` panics: the scope waits for the thread.
            let _stop = shown.endpoint.stop_when_dropped();
            run()
        })
    }
}

impl Shown {
    fn url(&self) -> String {
        let address = self.endpoint.address();
        let address = address.map_or_else(|error| cause(&error), |address| address.to_string());
        format!("http://{address}{}", http::PATH)
    }

    /// Returns everything as OpenMetrics text.
    fn scrape(&self, counts: Vec<ServiceCounts>) -> String {
        self.counts.set(counts);
        let mut text = String::new();
        if let Err(fmt::Error) = encode(&mut text, &self.registry) {
            error!("the metrics are cut: a string cannot be written");
        }
        text
    }
}

impl Labels {
    fn new(service: &str, role: Role, model: &str) -> Self {
        Self {
            service: service.to_owned(),
            role: stats::role_name(role).to_owned(),
            model: model.to_owned(),
        }
    }
}
