//! Poem servers and proxies in a closed loop of short connections: each fetches one poem.

use poetry::{Pace, Poem};

use super::transform::{plan, window_in_words, window_seconds};
use super::{About, Extent, Reading, Scenario, Setting, metrics, reasons, served};
use crate::exchange::{Exchange, POEM_BYTES, poem};
use crate::load::Plan;
use crate::poems::SlowServer;
use crate::results::{Figure, Metric};
use crate::subject::{Mode, Role, Subject};

/// Short connections to a server that has the poem in memory.
pub(super) enum PoemsServed {
    /// A poem server.
    Fast,
    /// A proxy that has fetched the poem.
    ProxyHit,
}

/// Connections that are kept busy.
const CONNECTIONS: usize = 64;

impl Scenario for PoemsServed {
    fn about(&self, extent: Extent) -> About {
        let window = window_in_words(extent);
        let method = |server: &str| {
            format!(
                "Closed loop: 64 clients connect, read a 600-byte poem up to FIN and connect again. {server} CPU is the server's, \
                 user and system, per poem, {window}. Every byte of every poem is compared."
            )
        };
        match self {
            Self::Fast => About {
                name: "fast-poems",
                question: "What does it cost to serve a whole poem at once on a new connection?",
                lesson: "Nothing is read and one write suffices, so this is what a model adds to accepting and closing.",
                method: method("The server has the poem in a file."),
                reason: Some(reasons::CLOSING),
                axis: None,
                quick: false,
            },
            Self::ProxyHit => About {
                name: "proxy-hit",
                question: "What does it cost a proxy to serve a poem that it has fetched?",
                lesson: "A hit should cost what a poem server's poem costs. The difference to fast-poems is the cache.",
                method: method("The proxy fetches the poem once, in the warm-up."),
                reason: Some(reasons::CLOSING),
                axis: None,
                quick: false,
            },
        }
    }

    fn verified_as(&self) -> Option<Role> {
        Some(match self {
            Self::Fast => Role::Poem,
            Self::ProxyHit => Role::Proxy,
        })
    }

    fn points(&self, _: Extent) -> Vec<f64> {
        vec![0.0]
    }

    fn metrics(&self) -> Vec<Metric> {
        let first = vec![metrics::cpu(), metrics::rate()];
        [first, metrics::latencies(), metrics::costs()].concat()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::bars("cpu_us")]
    }

    fn seconds(&self, _: f64, extent: Extent) -> f64 {
        window_seconds(extent)
    }

    fn measure(&self, subject: &Subject, _: f64, setting: &Setting) -> Result<Reading, String> {
        let text = poem(POEM_BYTES);
        let upstream = SlowServer::start(
            Poem::from(text.as_str()),
            Pace::Fast,
            setting.pinning.client,
        );
        let upstream = upstream.map_err(|error| error.to_string())?;
        let mode = match self {
            Self::Fast => {
                let file = setting.file("poem.txt");
                std::fs::write(&file, &text).map_err(|error| error.to_string())?;
                Mode::Poem {
                    file,
                    pace: Pace::Fast,
                }
            }
            Self::ProxyHit => Mode::Proxy {
                upstream: upstream.address(),
                ttl: None,
            },
        };
        let plan = Plan {
            connections: CONNECTIONS,
            keep_alive: false,
            exchange: Exchange::poem(&text),
            ..plan(setting.extent)?
        };
        Ok(served::load(subject, &mode, plan, setting)?.reading())
    }
}
