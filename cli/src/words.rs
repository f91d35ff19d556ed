//! Numbers in sentences.

/// Writes a count with its noun: `1 poem`, `2 poems`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = match (count, noun.strip_suffix('y')) {
        (1, _) => return format!("{count} {noun}"),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{noun}s"),
    };
    format!("{count} {plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1, "poem"), "1 poem");
        assert_eq!(counted(0, "poem"), "0 poems");
        assert_eq!(counted(2, "reply"), "2 replies");
        assert_eq!(counted(1, "reply"), "1 reply");
    }
}
