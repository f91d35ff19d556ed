//! The plan of a load, from its options.

use std::net::SocketAddr;
use std::time::Duration;

use measure::load::{
    Arrival, Extent, Gaps, Leave, LoadError, Mix, Sources, learn_library, learn_poem,
};
use measure::{Exchange, Plan};
use poetry::limits::CONNECT_TIMEOUT;
use poetry::transform::TRANSFORMS;

use crate::args::{LoadLibraryArgs, LoadOptions, LoadPoemArgs, LoadTransformArgs, Spread};
use crate::failure::Failure;
use crate::{hints, poem_file, resolve};

use super::{Load, Role, cannot_begin};

/// The length of a measurement, unless another is asked for.
const DURATION: Duration = Duration::from_secs(1);
/// The length of the warm-up, unless another is asked for.
const WARM_UP: Duration = Duration::from_millis(250);

/// Plans a load of transform requests.
pub(super) fn transform(args: &LoadTransformArgs) -> Result<Load<'_>, Failure> {
    let options = &args.load;
    let poem = match &args.poem {
        Some(path) => poem_file::read(path)?.as_str().to_owned(),
        None => measure::exchange::poem(args.bytes),
    };
    let exchange = |transform: &str| {
        let exchange = Exchange::transform(transform, &poem);
        exchange.map_err(|cause| cannot_begin(&options.address, cause))
    };
    let mix = match &args.mix {
        Some(mix) => Some(Mix {
            share: mix.share,
            exchange: exchange(&mix.transform)?,
        }),
        None => None,
    };
    let other = args.mix.as_ref().map(|mix| mix.transform.clone());
    let names = [Some(&args.transform), other.as_ref()];
    let role = Role::Transform {
        one_shot: args.one_shot,
        lab: names
            .into_iter()
            .flatten()
            .any(|name| is_of_the_laboratory(name)),
    };
    let exchange = exchange(&args.transform)?;
    let default = plan(options, resolved(options)?, exchange, extent(options))?;
    checked(Load {
        role,
        options,
        request: args.transform.clone(),
        other,
        plan: Plan {
            depth: args.depth,
            keep_alive: !args.one_shot,
            mix,
            ..default
        },
    })
}

/// Plans a load of requests for a poem by its name.
pub(super) fn library(args: &LoadLibraryArgs) -> Result<Load<'_>, Failure> {
    let options = &args.load;
    let role = Role::Library {
        one_shot: args.one_shot,
    };
    let address = resolved(options)?;
    let exchange = match &args.file {
        Some(path) => Exchange::library(&args.name, poem_file::read(path)?.as_str())
            .map_err(|cause| cannot_begin(&options.address, cause))?,
        None => learn_library(address, &args.name, options.stall_timeout.0)
            .map_err(|error| not_learned(options, role, &error))?,
    };
    let default = plan(options, address, exchange, extent(options))?;
    checked(Load {
        role,
        options,
        request: args.name.to_string(),
        other: None,
        plan: Plan {
            depth: args.depth,
            keep_alive: !args.one_shot,
            ..default
        },
    })
}

/// Plans a load of clients that each read a poem to its end.
pub(super) fn poem(args: &LoadPoemArgs) -> Result<Load<'_>, Failure> {
    let options = &args.load;
    let address = resolved(options)?;
    let exchange = match &args.file {
        Some(path) => Exchange::poem(poem_file::read(path)?.as_str()),
        None => learn_poem(address, options.stall_timeout.0)
            .map_err(|error| not_learned(options, Role::Poem, &error))?,
    };
    // A slow poem lasts longer than the usual measurement.
    let extent = match (options.duration, options.requests) {
        (None, None) => Extent::Requests(options.connections as u64),
        _ => extent(options),
    };
    let leave = args.leave.map(|share| Leave {
        share: share.0,
        after: args.leave_after,
    });
    let default = plan(options, address, exchange, extent)?;
    checked(Load {
        role: Role::Poem,
        options,
        request: "poem".to_owned(),
        other: None,
        plan: Plan {
            keep_alive: false,
            leave,
            ..default
        },
    })
}

/// Returns the plan that the options of every load describe.
fn plan(
    options: &LoadOptions,
    address: SocketAddr,
    exchange: Exchange,
    extent: Extent,
) -> Result<Plan, Failure> {
    let default = Plan::new(address).map_err(|error| cannot_begin(&options.address, error))?;
    let gaps = match options.gaps {
        Spread::Equal => Gaps::Equal,
        Spread::Exponential => Gaps::Exponential,
    };
    Ok(Plan {
        connections: options.connections,
        exchange,
        arrival: match options.rate {
            Some(rate) => Arrival::Open { rate, gaps },
            None => Arrival::Closed,
        },
        extent,
        sources: options.sources.map_or(Sources::Auto, Sources::Each),
        seed: options.seed,
        stall_timeout: options.stall_timeout.0,
        ..default
    })
}

fn extent(options: &LoadOptions) -> Extent {
    match options.requests {
        Some(requests) => Extent::Requests(requests.get() as u64),
        None => Extent::For {
            warm_up: options.warm_up.map_or(WARM_UP, |time| time.0),
            timed: options.duration.map_or(DURATION, |time| time.0),
        },
    }
}

fn checked(load: Load<'_>) -> Result<Load<'_>, Failure> {
    match load.plan.check() {
        Ok(()) => Ok(load),
        Err(error) => Err(cannot_begin(&load.options.address, error)),
    }
}

fn resolved(options: &LoadOptions) -> Result<SocketAddr, Failure> {
    resolve::first(&options.address, CONNECT_TIMEOUT)
        .map_err(|cause| cannot_begin(&options.address, cause))
}

/// Why the poem that a server must send could not be fetched.
fn not_learned(options: &LoadOptions, role: Role, error: &LoadError) -> Failure {
    let hint = match (role, error) {
        (Role::Library { .. }, LoadError::ClosedEarly { .. }) => {
            Some("it has no poem of that name, or is not a library".to_owned())
        }
        _ => hints::after_load(&options.address, error, role),
    };
    super::trouble(&options.address, error, hint)
}

/// Whether the transform `name` needs `serve transform --lab`.
fn is_of_the_laboratory(name: &str) -> bool {
    TRANSFORMS
        .iter()
        .any(|transform| transform.name == name && transform.lab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_of_the_laboratory_are_known() {
        assert!(is_of_the_laboratory("burn"));
        assert!(!is_of_the_laboratory("shout") && !is_of_the_laboratory("sing"));
    }
}
