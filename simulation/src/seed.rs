//! Seeds and numbers of runs, from the environment.

use std::env;
use std::str::FromStr;

/// The seed of a run unless `QUATRAIN_SEED` sets another.
pub const DEFAULT: u64 = 22;

/// Returns the seed in `QUATRAIN_SEED`, or [`DEFAULT`].
///
/// # Panics
/// If the variable is set to anything but a number: a replay with another seed would mislead.
pub fn from_environment() -> u64 {
    number("QUATRAIN_SEED").unwrap_or(DEFAULT)
}

/// Returns the number in the environment variable `name`, if it is set. Digits may be grouped by `_`.
///
/// # Panics
/// If the variable is set to anything but a number.
pub fn number<N: FromStr>(name: &str) -> Option<N> {
    let text = env::var(name).ok()?;
    match text.replace('_', "").parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name} must be a whole number, not '{text}'"),
    }
}
