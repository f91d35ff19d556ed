//! Numbers and lists as people read them.

/// Formats `value` with its unit, in three significant digits: `3.71 µs`, `12,345 requests/s`, `4.62 MiB`, `1.42`.
///
/// Bytes (`B`) are given in KiB and MiB, nanoseconds (`ns`) in µs, ms and s, where that is shorter.
pub fn value(value: f64, unit: &str) -> String {
    let (value, unit) = scaled(value, unit);
    match unit {
        "" => number(value),
        "%" => format!("{} %", number(value)),
        unit => format!("{} {unit}", number(value)),
    }
}

/// Formats `low–high` with the unit said once if both have the same, or one value if both read alike.
pub fn range(low: f64, high: f64, unit: &str) -> String {
    if value(low, unit) == value(high, unit) {
        return value(high, unit);
    }
    let (scaled_low, low_unit) = scaled(low, unit);
    match low_unit == scaled(high, unit).1 {
        true => format!("{}–{}", number(scaled_low), value(high, unit)),
        false => format!("{}–{}", value(low, unit), value(high, unit)),
    }
}

/// Chooses a larger unit for bytes and nanoseconds.
fn scaled(value: f64, unit: &str) -> (f64, &str) {
    let (factor, unit) = larger_unit(value, unit);
    (value / factor, unit)
}

/// Returns the unit that `value` is shown in, and how many of `unit` it is.
pub(crate) fn larger_unit(value: f64, unit: &str) -> (f64, &str) {
    const MIB: f64 = 1_048_576.0;
    let steps: &[(f64, f64, &str)] = match unit {
        "B" => &[(MIB, MIB, "MiB"), (10_240.0, 1_024.0, "KiB")],
        "ns" => &[(1e9, 1e9, "s"), (1e6, 1e6, "ms"), (1e3, 1e3, "µs")],
        _ => &[],
    };
    let step = steps.iter().find(|(from, ..)| value.abs() >= *from);
    step.map_or((1.0, unit), |(_, factor, unit)| (*factor, unit))
}

/// Formats a number in three significant digits, and whole numbers as they are: `0.0123`, `3.71`, `64`, `12,345`.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude.fract() == 0.0 || magnitude >= 99.95 {
        return thousands(value);
    }
    let decimals = match magnitude {
        m if m >= 9.995 => 1,
        m if m >= 0.9995 => 2,
        m if m >= 0.001 => (2.0 - m.log10().floor()) as usize,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// Formats a whole number as `12,345`.
pub fn thousands(value: f64) -> String {
    let text = format!("{value:.0}");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let mut grouped = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats a relative difference as a percentage: 0.081 as `8.1 %`.
pub fn percent(difference: f64) -> String {
    let percent = difference.abs() * 100.0;
    match percent {
        percent if percent < 9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// From this ratio on it is given as a factor, below as a percentage: it rounds to 2.00.
pub const TIMES: f64 = 1.995;

/// Formats a ratio as words: `8.1 % more than streams`, `20 % less than streams`, `2.31 times as much as streams`.
pub fn ratio(ratio: f64, than: &str) -> String {
    match ratio {
        ratio if ratio >= TIMES => format!("{} times as much as {than}", number(ratio)),
        ratio if ratio >= 1.0005 => format!("{} more than {than}", percent(ratio - 1.0)),
        ratio if ratio > 0.9995 => format!("as much as {than}"),
        ratio => format!("{} less than {than}", percent(1.0 - ratio)),
    }
}

/// Joins names: `a`, `a and b`, `a, b and c`.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Formats a count with its noun: `1 round`, `5 rounds`, `1,000 replies`.
pub fn counted(count: usize, noun: &str) -> String {
    format!(
        "{} {}",
        thousands(count as f64),
        numbered(noun, count as u64)
    )
}

/// Returns `noun` as it follows `count`: `reply` or `replies`.
pub fn numbered(noun: &str, count: u64) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => noun.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) if noun.ends_with("ch") => format!("{noun}es"),
        (_, None) => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_significant_digits_and_their_unit() {
        for (number, unit, text) in [
            (3.712, "µs", "3.71 µs"),
            (12_345.4, "requests/s", "12,345 requests/s"),
            (0.012_34, "", "0.0123"),
            (9.996, "µs", "10.0 µs"),
            (99.96, "µs", "100 µs"),
            (64.0, "", "64"),
            (0.0, "", "0"),
            (1_200.0, "B", "1,200 B"),
            (12_083.2, "B", "11.8 KiB"),
            (4_844_421.0, "B", "4.62 MiB"),
            (1_250.0, "ns", "1.25 µs"),
            (2_500_000.0, "ns", "2.50 ms"),
            (-1_234_567.0, "", "-1,234,567"),
        ] {
            assert_eq!(value(number, unit), text);
        }
    }

    #[test]
    fn a_range_names_its_unit_once() {
        assert_eq!(range(3.5, 4.25, "µs"), "3.50–4.25 µs");
        assert_eq!(range(900.0, 2_000_000.0, "ns"), "900 ns–2 ms");
        assert_eq!(range(1.171, 1.172, ""), "1.17");
    }

    #[test]
    fn ratios_are_words() {
        assert_eq!(ratio(1.081, "b"), "8.1 % more than b");
        assert_eq!(ratio(0.8, "b"), "20 % less than b");
        assert_eq!(ratio(2.314, "b"), "2.31 times as much as b");
        assert_eq!(ratio(1.0, "b"), "as much as b");
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(counted(1, "round"), "1 round");
        assert_eq!(counted(1_000, "round"), "1,000 rounds");
        assert_eq!(counted(2_000, "reply"), "2,000 replies");
    }
}
