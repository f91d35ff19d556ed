//! Fetches and their transforms against a seeded adversary. What connects is the adversary too.

use ::simulation::fetch::{FetchPlan, Fetched, TRANSFORM};
use ::simulation::plan::Act;
use poetry::error::decode_poem;
use poetry::event::Unobserved;
use poetry::{Cancel, FetchFailure, Role, request};

use super::*;
use crate::context::{Context, Shared};
use crate::exchange::{ReplyRules, exchange_over};
use crate::poem_client::read_poem;
use crate::sockets::Sockets;
use socket::Served;

const COMMAND: &str = "cargo test -p quatrain-blocking --lib simulation::fetch -- --nocapture";

#[test]
fn s11_s13_s15_fetches_keep_the_rules_whatever_the_network_does() {
    // A write that is blocked is none of these fetches.
    runs::check_fetches(COMMAND, Duration::ZERO, fetch);
}

/// Fetches as `poem_client` and `transform_client` do.
fn fetch(plan: &FetchPlan) -> Fetched {
    let mut rng = Rng::with_seed(plan.disturbance);
    let (shared, cancel, sockets) = (Shared::default(), Cancel::new(), Sockets::new(1));
    let reporter = Reporter::new(
        NAME,
        Role::PoemClient,
        Clock::stopped(),
        Arc::new(Unobserved),
    );
    let (scene, start) = (Scene::default(), Duration::ZERO);
    let mut context = Context::new(
        scene,
        start,
        &plan.limits,
        &shared,
        reporter,
        &cancel,
        &sockets,
    );
    let mut wire = connect(&plan.poem, start, &mut rng);
    let poem = read_poem(&mut wire, &mut context).and_then(decode_poem);
    let mut fetched = Fetched {
        poem,
        transform_failure: None,
        ended: wire.now(),
        via: plan.transform.is_some(),
    };
    if let (Ok(poem), Some(acts)) = (&mut fetched.poem, &plan.transform) {
        let mut context = context.for_transform();
        let mut wire = connect(acts, fetched.ended, &mut rng);
        match transform(poem, &mut wire, &mut context) {
            Ok(transformed) => *poem = transformed,
            Err(failure) => fetched.transform_failure = Some(failure),
        }
        fetched.ended = wire.now();
    }
    fetched
}

fn transform(
    poem: &str,
    wire: &mut Timed<Served>,
    context: &mut Context<'_>,
) -> Result<String, FetchFailure> {
    let limit = context.limits.frame_bytes_max;
    if request::len(TRANSFORM, poem) > limit {
        let limit = limit as u64;
        return Err(FetchFailure::TooLong { limit });
    }
    let mut request = Vec::new();
    request::encode(TRANSFORM, poem, &mut request);
    let rules = ReplyRules {
        bytes_max: limit,
        not_a_netstring: FetchFailure::Garbled,
    };
    exchange_over(wire, &request, rules, context)
}

/// Connects to a server that does `acts` from `now` on.
fn connect(acts: &[(Duration, Act)], now: Duration, rng: &mut Rng) -> Timed<Served> {
    let acts = acts.iter().map(|(at, act)| (now + *at, act.clone()));
    Timed::new(Socket::dialled(acts, now, rng.fork()).served())
}
