//! A command as a subject. Its template is a list of words, some of which are placeholders.
//!
//! | placeholder | is replaced by | feature |
//! |---|---|---|
//! | `{port}` | a free port; without it, the address is read from the line `Serving … on HOST:PORT with …` | |
//! | `{mode}` | `poem FILE --fast`, `poem FILE --num-bytes N --delay S`, `transform [--keep-alive] [--lab] [--offload]`, | keep-alive, lab |
//! | | `library DIR [--keep-alive]`, reloaded by SIGHUP; `proxy HOST:PORT [--cache-ttl S]` | |
//! | `{poem}` | a file with the poem, for a template without `{mode}` | |
//! | `{limits}` | `--idle-timeout S` and so on, for the limits that differ from the defaults | limits |
//! | `{threads}` | `--threads N` | threads |
//! | `{stats}` | `--stats FILE`; SIGUSR1 appends a line of counts to it | counters; outside Linux only without `{port}` |
//! | `{grace}` | `--grace S`; SIGTERM stops the command | signals |

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poetry::{LibraryService, Limits, Pace, Role as EventRole, Service};

use crate::case::{Need, Role};
use crate::failure::{Check, During, Failure};
use crate::running::Server;
use crate::subject::ServerConfig;
use crate::subject::process::{Folder, GRACE, Process};

/// Whether waiting until a command listens on a given port costs it no connection, which it would count.
const WAITS_UNSEEN: bool = cfg!(target_os = "linux");

/// The placeholders that must be words of their own: all but `{port}`.
const WHOLE_WORDS: [&str; 6] = [
    "{mode}",
    "{poem}",
    "{limits}",
    "{threads}",
    "{stats}",
    "{grace}",
];

/// A command that serves on 127.0.0.1.
#[derive(Debug, Clone)]
pub struct Command {
    name: String,
    words: Vec<String>,
}

impl Command {
    /// Creates a command from `template`, split at spaces. It implements all servers if the template has `{mode}`, the poem
    /// server if it has `{poem}`, else the transform server.
    pub fn new(name: &str, template: &str) -> Self {
        let words = template.split_whitespace().map(str::to_owned);
        Self::from_words(name, words.collect())
    }

