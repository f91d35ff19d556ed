//! Fetches of poems that fail, beside two that arrive: one failure must not disturb the others (S11).

use serde_json::Value;

use super::{FaultContext, fetch::Fetch, fetch::Fetched};
use crate::failure::{Check, During, ensure, equal};
use crate::fake_servers::{FakeServer, Serves};
use crate::wire::text;

/// Longer than what one read takes.
const POEM_BYTES: usize = 200_000;

/// Fetches a poem, then those that `faulty` adds, then a poem again, all at once. Expects that both poems arrive whole, and that
/// the exit status is 0 if all arrived, else 1. Returns the objects printed for those that `faulty` added.
pub(super) fn fetch_beside(
    context: &FaultContext,
    faulty: impl FnOnce(Fetch) -> Fetch,
) -> Check<Vec<Value>> {
    let poem = text(POEM_BYTES);
    let good = FakeServer::start(Serves(poem.clone().into_bytes()))?;
    let fetch = faulty(context.fetch().json().from(good.address()));
    let fetched = fetch.from(good.address()).run()?;
    let mut objects = objects(&fetched)?;
    ensure(objects.len() >= 2, || {
        format!("two poems are missing in '{}'", fetched.stdout)
    })?;
    let others = [objects.pop().unwrap_or_default(), objects.remove(0)];
    for other in others {
        let arrived = other["poem"].as_str() == Some(&poem);
        ensure(arrived, || {
            format!("a poem beside did not arrive: {}", other["error"])
        })?;
    }
    let all_arrived = objects.iter().all(|object| status(object) == "arrived");
    let expected = if all_arrived { 0 } else { 1 };
    equal("the exit status", &fetched.status.code(), &Some(expected))?;
    Ok(objects)
}

/// Returns the objects that `fetch --json` printed, one for each poem.
pub(super) fn objects(fetched: &Fetched) -> Check<Vec<Value>> {
    let lines = fetched.stdout.lines();
    let parse = |line| serde_json::from_str(line).during("parsing the client's output");
    lines.map(parse).collect()
}

/// Returns the status in an object that `fetch --json` printed.
pub(super) fn status(object: &Value) -> &str {
    object["status"].as_str().unwrap_or_default()
}

/// Expects that every poem failed with `expected`, and that nothing of it was printed.
pub(super) fn expect_all(objects: &[Value], count: usize, expected: &str) -> Check {
    equal("the number of faulty poems", &objects.len(), &count)?;
    for object in objects {
        equal("the status of a faulty poem", &status(object), &expected)?;
        equal("its poem", &object["poem"], &Value::Null)?;
    }
    Ok(())
}
