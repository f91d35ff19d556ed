//! A command as a subject: a template of words, some of them to be filled in.
//!
//! | in the template | becomes | and so it offers |
//! |---|---|---|
//! | `{port}` | a free port; without it, the port is read from the line `Serving … on HOST:PORT with …` | |
//! | `{mode}` | `poem FILE --fast`, `poem FILE --num-bytes N --delay S`, `transform [--keep-alive] [--lab]` | keep-alive, lab |
//! | `{poem}` | a file that holds the poem, where there is no `{mode}` | |
//! | `{limits}` | `--idle-timeout S` and so on, for those that differ from the defaults | limits |
//! | `{threads}` | `--threads N` | threads |
//! | `{stats}` | `--stats FILE`; SIGUSR1 adds a line of counts to it | counters, if there is no `{port}` |
//! | `{grace}` | `--grace S`; SIGTERM stops it | signals |

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use poetry::{Limits, Pace, Service};

use crate::PATIENCE;
use crate::case::{Need, Role};
use crate::failure::{Check, During, Failure, ensure};
use crate::running::Server;
use crate::subject::Order;
use crate::subject::process::{Folder, GRACE, LOOK_AGAIN, Process};

/// A command that serves on loopback.
#[derive(Debug, Clone)]
pub struct Command {
    name: String,
    words: Vec<String>,
}

impl Command {
    /// The command that `template`, split at spaces, describes. It plays both servers' roles if it states `{mode}`, the
    /// poem server's if it states `{poem}`, else the transform server's.
    pub fn new(name: &str, template: &str) -> Self {
        let words = template.split_whitespace().map(str::to_owned);
        Self::of_words(name, words.collect())
    }

    /// The command whose words are given one by one, since a path may hold spaces.
    pub fn of_words(name: &str, words: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            words,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn plays(&self, role: Role) -> bool {
        let (mode, poem) = (self.states("{mode}"), self.states("{poem}"));
        match role {
            Role::PoemServer => mode || poem,
            Role::TransformServer => mode || !poem,
            Role::PoemClient | Role::TransformClient => false,
        }
    }

    pub(crate) fn offers(&self, need: Need) -> bool {
        match need {
            // Waiting for the port to answer costs a connection, which would be counted.
            Need::Counters => self.states("{stats}") && !self.takes_a_port(),
            Need::Limits => self.states("{limits}"),
            Need::Signals => self.states("{grace}"),
            Need::Lab | Need::KeepAlive => self.states("{mode}"),
            Need::Threads => self.states("{threads}"),
            Need::ManyConnections => true,
            Need::Events => false,
        }
    }

    fn takes_a_port(&self) -> bool {
        self.words.iter().any(|word| word.contains("{port}"))
    }

    fn states(&self, word: &str) -> bool {
        self.words.iter().any(|stated| stated == word)
    }

    pub(crate) fn serve(&self, order: &Order) -> Check<(SocketAddr, Server)> {
        ensure(order.address.ip() == std::net::Ipv4Addr::LOCALHOST, || {
            String::new()
        })
        .map_err(|_| Failure::Needs("another address".to_owned()))?;
        let folder = Folder::new()?;
        let port = free_port()?;
        let words = self.filled(order, &folder, port)?;
        let (program, arguments) = words
            .split_first()
            .ok_or(Failure::Needs("a program".to_owned()))?;
        let mut process = Process::start(program, arguments, folder)?;
        let address = match self.takes_a_port() {
            true => answers(SocketAddr::from(([127, 0, 0, 1], port)))?,
            false => process.announced()?,
        };
        Ok((address, Server::Command(process)))
    }

    fn filled(&self, order: &Order, folder: &Folder, port: u16) -> Check<Vec<String>> {
        let mut filled = Vec::new();
        for word in &self.words {
            match word.as_str() {
                "{mode}" => filled.extend(mode(&order.service, folder)?),
                "{poem}" => filled.push(paceless_poem_file(&order.service, folder)?),
                "{limits}" => filled.extend(limits(&order.limits)?),
                "{threads}" => filled.extend(["--threads".to_owned(), order.threads.to_string()]),
                "{stats}" => filled.extend(["--stats".to_owned(), folder.file("stats")]),
                "{grace}" => filled.extend(["--grace".to_owned(), seconds(GRACE)]),
                word => filled.push(word.replace("{port}", &port.to_string())),
            }
        }
        Ok(filled)
    }
}

fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

fn mode(service: &Service, folder: &Folder) -> Check<Vec<String>> {
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
        }
    }
    Ok(words)
}

/// The file for a template that cannot say how fast: the poem is served as the command likes.
fn paceless_poem_file(service: &Service, folder: &Folder) -> Check<String> {
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

/// The limits that differ from the usual ones. The bounds of a lingering close are no command's to set.
fn limits(limits: &Limits) -> Check<Vec<String>> {
    let usual = Limits::default();
    let lingers = |limits: &Limits| (limits.linger_timeout, limits.linger_bytes_max);
    if lingers(limits) != lingers(&usual) {
        return Err(Failure::Needs("limits of the lingering close".to_owned()));
    }
    let mut words = Vec::new();
    let mut say = |name: &str, value: String, differs: bool| {
        if differs {
            words.extend([name.to_owned(), value]);
        }
    };
    let Limits {
        connections_max,
        frame_bytes_max,
        ..
    } = *limits;
    say(
        "--connections-max",
        connections_max.to_string(),
        connections_max != usual.connections_max,
    );
    say(
        "--frame-bytes-max",
        frame_bytes_max.to_string(),
        frame_bytes_max != usual.frame_bytes_max,
    );
    let times = [
        ("--idle-timeout", limits.idle_timeout, usual.idle_timeout),
        (
            "--deadline",
            limits.request_deadline,
            usual.request_deadline,
        ),
        ("--write-timeout", limits.write_timeout, usual.write_timeout),
    ];
    for (name, value, usual) in times {
        say(name, seconds(value), value != usual);
    }
    Ok(words)
}

fn free_port() -> Check<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).during("looking for a free port")?;
    Ok(listener
        .local_addr()
        .during("looking for a free port")?
        .port())
}

/// Waits until somebody accepts at `address`: this costs the subject one connection.
fn answers(address: SocketAddr) -> Check<SocketAddr> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(address),
            Err(error) if Instant::now() > deadline => {
                return Err(Failure::Broken(format!(
                    "the command does not answer: {error}"
                )));
            }
            Err(_) => thread::sleep(LOOK_AGAIN),
        }
    }
}
