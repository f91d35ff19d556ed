//! Values in arguments (times, counts, addresses, names), each with its bounds and an error that shows the right form.

use std::ffi::OsStr;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use poetry::library::BadName;
pub(crate) use poetry::peer::Address;
use poetry::transform::TRANSFORMS;
use poetry::{Model, PoemName};
use tracing_subscriber::EnvFilter;

/// The largest limit on the length of a poem: sixteen gibibytes.
pub(crate) const POEM_BYTES_MAX_MAX: usize = 16 << 30;
/// The longest time that makes sense to wait: a day.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A time as users write it: `0.7`, `700ms`, `2s`, `1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write a time such as 0.7, 700ms, 2s or 1m";
        let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
        let with_unit = units
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
        let (number, unit) = with_unit.unwrap_or((text, 1.0));
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(FORM.to_owned());
        }
        let seconds = number.parse::<f64>().map_err(|_| FORM.to_owned())? * unit;
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if time <= TIME_MAX => Ok(Self(time)),
            _ => Err("longer than a day".to_owned()),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(out)
    }
}

/// Returns a seed that differs from run to run, short enough that people can type it again.
pub(crate) fn random_seed() -> u64 {
    const SEEDS: u64 = 1_000_000;
    fastrand::u64(..SEEDS)
}

/// Parses a time longer than 0.
pub(crate) fn some_time(text: &str) -> Result<Seconds, String> {
    match text.parse()? {
        Seconds(Duration::ZERO) => Err("it must be longer than 0".to_owned()),
        time => Ok(time),
    }
}

/// Parses a count from 1 to `max`.
pub(crate) fn count(max: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=max as u64)
}

/// Parses a count from 1 to `max` as a number that cannot be 0.
pub(crate) fn at_least_one(max: usize) -> impl TypedValueParser<Value = NonZeroUsize> {
    count(max).try_map(NonZeroUsize::try_from)
}

/// Parses the name of a model.
pub(crate) fn model() -> impl TypedValueParser<Value = &'static dyn Model> {
    PossibleValuesParser::new(models::ALL.iter().map(|model| model.name()))
        .try_map(|name| models::find(&name).ok_or("no such model"))
}

/// Returns the models in `chosen`, each once and in the order of the tutorial; all models if `chosen` is empty.
pub(crate) fn each_once(chosen: &[&'static dyn Model]) -> Vec<&'static dyn Model> {
    let is_chosen = |model: &&dyn Model| {
        chosen.is_empty() || chosen.iter().any(|chosen| chosen.name() == model.name())
    };
    models::ALL.iter().copied().filter(is_chosen).collect()
}

/// Parses the name of a transform. Those of the laboratory are accepted but not listed.
pub(crate) fn transform() -> PossibleValuesParser {
    PossibleValuesParser::new(TRANSFORMS.iter().map(|transform| {
        PossibleValue::new(transform.name)
            .help(transform.about)
            .hide(transform.lab)
    }))
}

/// Parses the name of a poem. A file's name is rejected with the name of the poem in it.
pub(crate) fn poem_name(text: &str) -> Result<PoemName, String> {
    text.parse().map_err(|error: BadName| {
        let stem = Path::new(text).file_stem().and_then(OsStr::to_str);
        match stem.and_then(|stem| stem.parse::<PoemName>().ok()) {
            Some(name) => format!("{error}; the poem in the file {text} is called {name}"),
            None => error.to_string(),
        }
    })
}

/// Parses a level, or a filter in tracing's form, which would silently take any other word for a module.
pub(crate) fn log_filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |directive: &str| directive.contains('=') || LEVELS.contains(&directive);
    if !text.split(',').all(known) {
        return Err(format!("write one of {}", LEVELS.join(", ")));
    }
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_or_without_a_unit() {
        let millis = |text: &str| text.parse::<Seconds>().map(|time| time.0.as_millis());
        assert_eq!(millis("0.7"), Ok(700));
        assert_eq!(millis("700ms"), Ok(700));
        assert_eq!(millis("2s"), Ok(2_000));
        assert_eq!(millis("1.5m"), Ok(90_000));
        assert_eq!(millis("0"), Ok(0));
        assert_eq!(millis(".5"), Ok(500));
    }

    #[test]
    fn other_words_are_not_times() {
        for text in [
            "", "-1", "nan", "inf", "1e3", "+2", "1h", "s", ".", "0.1.2", "½", "1 s",
        ] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
        for text in ["86401", "99999999999999999999999", &"9".repeat(400)] {
            assert_eq!(text.parse::<Seconds>(), Err("longer than a day".to_owned()));
        }
        assert!(some_time("0").is_err() && some_time("0.0000000001").is_err());
    }

    #[test]
    fn s8_the_name_of_a_file_is_not_that_of_its_poem() {
        assert_eq!(
            poem_name("lantern").map(|name| name.to_string()).as_deref(),
            Ok("lantern")
        );
        let error = poem_name("poems/lantern.txt").unwrap_err();
        assert!(
            error.ends_with("the poem in the file poems/lantern.txt is called lantern"),
            "{error}"
        );
        assert!(poem_name("..").is_err() && poem_name("").is_err());
    }

    #[test]
    fn other_words_are_not_log_levels() {
        assert!(log_filter("debug").is_ok() && log_filter("info,quatrain=trace").is_ok());
        assert!(log_filter("verbose").is_err() && log_filter("quatrain=loud").is_err());
    }
}
