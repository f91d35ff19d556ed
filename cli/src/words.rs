//! Numbers and paths in sentences.

use std::path::Path;

use measure::analysis::words::numbered;

/// Writes a count with its noun: `1 poem`, `2 poems`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", numbered(noun, count))
}

/// Writes a path on one line: control characters, also those that move a terminal's cursor, are escaped.
pub(crate) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
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
        assert_eq!(counted(2, "fetch"), "2 fetches");
    }

    #[test]
    fn a_path_is_one_line() {
        assert_eq!(shown(Path::new("a\nb\x1b[2J/ü")), "a\\nb\\u{1b}[2J/ü");
    }
}
