//! A command as a list of words, some of which are placeholders.
//!
//! | placeholder | is replaced by |
//! |---|---|
//! | `{mode}` | `transform [--keep-alive] [--lab] [--offload]`, `poem FILE --fast`, `poem FILE --num-bytes N --delay S`, |
//! | | `library DIR [--keep-alive]` or `proxy HOST:PORT [--cache-ttl S]` |
//! | `{poem}` | a file with the poem, for a template without `{mode}` |
//! | `{port}` | a free port; without it, the address is read from the line `Serving … on HOST:PORT with …` |
//! | `{threads}` | `--threads N` |
//! | `{stats}` | `--stats FILE`: the server writes its counts (S23) there when SIGTERM ends it, unless the template has `{port}` |
//! | `{fetch}` | for a client: the addresses of the poems, each once for every poem, behind options of `quatrain fetch` |
//! | `{quatrain}` | this program; `{parent}`: `--end-with-parent=PID`, so that it ends with it |
//!
//! `quatrain check` and the conformance suite take the same templates; those that they alone know (`{limits}`, `{grace}`) are
//! replaced by nothing.

use std::fmt;
use std::str::FromStr;

use super::{Mode, Role, Start};

/// A command with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<String>,
}

impl FromStr for Template {
    type Err = String;

    /// Splits at spaces. There must be a word.
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match words.is_empty() {
            true => Err("the command is empty".to_owned()),
            false => Ok(Self { words }),
        }
    }
}

impl Template {
    /// Whether `word` is one of the words.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    /// Whether the command is told its port.
    pub fn takes_a_port(&self) -> bool {
        self.words.iter().any(|word| word.contains("{port}"))
    }

    /// Whether the command's counts can be compared with a client's.
    pub fn counts(&self) -> bool {
        self.has("{stats}") && !self.takes_a_port()
    }

    /// Returns its words with `{quatrain}` and `{parent}` filled in, for those who fill in the others.
    pub fn words(&self) -> Vec<String> {
        self.fill(&mut |_| None)
    }

    pub(super) fn roles(&self) -> Vec<Role> {
        match (self.has("{mode}"), self.has("{poem}")) {
            (true, _) => Role::ALL.to_vec(),
            (_, true) => vec![Role::Poem],
            _ => vec![Role::Transform],
        }
    }

    pub(super) fn server(&self, mode: &Mode, start: &Start<'_>, port: Option<u16>) -> Vec<String> {
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        self.fill(&mut |word| {
            Some(match word {
                "{mode}" => mode.words(),
                "{poem}" => match mode {
                    Mode::Poem { file, .. } => vec![file.display().to_string()],
                    _ => Vec::new(),
                },
                "{threads}" => vec!["--threads".to_owned(), start.threads.to_string()],
                "{stats}" => match start.stats {
                    Some(file) => vec!["--stats".to_owned(), file.display().to_string()],
                    None => Vec::new(),
                },
                "{limits}" | "{grace}" => Vec::new(),
                word if word.contains("{port}") => vec![word.replace("{port}", &port)],
                _ => return None,
            })
        })
    }

    pub(super) fn client(&self, fetch: &[String]) -> Vec<String> {
        self.fill(&mut |word| (word == "{fetch}").then(|| fetch.to_vec()))
    }

    fn fill(&self, special: &mut dyn FnMut(&str) -> Option<Vec<String>>) -> Vec<String> {
        let mut filled = Vec::new();
        for word in &self.words {
            match (word.as_str(), special(word)) {
                (_, Some(words)) => filled.extend(words),
                ("{quatrain}", None) => filled.push(this_program()),
                ("{parent}", None) => {
                    filled.push(format!("--end-with-parent={}", std::process::id()));
                }
                (_, None) => filled.push(word.clone()),
            }
        }
        filled
    }
}

/// Returns the path of this program, or the name that PATH finds it by.
fn this_program() -> String {
    let path = std::env::current_exe();
    path.map_or_else(|_| "quatrain".to_owned(), |path| path.display().to_string())
}

/// As a user would write it.
impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.words.iter().filter(|word| *word != "{parent}");
        let shown = shown.map(|word| match word.as_str() {
            "{quatrain}" => "quatrain",
            word => word,
        });
        out.write_str(&shown.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_shown_by_its_name() {
        let template: Template = "{quatrain} serve {mode} {parent}".parse().unwrap();
        assert_eq!(template.to_string(), "quatrain serve {mode}");
        let words = template.words();
        assert!(words[0].ends_with(|c: char| c != '}') && words[2] == "{mode}");
        assert!(words[3].starts_with("--end-with-parent="));
    }

    #[test]
    fn a_template_with_a_port_has_no_counts() {
        let counts = |text: &str| text.parse::<Template>().unwrap().counts();
        assert!(counts("serve {mode} {stats}"));
        assert!(!counts("serve {mode} {stats} {port}") && !counts("serve {mode}"));
    }
}
