//! Three slow poems, fetched at once and one after another: waiting is the work (Parts 1 to 3).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use poetry::event::Unobserved;
use poetry::{Cancel, FetchRequest, Model, Options, Pace, PoemService, Server, Service};
use timeline::{Memory, Record};

use super::{EVENTS_MAX, Scene, failed, recorded, start};
use crate::failure::Failure;

const POEM: &str = "The tide goes out,\nthe tide comes in;\nthe harbour waits\nfor both of them.\n";
/// Bytes served at once.
const NUM_BYTES: NonZeroUsize = NonZeroUsize::new(10).unwrap();
/// The delays of the three servers, so that the poems end one after another.
const DELAYS: [Duration; 3] = [
    Duration::from_millis(60),
    Duration::from_millis(90),
    Duration::from_millis(120),
];

/// Each model fetches the poems at once.
pub(super) fn at_once(models: &[&'static dyn Model]) -> Result<Scene, Failure> {
    let record = |&model: &&'static dyn Model| fetch(model, usize::MAX);
    Ok(Scene {
        title: "Three slow poems at once",
        words: "Each model fetches the same three poems, of servers that send ten bytes at a time. Look at the blocks: \
                nearly all of the time is waiting, which overlaps in every model. Callbacks, actors and streams need one \
                thread for that, since one of the three tasks at most has something to do at any time; blocking needs a \
                thread for each poem, since a thread that waits can do nothing else."
            .to_owned(),
        records: models.iter().map(record).collect::<Result<_, _>>()?,
    })
}

/// Each model fetches one poem after another.
pub(super) fn in_turn(models: &[&'static dyn Model]) -> Result<Scene, Failure> {
    let record = |&model: &&'static dyn Model| fetch(model, 1);
    Ok(Scene {
        title: "The same poems one after another",
        words: "The same with the option --sequential of fetch, as the first client of the tutorial does it: the waits no longer overlap, \
                and the whole takes as long as the three together. No model is faster here than another."
            .to_owned(),
        records: models.iter().map(record).collect::<Result<_, _>>()?,
    })
}

fn fetch(model: &'static dyn Model, fetches_max: usize) -> Result<Record, Failure> {
    let mut options = Options::new(models::clock());
    options.limits.fetches_max = fetches_max.min(options.limits.fetches_max);
    let servers = DELAYS.map(|delay| serve(model, delay, &options));
    let servers = servers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let requests: Vec<FetchRequest> = servers
        .iter()
        .map(|server| FetchRequest::new(server.address()))
        .collect();
    let client = model
        .client(&options)
        .map_err(|error| failed(model, "no client", error))?;
    let memory = Arc::new(Memory::new(EVENTS_MAX));
    let outcomes = client.fetch(&requests, memory.clone(), &Cancel::new());
    for outcome in outcomes {
        match outcome.poem {
            Ok(poem) if poem == POEM => {}
            Ok(_) => {
                return Err(failed(
                    model,
                    "a poem has wrong bytes",
                    "compare it by `quatrain check`",
                ));
            }
            Err(error) => return Err(failed(model, "a poem did not arrive", error)),
        }
    }
    Ok(recorded(&memory))
}

/// Serves the poem slowly, until the server is dropped.
fn serve(
    model: &'static dyn Model,
    delay: Duration,
    options: &Options,
) -> Result<Box<dyn Server>, Failure> {
    let service = Service::Poem(PoemService {
        poem: POEM.into(),
        pace: Pace::Slow {
            num_bytes: NUM_BYTES,
            delay,
        },
    });
    let served = start(model, service, options, Arc::new(Unobserved));
    served.map_err(|error| failed(model, "no poem server", error))
}
