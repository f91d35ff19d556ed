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

use std::borrow::Cow;
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

    /// Splits into words as a shell does, with its quotes; nothing else is special to a shell here. There must be a word, and every
    /// placeholder must be a known one.
    fn from_str(text: &str) -> Result<Self, String> {
        let words = shlex::split(text).ok_or("a quote in the command is not closed")?;
        if words.is_empty() {
            return Err("the command is empty".to_owned());
        }
        words.iter().try_for_each(|word| check(word))?;
        Ok(Self { words })
    }
}

/// The placeholders of users. All but one must be words of their own.
const PLACEHOLDERS: [&str; 8] = [
    "{mode}",
    "{port}",
    "{poem}",
    "{threads}",
    "{stats}",
    "{fetch}",
    "{limits}",
    "{grace}",
];

/// Checks the placeholders in `word`.
fn check(word: &str) -> Result<(), String> {
    let own = ["{quatrain}", "{parent}"];
    for placeholder in placeholders(word) {
        if !PLACEHOLDERS.contains(&placeholder) && !own.contains(&placeholder) {
            let known = PLACEHOLDERS.join(" ");
            return Err(format!(
                "{placeholder} is no placeholder; these are: {known}"
            ));
        }
        if word != placeholder && placeholder != "{port}" {
            return Err(format!(
                "{placeholder} must be a word of its own, but is in '{word}'"
            ));
        }
    }
    Ok(())
}

/// Returns the words in braces in `text`, with their braces: lower-case letters and `_`.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let begins = text.match_indices('{').map(|(begin, _)| &text[begin..]);
    begins.filter_map(|rest| {
        let end = rest.find('}')?;
        let name = &rest[1..end];
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        (!name.is_empty() && name.chars().all(is_name)).then(|| &rest[..=end])
    })
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
            "{quatrain}" => "quatrain".into(),
            word if is_plain(word) => word.into(),
            // A command line has no NUL, which is all that cannot be quoted.
            word => shlex::try_quote(word).unwrap_or(word.into()),
        });
        out.write_str(&shown.collect::<Vec<Cow<'_, str>>>().join(" "))
    }
}

/// Whether a shell takes `word` as it is, apart from the braces of placeholders.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "{}/.,:=@%+-_".contains(c);
    !word.is_empty() && word.chars().all(plain)
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
    fn a_template_is_split_as_a_shell_does_and_shown_with_its_quotes() {
        let text = "sh -c 'exec serve --name=\"two words\"' {port}";
        let template: Template = text.parse().unwrap();
        let words = ["sh", "-c", "exec serve --name=\"two words\"", "{port}"];
        assert_eq!(template.words(), words);
        assert_eq!(template.to_string(), text);
        let shown = template.to_string().parse::<Template>().unwrap();
        assert_eq!(shown, template);
        let open = "sh -c 'exit".parse::<Template>().unwrap_err();
        assert!(open.contains("not closed"), "{open}");
    }

    #[test]
    fn an_unknown_placeholder_is_refused_by_name() {
        let error = |text: &str| text.parse::<Template>().unwrap_err();
        let unknown = error("serve --port={prt} {mode}");
        assert!(unknown.starts_with("{prt} is no placeholder; these are: {mode} {port}"));
        let part = error("serve --what={mode}");
        assert_eq!(
            part,
            "{mode} must be a word of its own, but is in '--what={mode}'"
        );
        for fine in ["serve --port={port}", "serve {} {\"a\":1} ${HOME}", "x }{"] {
            assert!(fine.parse::<Template>().is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_template_with_a_port_has_no_counts() {
        let counts = |text: &str| text.parse::<Template>().unwrap().counts();
        assert!(counts("serve {mode} {stats}"));
        assert!(!counts("serve {mode} {stats} {port}") && !counts("serve {mode}"));
    }
}
