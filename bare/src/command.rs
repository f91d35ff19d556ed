//! The bare servers as a command, with the subcommands of `quatrain serve` and the options in [`USAGE`]. It prints where it
//! serves, in the same form.

use std::collections::BTreeMap;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use poetry::library::{FramedPoem, Library, PoemName};
use poetry::peer::Address;
use poetry::{
    Clock, LibraryService, Pace, Peer, Poem, PoemService, ProxyService, Service, TransformService,
};

use crate::Kind;

/// How the command is used.
pub const USAGE: &str = "\
mio|actix|tokio|threads poem FILE [--fast | --num-bytes N --delay S]
mio|actix|tokio|threads transform [--keep-alive] [--lab]
mio|actix|tokio|threads library FOLDER [--keep-alive]
mio|actix|tokio|threads proxy [HOST:]PORT [--cache-ttl S]
each with [--port N]";

/// Options of `quatrain serve` that are accepted and ignored, since a bare server has no limits.
const IGNORED: &[&str] = &[
    "--connect-timeout",
    "--connections-max",
    "--deadline",
    "--frame-bytes-max",
    "--idle-timeout",
    "--poem-bytes-max",
    "--write-timeout",
];

/// Serves as `words` say, on 127.0.0.1, until an error ends the server.
///
/// # Errors
/// Returns what is wrong with the words, a file or the server.
pub fn run(words: impl IntoIterator<Item = String>) -> Result<(), Box<dyn std::error::Error>> {
    let mut words = words.into_iter();
    let kind = words.next().ok_or(USAGE)?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    let (kind, words) = (kind.ok_or(USAGE)?, Words::read(words)?);
    let service = words.service()?;
    let listener = TcpListener::bind(("127.0.0.1", words.number("--port")?.unwrap_or(0)))?;
    let address = listener.local_addr()?;
    println!("Serving {} on {address} with {}", words.role, kind.name());
    Ok(crate::serve(kind, listener, service)?)
}

/// The words after the kind.
struct Words {
    role: String,
    /// The file, the folder or the upstream; empty for transforms.
    what: String,
    /// Options and their values; a switch has an empty value.
    options: BTreeMap<String, String>,
}

impl Words {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut role, mut what, mut options) = (String::new(), String::new(), BTreeMap::new());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--fast" | "--keep-alive" | "--lab" => {
                    options.insert(word, String::new());
                }
                "--num-bytes" | "--delay" | "--cache-ttl" | "--port" => {
                    let value = words.next().ok_or(USAGE)?;
                    options.insert(word, value);
                }
                ignored if IGNORED.contains(&ignored) => drop(words.next()),
                option if option.starts_with('-') => {
                    return Err(format!("unknown: {option}\n{USAGE}"));
                }
                _ if role.is_empty() => role = word,
                _ if what.is_empty() => what = word,
                _ => return Err(format!("unknown: {word}\n{USAGE}")),
            }
        }
        Ok(Self {
            role,
            what,
            options,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, T::Err> {
        self.options
            .get(name)
            .map(|value| value.parse())
            .transpose()
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Box<dyn std::error::Error>> {
        let seconds: Option<f64> = self.number(name)?;
        Ok(seconds.map(Duration::try_from_secs_f64).transpose()?)
    }

    fn service(&self) -> Result<Service, Box<dyn std::error::Error>> {
        let keep_alive = self.has("--keep-alive");
        Ok(match self.role.as_str() {
            "poem" => Service::Poem(PoemService {
                poem: fs::read_to_string(&self.what)?.into(),
                pace: match self.has("--fast") {
                    true => Pace::Fast,
                    false => Pace::Slow {
                        num_bytes: self
                            .number("--num-bytes")?
                            .unwrap_or(poetry::poem::NUM_BYTES),
                        delay: self.seconds("--delay")?.unwrap_or(poetry::poem::DELAY),
                    },
                },
            }),
            "transform" => Service::Transform(TransformService {
                keep_alive,
                lab: self.has("--lab").then(clock),
                offload: false,
            }),
            "library" => Service::Library(LibraryService {
                library: library(&self.what)?,
                keep_alive,
            }),
            "proxy" => {
                let Address { host, port } = self.what.parse()?;
                let addresses = (host.as_str(), port).to_socket_addrs()?.collect();
                Service::Proxy(ProxyService {
                    upstream: Peer::new(&self.what, addresses),
                    ttl: self.seconds("--cache-ttl")?,
                })
            }
            _ => return Err(USAGE.into()),
        })
    }
}

fn clock() -> Clock {
    let origin = std::time::Instant::now();
    Clock::new(move || origin.elapsed())
}

/// Reads every file of `folder` as a poem, called by the file's name without its ending.
fn library(folder: &str) -> io::Result<Library> {
    let mut poems = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let poem = Poem::from(fs::read_to_string(&path)?);
        poems.insert(name(&path)?, FramedPoem::from(&poem));
    }
    Ok(Library::new(poems))
}

fn name(path: &Path) -> io::Result<PoemName> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse().map_err(io::Error::other)
}
