//! Fetches and their transforms against a seeded adversary. What connects is the adversary too.

use ::simulation::fetch::{FetchPlan, Fetched, TRANSFORM};
use futures::TryStreamExt;
use poetry::error::decode_poem;

use super::*;
use crate::deadlines::{deadline, until};
use crate::poem_client::chunks_of;
use crate::transform_client::{encode, exchange};
use socket::Served;

const COMMAND: &str = "cargo test -p quatrain-streams --lib simulation::fetch -- --nocapture";

#[test]
fn s11_s13_s15_fetches_keep_the_rules_whatever_the_network_does() {
    runs::check_fetches(COMMAND, LATE_MAX, |plan| on_virtual_time(fetch(plan)));
}

/// Fetches as `Fetch::fetch_and_transform` does.
async fn fetch(plan: &FetchPlan) -> Fetched {
    let mut rng = Rng::with_seed(plan.disturbance);
    let time = Time::default();
    time.start();
    let limits = &plan.limits;
    let deadline = deadline(limits.total_deadline);
    let poem = until(deadline, async {
        let served = connect(&plan.poem, &time, &mut rng);
        decode_poem(chunks_of(served, limits).try_concat().await?)
    });
    let mut fetched = Fetched {
        poem: poem.await,
        transform_failure: None,
        ended: Duration::ZERO,
        via: plan.transform.is_some(),
    };
    if let (Ok(poem), Some(acts)) = (&mut fetched.poem, &plan.transform) {
        let transformed = until(deadline, async {
            let request = encode(TRANSFORM, poem, limits)?;
            let served = connect(acts, &time, &mut rng);
            exchange(served, &request, limits, |_| ()).await
        });
        match transformed.await {
            Ok(transformed) => *poem = transformed,
            Err(failure) => fetched.transform_failure = Some(failure),
        }
    }
    fetched.ended = time.now();
    fetched
}

/// Connects to a server that does `acts` from now on.
fn connect(acts: &[(Duration, Act)], time: &Time, rng: &mut Rng) -> Served {
    let socket = Socket::new(usize::MAX, time.clone(), rng.fork());
    let (server, acts, now) = (socket.clone(), acts.to_vec(), Instant::now());
    spawn_local(async move {
        for (at, act) in acts {
            sleep_until(now + at).await;
            server.act(&act);
        }
    });
    socket.accept()
}
