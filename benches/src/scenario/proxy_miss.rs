//! Proxies that fetch a poem once for many clients, which all wait for it.

use poetry::{Pace, Poem};

use super::served::{AROUND_SECONDS, Served};
use super::slow_poems::pace;
use super::transform::plan;
use super::{About, Extent, Reading, Scenario, Setting, metrics, served};
use crate::exchange::{Exchange, POEM_BYTES, poem};
use crate::load::{Extent as LoadExtent, Plan};
use crate::poems::SlowServer;
use crate::results::{Axis, Figure, Kind, Metric};
use crate::subject::{Mode, Role, Subject};

/// Clients that wait for one fetch.
pub(super) struct ProxyMiss;

impl Scenario for ProxyMiss {
    fn about(&self, extent: Extent) -> About {
        let ideal = pace(extent).duration(POEM_BYTES).as_secs_f64();
        About {
            name: "proxy-miss",
            question: "What does it cost a proxy to fetch a poem once for many clients that wait for it?",
            lesson: "Each waiting client is something that the end of one fetch must wake: a Deferred, a message, a poll of a shared \
                     future, a thread behind a condition variable. With one client the figure is mostly what a new process does for \
                     the first time; with many it is the wait itself.",
            method: format!(
                "As many clients as the axis says connect to a new proxy at once, and each reads a 600-byte poem up to FIN. The proxy \
                 fetches it from a thread of the harness, which sends it in six pieces within {ideal} s, the ideal, so that all \
                 clients have come before it has arrived; the row is void if one came later, or if the poem was fetched more than \
                 once. CPU is the proxy's, user and system, from the first connection to the last FIN, the fetch included. Every \
                 byte of every poem is compared. Bare loops fetch once for each client, and waiting for a program that is told \
                 its port costs it a fetch, so neither takes part."
            ),
            reason: None,
            axis: Some(Axis::logarithmic("waiting clients", "")),
            quick: false,
        }
    }

    fn applies(&self, subject: &Subject) -> bool {
        let coalesces = subject.kind != Kind::Bare && !subject.is_told_its_port();
        coalesces && subject.plays(Role::Proxy)
    }

    fn verified_as(&self) -> Option<Role> {
        Some(Role::Proxy)
    }

    fn points(&self, extent: Extent) -> Vec<f64> {
        match extent {
            Extent::Quick => vec![64.0],
            Extent::Full => vec![1.0, 64.0, 1_000.0],
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![
            metrics::lower("cpu_us", "CPU per client", "µs"),
            metrics::lower("to_ideal", "elapsed over ideal", "×"),
            metrics::lower(
                "handed_out",
                "from the poem's end to the last client's",
                "ns",
            ),
            metrics::lower("peak_memory", "peak memory", "B"),
            metrics::detail(metrics::describing("threads", "threads", "")),
            metrics::detail(metrics::describing(
                "client_cpu_us",
                "load generator's CPU per client",
                "µs",
            )),
        ]
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::lines("cpu_us")]
    }

    fn seconds(&self, point: f64, extent: Extent) -> f64 {
        pace(extent).duration(POEM_BYTES).as_secs_f64() + point * 50e-6 + AROUND_SECONDS
    }

    fn measure(&self, subject: &Subject, point: f64, setting: &Setting) -> Result<Reading, String> {
        let (text, pace, clients) = (poem(POEM_BYTES), pace(setting.extent), point as usize);
        let upstream = SlowServer::start(Poem::from(&*text), pace, setting.pinning.client)
            .map_err(|error| error.to_string())?;
        let mode = Mode::Proxy {
            upstream: upstream.address(),
            ttl: None,
        };
        let plan = Plan {
            connections: clients,
            keep_alive: false,
            exchange: Exchange::poem(&text),
            extent: LoadExtent::Requests(clients as u64),
            pending_max: clients,
            ..plan(setting.extent)?
        };
        let served = served::load(subject, &mode, plan, setting)?;
        check(&served, &upstream, pace)?;
        let ideal = pace.duration(POEM_BYTES).as_secs_f64();
        let handed_out = served.ended.saturating_duration_since(upstream.ended());
        let to_ideal = served.report.elapsed.as_secs_f64() / ideal;
        let mut reading = served.reading();
        reading.add("handed_out", Some(handed_out.as_nanos() as f64));
        reading.add("to_ideal", Some(to_ideal));
        // The rate and the latencies are those of the poem itself, which all wait for.
        let metrics = self.metrics();
        let is_told = |name: &String| metrics.iter().any(|metric| metric.name == *name);
        reading.values.retain(|name, _| is_told(name));
        reading.histogram = None;
        Ok(reading)
    }
}

/// Checks that all clients came, waited, and were served by one fetch.
fn check(served: &Served, upstream: &SlowServer, pace: Pace) -> Result<(), String> {
    let (fetches, failed) = (upstream.connections(), served.report.connect_errors);
    if failed > 0 {
        return Err(format!("{failed} clients could not connect"));
    }
    if fetches != 1 {
        return Err(format!("it fetched the poem {fetches} times, not once"));
    }
    // A client that finds the poem in the cache waits far less than for one piece of it.
    let least = u128::from(served.report.latency.min());
    match least < pace.due(1).as_nanos() {
        true => Err("a client came when the poem had arrived".to_owned()),
        false => Ok(()),
    }
}