    /// Creates a command from a list of words, any of which may contain spaces.
    pub fn from_words(name: &str, words: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            words,
        }
    }

    /// Returns what is wrong with the template of a command that is to play `role`, in one line.
    pub fn problem(&self, role: Role) -> Option<String> {
        if self.words.first().is_none_or(String::is_empty) {
            return Some("it names no program".to_owned());
        }
        if let Some(unknown) = self.words.iter().find_map(|word| unknown_placeholder(word)) {
            let known = WHOLE_WORDS.join(" ");
            return Some(format!(
                "{unknown} is no placeholder; these are: {{port}} {known}"
            ));
        }
        for placeholder in WHOLE_WORDS {
            let holds = |word: &&String| *word != placeholder && word.contains(placeholder);
            if let Some(word) = self.words.iter().find(holds) {
                return Some(format!(
                    "{placeholder} must be an argument of its own, but is in '{word}'"
                ));
            }
        }
        let lacking = match role {
            Role::PoemServer => "{mode} or {poem}",
            _ => "{mode}",
        };
        (!self.plays(role)).then(|| {
            let role = role.name().replace('_', " ");
            format!("without {lacking} it cannot be told to be a {role}")
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn plays(&self, role: Role) -> bool {
        let (mode, poem) = (self.has("{mode}"), self.has("{poem}"));
        match role {
            Role::PoemServer => mode || poem,
            Role::TransformServer => mode || !poem,
            Role::LibraryServer | Role::Proxy => mode,
            Role::PoemClient | Role::TransformClient => false,
        }
    }

    pub(crate) fn offers(&self, need: Need) -> bool {
        match need {
            Need::Counters => self.has("{stats}") && (!self.takes_a_port() || WAITS_UNSEEN),
            Need::Limits => self.has("{limits}"),
            Need::Signals => self.has("{grace}"),
            Need::Lab | Need::KeepAlive => self.has("{mode}"),
            Need::Threads => self.has("{threads}"),
            Need::ManyConnections => true,
            Need::Events | Need::Offloading => false,
        }
    }

    fn takes_a_port(&self) -> bool {
        self.words.iter().any(|word| word.contains("{port}"))
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }

    pub(crate) fn serve(&self, config: &ServerConfig) -> Check<(SocketAddr, Server)> {
        let folder = Folder::new()?;
        let port = free_port()?;
        let words = self.fill_in(config, &folder, port)?;
        let (program, arguments) = words
            .split_first()
            .ok_or(Failure::Needs("a program".to_owned()))?;
        let mut process = Process::start(program, arguments, folder)?;
        let address = match self.takes_a_port() {
            true => process.wait_until_listening(port)?,
            false => process.read_address()?,
        };
        Ok((address, Server::Command(process)))
    }

    fn fill_in(&self, config: &ServerConfig, folder: &Folder, port: u16) -> Check<Vec<String>> {
        let mut filled = Vec::new();
        for word in &self.words {
            match word.as_str() {
                "{mode}" => filled.extend(mode(&config.service, folder)?),
                "{poem}" => filled.push(unpaced_poem_file(&config.service, folder)?),
                "{limits}" => filled.extend(limits(config.service.role(), &config.limits)?),
                "{threads}" => filled.extend(["--threads".to_owned(), config.threads.to_string()]),
                "{stats}" => filled.extend(["--stats".to_owned(), folder.file("stats")]),
                "{grace}" => filled.extend(["--grace".to_owned(), seconds(GRACE)]),
                word => filled.push(word.replace("{port}", &port.to_string())),
            }
        }
        Ok(filled)
    }
}

/// Returns a word in braces in `text` that is no placeholder: lower-case letters and `_`.
fn unknown_placeholder(text: &str) -> Option<&str> {
    let mut begins = text.match_indices('{').map(|(begin, _)| &text[begin..]);
    begins.find_map(|rest| {
        let word = &rest[..=rest.find('}')?];
        let name = &word[1..word.len() - 1];
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let is_word = !name.is_empty() && name.chars().all(is_name);
        (is_word && word != "{port}" && !WHOLE_WORDS.contains(&word)).then_some(word)
    })
}

fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

pub(crate) fn mode(service: &Service, folder: &Folder) -> Check<Vec<String>> {
    let mut words = Vec::new();
    match service {
        Service::Poem(poem) => {
            words.extend(["poem".to_owned(), poem_file(service, folder)?]);
            match poem.pace {
                Pace::Fast => words.push("--fast".to_owned()),
                Pace::Slow { num_bytes, delay } => {
                    words.extend(["--num-bytes".to_owned(), num_bytes.to_string()]);
                    words.extend(["--delay".to_owned(), seconds(delay)]);
                }
            }
        }
        Service::Transform(transform) => {
            words.push("transform".to_owned());
            words.extend(transform.keep_alive.then(|| "--keep-alive".to_owned()));
            words.extend(transform.lab.is_some().then(|| "--lab".to_owned()));
            words.extend(transform.offload.then(|| "--offload".to_owned()));
        }
        Service::Library(service) => {
            words.extend(["library".to_owned(), library_directory(service, folder)?]);
            words.extend(service.keep_alive.then(|| "--keep-alive".to_owned()));
        }
        Service::Proxy(service) if service.upstream.addresses().is_err() => {
            // A command resolves the name when it starts (S9), and does not start without an address.
            return Err(Failure::Needs("a proxy of an unresolved name".to_owned()));
        }
        Service::Proxy(service) => {
            words.extend(["proxy".to_owned(), service.upstream.name().to_owned()]);
            if let Some(ttl) = service.ttl {
                words.extend(["--cache-ttl".to_owned(), seconds(ttl)]);
            }
        }
    }
    Ok(words)
}

/// Writes each poem of the library to a file of its name.
fn library_directory(service: &LibraryService, folder: &Folder) -> Check<String> {
    folder.write_library(&service.library.poems())
}

/// Returns the poem's file for a template without a pace: the command chooses its own.
fn unpaced_poem_file(service: &Service, folder: &Folder) -> Check<String> {
    match service {
        Service::Poem(poem) if poem.pace != Pace::Fast => Err(Failure::Needs("a pace".to_owned())),
        _ => poem_file(service, folder),
    }
}

fn poem_file(service: &Service, folder: &Folder) -> Check<String> {
    let Service::Poem(service) = service else {
        return Err(Failure::Needs("a poem".to_owned()));
    };
    let path = folder.file("poem.txt");
    fs::write(&path, service.poem.as_bytes()).during("writing the poem")?;
    Ok(path)
}

/// Returns the options for the limits of a server of this `role` that differ from the defaults. No option sets the limits of
/// a lingering close.
pub(crate) fn limits(role: EventRole, limits: &Limits) -> Check<Vec<String>> {
    let defaults = Limits::default();
    let lingers = |limits: &Limits| (limits.linger_timeout, limits.linger_bytes_max);
    if lingers(limits) != lingers(&defaults) {
        return Err(Failure::Needs("limits of the lingering close".to_owned()));
    }
    let counts = |limits: &Limits| {
        let mut counts = vec![("--connections-max", limits.connections_max)];
        match role {
            EventRole::TransformServer | EventRole::LibraryServer => {
                counts.push(("--frame-bytes-max", limits.frame_bytes_max));
            }
            EventRole::Proxy => counts.push(("--poem-bytes-max", limits.poem_bytes_max)),
            _ => {}
        }
        counts
            .into_iter()
            .map(|(name, count)| (name, count.to_string()))
    };
    let times = |limits: &Limits| {
        let mut times = vec![("--write-timeout", Some(limits.write_timeout))];
        match role {
            EventRole::TransformServer | EventRole::LibraryServer => times.extend([
                ("--idle-timeout", Some(limits.idle_timeout)),
                ("--deadline", Some(limits.request_deadline)),
            ]),
            EventRole::Proxy => times.extend([
                ("--connect-timeout", Some(limits.connect_timeout)),
                ("--idle-timeout", Some(limits.idle_timeout)),
                ("--deadline", limits.total_deadline),
            ]),
            _ => {}
        }
        let set = |(name, time): (_, Option<Duration>)| Some((name, seconds(time?)));
        times.into_iter().filter_map(set)
    };
    let options = |limits: &Limits| counts(limits).chain(times(limits)).collect::<Vec<_>>();
    let by_default = options(&defaults);
    let differing = options(limits)
        .into_iter()
        .filter(|option| !by_default.contains(option));
    Ok(differing
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect())
}

/// The kernel gives clients ports above these, so none of them takes the port of a command that is about to bind it, once or again.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Returns a port on which nothing listens. No two calls of a process return the same one soon.
pub(crate) fn free_port() -> Check<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes that run at the same time begin far apart.
    let first = std::process::id().wrapping_mul(7_919);
    let mut ports = (0..count).map(|_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = u16::try_from(first.wrapping_add(next) % count).unwrap_or_default();
        PORTS.start + place
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let free = ports.find(is_free);
    free.ok_or(Failure::Needs("a free port".to_owned()))
}
