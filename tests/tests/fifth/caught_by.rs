//! The cases that must catch each flaw of the fifth model. Every case of the suite is here, so every case is known to fail.

mod clients;
mod framed;
mod poems;

use crate::flaw::Flaw;

/// A flaw, and in these roles the cases that must catch it. Other cases may catch it too.
pub(crate) type CaughtBy = (Flaw, &'static [&'static str], &'static [&'static str]);

/// Every flaw.
pub(crate) fn caught_by() -> impl Iterator<Item = CaughtBy> {
    let all = [poems::CAUGHT_BY, framed::CAUGHT_BY, clients::CAUGHT_BY];
    all.into_iter().flatten().copied()
}
