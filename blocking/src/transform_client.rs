//! The transform client (S13): sends a poem as one request, reads one reply, and keeps the original if that fails.

use std::sync::Arc;

use poetry::event::Unobserved;
use poetry::{
    Cancel, FetchError, FetchFailure, Observer, Options, Poem, Reporter, Role, Via, request,
};

use crate::context::Context;
use crate::exchange::{ReplyRules, exchange};
use crate::poem_client::with_context;
use crate::{NAME, default_options};

// ANCHOR: transform
/// Transforms `poem` with the transform and the server that `via` names, within the default limits.
///
/// # Errors
/// Fails as [`FetchFailure`] lists (S11, S13); the error names the peer.
pub fn transform(via: &Via, poem: &Poem) -> Result<Poem, FetchError> {
    let (options, cancel) = (default_options(), Cancel::new());
    transform_with(via, poem, &options, Arc::new(Unobserved), &cancel)
}

/// As [`transform`], within the limits of `options`, with its events reported to `observer`. Cancelling `cancel`, or its
/// task 0, ends the transform.
///
/// # Errors
/// As [`transform`].
pub fn transform_with(
    via: &Via,
    poem: &Poem,
    options: &Options,
    observer: Arc<dyn Observer>,
    cancel: &Cancel,
) -> Result<Poem, FetchError> {
    let clock = options.clock.clone();
    let reporter = Reporter::new(NAME, Role::TransformClient, clock, observer);
    with_context(options, reporter, 0, cancel, &Arc::default(), |context| {
        request_transform(via, poem.as_str(), context).map(Poem::from)
    })
    .map_err(|failure| FetchError::new(&via.peer, failure))
}

/// Sends one request and reads one reply.
fn request_transform(
    via: &Via,
    poem: &str,
    context: &mut Context<'_>,
) -> Result<String, FetchFailure> {
    let limit = context.limits.frame_bytes_max;
    if request::len(&via.transform, poem) > limit {
        let limit = limit as u64;
        return Err(FetchFailure::TooLong { limit });
    }
    let mut request = Vec::new();
    request::encode(&via.transform, poem, &mut request);
    let rules = ReplyRules {
        bytes_max: limit,
        not_a_netstring: FetchFailure::Garbled,
    };
    exchange(&via.peer, &request, rules, context)
}
// ANCHOR_END: transform

// ANCHOR: fallback
/// Returns the transformed poem; or, if the transform failed, the original and the failure (S13).
///
/// # Errors
/// Only [`FetchFailure::Cancelled`], since a cancel ends the whole fetch; the caller reports it.
pub(crate) fn transform_or_keep(
    poem: String,
    via: &Via,
    mut context: Context<'_>,
) -> Result<(String, Option<FetchError>), FetchFailure> {
    let transformed = request_transform(via, &poem, &mut context);
    if let Err(FetchFailure::Cancelled) = transformed {
        return Err(FetchFailure::Cancelled);
    }
    context.report_result(transformed.as_deref());
    match transformed {
        Ok(transformed) => Ok((transformed, None)),
        Err(failure) => Ok((poem, Some(FetchError::new(&via.peer, failure)))),
    }
}
// ANCHOR_END: fallback
